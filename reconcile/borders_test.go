package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile"
)

// Between two borders, a snapshot has at most the requested number of users.
func TestBordersOfASnapshot(t *testing.T) {
	start := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	at := func(n int, minute int) oktaclient.Record {
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
		var users []oktaclient.Record
		for n, minute := range strings.Fields(test.minutes) {
			users = append(users, at(n, int(minute[0]-'0')))
		}
		f := newFixture(t, users...)
		borders, err := reconcile.BordersOf(f.publish(), 3)
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

// A read gets the borders of the newest snapshot, unless its declaration differs.
func TestBordersAreThoseOfTheNewestSnapshot(t *testing.T) {
	users := people(0, 250)
	for i := range users[:50] {
		users[i] = person(i, "2026-11-23T06:00:00.000Z", "2026-11-22T06:00:00.000Z")
	}
	f := newFixture(t, users...)
	f.publish()
	if f.org.query.Borders != nil {
		t.Error("borders before the first snapshot")
	}
	f.publish()
	if q := f.org.query; len(q.Borders) != 1 || !q.KnownBefore.Equal(q.Borders[0]) || q.KnownBefore.Day() != 23 {
		t.Errorf("query = %+v, want one border", q)
	}
	f.export.Users.Search = `profile.department eq "Sales"`
	f.publish()
	if f.org.query.Borders != nil {
		t.Error("borders are those of another search")
	}
}
