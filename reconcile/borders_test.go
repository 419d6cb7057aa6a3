package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient"
)

// The borders that a reading gets from the newest snapshot leave at most so
// many users between two of them as they were asked for.
func TestBordersAreThoseOfTheNewestSnapshot(t *testing.T) {
	start := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	at := func(n int, minute int) oktaclient.User {
		updated := start.Add(time.Duration(minute) * time.Minute)
		text := updated.Format("2006-01-02T15:04:05.000Z")
		u := person(n, "2026-11-23T06:00:00.000Z", text)
		u.LastUpdated = text
		return u
	}
	tests := []struct {
		minutes string // at which minute each user was last updated
		want    string // minutes of the borders of 3 users each
	}{
		{"1 2 3 4 5 6 7 8", "4 7"},
		{"8 7 6 5 4 3 2 1", "4 7"},
		{"1 2 3", ""},
		{"1 2 3 3 4 5", "3 5"},
		{"1 1 1 1 1 2 3 4", "2"},
		{"1 2 2 2 2 3", "2 3"},
		{"5 5 5 5 5", ""},
	}
	for _, test := range tests {
		var users []oktaclient.User
		for n, minute := range strings.Fields(test.minutes) {
			users = append(users, at(n, int(minute[0]-'0')))
		}
		f := newFixture(t, users...)
		f.publish()
		if f.org.query.Borders != nil {
			t.Error("borders before the first snapshot")
		}
		f.publish()
		borders, err := f.org.query.Borders(3)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range borders {
			got = append(got, fmt.Sprint(b.Sub(start).Minutes()))
		}
		if !slices.Equal(got, strings.Fields(test.want)) {
			t.Errorf("users at %s: borders at %v, want %s", test.minutes, got, test.want)
		}
	}
}

// Borders of other users would be worse than none.
func TestBordersOfAnotherDeclarationAreNotUsed(t *testing.T) {
	f := newFixture(t, people(0, 10)...)
	f.publish()
	f.export.Users.Search = `profile.department eq "Sales"`
	f.publish()
	if f.org.query.Borders != nil {
		t.Error("borders are those of another search")
	}
}
