package snapshot_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/snapshot"
)

func TestFind(t *testing.T) {
	s := newStore(t)
	for n := range 4 {
		publish(t, s, day(n), people(2)...)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	tokyo := time.FixedZone("Tokyo", 9*3600)
	for _, test := range []struct {
		name string
		zone *time.Location
		want string
	}{
		{"", nil, "20261125T060000Z"},
		{"@", nil, "20261125T060000Z"},
		{"latest", nil, "20261125T060000Z"},
		{"@latest", nil, "20261125T060000Z"},
		{"@-0", nil, "20261125T060000Z"},
		{"@-1", nil, "20261124T060000Z"},
		{"@-3", nil, "20261122T060000Z"},
		{"20261123T060000Z", nil, "20261123T060000Z"},
		{"2026-11-23", berlin, "20261123T060000Z"},
		{"2026-11-23", time.FixedZone("", -12*3600), "20261124T060000Z"},
		{"2026-11-23", tokyo, "20261123T060000Z"},
		{"2027-01-01", nil, "20261125T060000Z"},
		{"2026-11-24T06:00:00Z", nil, "20261124T060000Z"},
		{"2026-11-24T06:59:59+01:00", nil, "20261123T060000Z"},
	} {
		snap, err := s.Find(staff, test.name, test.zone)
		if err != nil || snap.Name() != test.want {
			t.Errorf("Find(%q) = %v, %v, want %s", test.name, snap, err, test.want)
		}
	}
	for name, want := range map[string]string{
		"20261123T060001Z": "no snapshot 20261123T060001Z of staff; the nearest is 20261123T060000Z",
		"2026-11-21":       "no snapshot up to 2026-11-21 of staff; the nearest is 20261122T060000Z",
		"@-4":              "no snapshot @-4 of staff; the nearest is 20261122T060000Z",
	} {
		if _, err := s.Find(staff, name, nil); err == nil || err.Error() != want {
			t.Errorf("Find(%q): %v, want %q", name, err, want)
		}
	}
	for _, name := range []string{"2026-13-01", "yesterday", "20261124", "@20261123", "@-", "@-x", "@1", "20261324T060000Z", "2026-11-24T06:00"} {
		_, err := s.Find(staff, name, nil)
		if _, ok := errors.AsType[*snapshot.BadNameError](err); !ok || !strings.Contains(err.Error(), "a date (2026-06-30)") {
			t.Errorf("Find(%q): %v, want a *BadNameError", name, err)
		}
	}
	if _, err := s.Find("others", "2026-11-21", nil); !errors.Is(err, snapshot.ErrNoSnapshot) {
		t.Errorf("Find in an empty export: %v, want ErrNoSnapshot", err)
	}
}
