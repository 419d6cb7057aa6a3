package snapshot_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
)

func TestFind(t *testing.T) {
	s := storetest.New(t)
	for n := range 4 {
		storetest.Publish(t, s, storetest.Day(n), storetest.People(2)...)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	storetest.Must(t, err)
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
		"20261123T060001Z": "staff has no snapshot 20261123T060001Z; the nearest is 20261123T060000Z",
		"2026-11-21":       "staff has no snapshot up to 2026-11-21; the nearest is 20261122T060000Z",
		"@-4":              "staff has no snapshot @-4; the nearest is 20261122T060000Z",
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

// A date selects the last snapshot of its day, also if the clocks are set at
// midnight.
func TestFindWhereMidnightIsMissing(t *testing.T) {
	at := func(text string) time.Time {
		instant, err := time.Parse(time.RFC3339, text)
		storetest.Must(t, err)
		return instant
	}
	for _, test := range []struct {
		zone, date   string
		within, next time.Time // in the last hour of the day, and after it
	}{
		{"America/Santiago", "2026-09-05", at("2026-09-06T03:30:00Z"), at("2026-09-06T04:00:00Z")}, // 24:00 is 01:00
		{"America/Havana", "2026-03-07", at("2026-03-08T04:30:00Z"), at("2026-03-08T05:00:00Z")},
		{"America/Santiago", "2026-04-04", at("2026-04-05T03:30:00Z"), at("2026-04-05T04:00:00Z")}, // 24:00 is 23:00
		{"Asia/Gaza", "2020-10-23", at("2020-10-23T20:59:59Z"), at("2020-10-23T21:00:00Z")},        // 00:00 comes twice
		{"Pacific/Apia", "2011-12-29", at("2011-12-30T09:59:59Z"), at("2011-12-30T10:00:00Z")},     // there is no 30th
		{"Pacific/Apia", "2011-12-30", at("2011-12-30T09:59:59Z"), at("2011-12-30T10:00:00Z")},
		{"Europe/Berlin", "2040-12-30", at("2040-12-30T22:59:59Z"), at("2040-12-30T23:00:00Z")}, // after the end of the table
		{"Europe/Berlin", "2040-12-31", at("2040-12-31T22:59:59Z"), at("2040-12-31T23:00:00Z")}, // a rule ends a leap year early
		{"America/New_York", "2040-12-31", at("2041-01-01T04:59:59Z"), at("2041-01-01T05:00:00Z")},
	} {
		zone, err := time.LoadLocation(test.zone)
		storetest.Must(t, err)
		s := storetest.New(t)
		s.SetClock(func() time.Time { return test.next.Add(time.Hour) })
		storetest.Publish(t, s, test.within.Add(-6*time.Hour), storetest.People(2)...)
		want := storetest.Publish(t, s, test.within, storetest.People(2)...)
		storetest.Publish(t, s, test.next, storetest.People(2)...)
		if snap, err := s.Find(staff, test.date, zone); err != nil || snap.Name() != want.Name() {
			t.Errorf("Find(%q) in %s = %v, %v, want %s", test.date, test.zone, snap, err, want.Name())
		}
	}
}

// A review is recorded only about a snapshot that the checkpoint covers.
func TestRecordReviewOfAnotherStore(t *testing.T) {
	s, other := storetest.New(t), storetest.New(t)
	storetest.Publish(t, s, storetest.Day(1), storetest.People(2)...)
	storetest.Publish(t, other, storetest.Day(1), storetest.People(3)...)
	foreign, err := other.Latest(staff)
	storetest.Must(t, err)
	w, err := s.Writer(t.Context(), staff, snapshot.Holder{})
	storetest.Must(t, err)
	defer w.Close()
	before := w.Head()
	_, _, err = w.RecordReview(foreign, snapshot.DigestOf(nil), "ada")
	if _, ok := errors.AsType[*snapshot.MismatchError](err); !ok || w.Head() != before {
		t.Errorf("RecordReview() of a snapshot of another store: %v, and the head %v, want a *MismatchError and %v", err, w.Head(), before)
	}
	if _, earlier, err := w.RecordReview(w.Latest(), snapshot.DigestOf(nil), "ada"); err != nil || earlier {
		t.Errorf("RecordReview() = %v, %v", earlier, err)
	}
}

// A store with a checkpoint doesn't read the file again, so it returns the same after a
// writer has exchanged the file.
func TestStoreWithCheckpoint(t *testing.T) {
	s := storetest.ThreeDays(t)
	list, err := s.List(staff)
	storetest.Must(t, err)
	c, err := s.Checkpoint(staff)
	storetest.Must(t, err)
	checked := s.WithCheckpoint(c)
	storetest.Checkpoint(t, s, func(c *snapshot.Checkpoint) {
		c.Sequence, c.Snapshot, c.ManifestSHA256 = 1, list[0].Name(), list[0].Digest
		c.Lines, c.LineSHA256 = 2, strings.Repeat("0", 64)
	})
	if snap := storetest.Find(t, s, "latest"); snap.Name() != list[0].Name() {
		t.Fatalf("the exchanged checkpoint has no effect: the newest snapshot is %s", snap.Name())
	}
	if snap := storetest.Find(t, checked, "latest"); snap.Name() != list[2].Name() {
		t.Errorf("the newest snapshot is %s, want %s", snap.Name(), list[2].Name())
	}
	storetest.Must(t, checked.CheckCovered(staff, list...))
	if h, err := checked.Journal(staff); err != nil || h.Lines != c.Lines {
		t.Errorf("the journal has %d lines, want %d: %v", h.Lines, c.Lines, err)
	}
	if _, err := checked.LastAdopted(staff); err != nil {
		t.Errorf("LastAdopted() = %v", err)
	}
}
