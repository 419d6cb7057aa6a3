package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot"
)

func TestPublish(t *testing.T) {
	s := newStore(t)
	if _, err := s.Latest(staff); !errors.Is(err, snapshot.ErrNoSnapshot) {
		t.Errorf("Latest: %v, want ErrNoSnapshot", err)
	}
	first := publish(t, s, day(1), people(2)...)
	second := publish(t, s, day(2), append(people(2), person(3, "STAGED", "Law"))...)
	latest, err := s.Latest(staff)
	if err != nil {
		t.Fatal(err)
	}
	if latest.Digest != second.Digest || latest.Name() != "20261124T060000Z" {
		t.Errorf("Latest() = %s %s, want %s %s", latest.Name(), latest.Digest, second.Name(), second.Digest)
	}
	m := latest.Manifest
	if m.Sequence != 2 || m.Previous.ManifestSHA256 != first.Digest || m.Read.Requests != 2 || m.Resources["users"].Added != 1 {
		t.Errorf("manifest = %+v", m)
	}
	if got, want := ids(t, latest), []string{"00u0001", "00u0002", "00u0003"}; !slices.Equal(got, want) {
		t.Errorf("users = %v, want %v", got, want)
	}
	if target, _ := os.Readlink(filepath.Join(s.Dir(), staff, "latest")); target != latest.Name() {
		t.Errorf("latest -> %s, want %s", target, latest.Name())
	}
	list, err := s.List(staff)
	if err != nil || len(list) != 2 || list[0].Digest != first.Digest {
		t.Errorf("List() = %v, %v", list, err)
	}
}

func TestPublishWithTheClockSetBack(t *testing.T) {
	s := newStore(t)
	publish(t, s, day(2), people(2)...)
	snap := publish(t, s, day(1), people(2)...)
	if want := "20261124T060001Z"; snap.Name() != want {
		t.Errorf("Name() = %s, want %s", snap.Name(), want)
	}
	if got, want := snap.Manifest.Read.Started, snapshot.At(day(1)); got != want {
		t.Errorf("started = %v, want %v", got, want)
	}
}

func TestPublishRefuses(t *testing.T) {
	for _, test := range []struct {
		name, want string
		spoil      func(*snapshot.Draft)
	}{
		{"total", "users: the manifest has 4, and there are 3", func(d *snapshot.Draft) { d.Resources[0].Counts.Total++ }},
		{"status", "users by status: the manifest has 3, and there are 4", func(d *snapshot.Draft) { d.Resources[0].ByStatus["LOCKED_OUT"] = 1 }},
		{"rows", "rows of users in all responses: the manifest has 4, and there are 3", func(d *snapshot.Draft) { d.Resources[0].Rows++ }},
		{"order", `"00u0001" comes after "00u0002"`, func(d *snapshot.Draft) {
			d.Resources[0].Records = recordtest.Of(t, person(2, "ACTIVE", ""), person(1, "ACTIVE", ""))
		}},
		{"base", `users: the base "none" doesn't match`, func(d *snapshot.Draft) { d.Resources[0].Base = snapshot.BaseNone }},
		{"changes", "changes of users: the manifest has 1, and there are 2", func(d *snapshot.Draft) { d.Resources[0].Counts.Added-- }},
		{"other snapshot", "compared with another snapshot", func(d *snapshot.Draft) { d.Resources[0].Counts.Before-- }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t)
			publish(t, s, day(1), people(1)...)
			w, err := s.Writer(staff, snapshot.ThisProcess("test"))
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			d := draft(t, s, day(2), people(3)...)
			test.spoil(&d)
			_, err = w.Publish(t.Context(), d)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Publish: %v, want %q", err, test.want)
			}
		})
	}
}

// Our clock and Okta's can be set back between two runs: the order is that of
// sequence and chain, and names still ascend.
func TestClocksSetBack(t *testing.T) {
	s := newStore(t)
	s.SetClock(func() time.Time { return day(5) })
	publish(t, s, day(5), people(3)...)
	s.SetClock(func() time.Time { return day(1) })
	snap := publish(t, s, day(2), people(4)...)
	if snap.Name() != "20261127T060001Z" || snap.Manifest.Sequence != 2 || !snap.Manifest.Read.Started.Equal(day(2)) {
		t.Errorf("%s, sequence %d, started %s", snap.Name(), snap.Manifest.Sequence, snap.Manifest.Read.Started)
	}
	if latest, err := s.Latest(staff); err != nil || latest.Digest != snap.Digest {
		t.Errorf("Latest() = %v, %v", latest, err)
	}
	if _, err := retain(t, s, snapshot.Retention{Last: 1}); err != nil {
		t.Error(err)
	}
	if problems, notes := findings(t, s); len(problems)+len(notes) > 0 {
		t.Errorf("Verify: %q %q", problems, notes)
	}
}

// A partial folder can be named like a snapshot that is whole, as a tool that
// copies or puts back leaves it.
func TestSweepBesideASnapshotOfTheName(t *testing.T) {
	s := newStore(t)
	publish(t, s, day(1), people(3)...)
	write(t, filepath.Join(s.Dir(), staff, ".20261123T060000Z.partial/users.csv"), "login\n")
	publish(t, s, day(2), people(4)...)
	if problems, notes := findings(t, s); len(problems)+len(notes) > 0 {
		t.Errorf("Verify: %q %q", problems, notes)
	}
}
