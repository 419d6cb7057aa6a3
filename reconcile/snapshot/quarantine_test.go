package snapshot_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"oktasync/reconcile/snapshot"
)

func TestQuarantine(t *testing.T) {
	s := newStore(t)
	snap := publish(t, s, day(1), people(20)...)
	for n := range 5 {
		if err := quarantine(t, s, n+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := quarantine(t, s, 5); err != nil { // the clock has stood still
		t.Fatal(err)
	}
	if err := quarantine(t, s, 2); err != nil { // and was set back
		t.Fatal(err)
	}
	list, err := s.Quarantined(staff)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range list {
		names = append(names, r.Name())
	}
	if want := []string{"20261127T060000Z", "20261127T060001Z", "20261127T060002Z"}; !slices.Equal(names, want) {
		t.Errorf("Quarantined() = %v, want %v", names, want)
	}
	r := list[0]
	users, err := r.Records(snapshot.Users)
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	if first, err := users.Next(); err != nil || string(first.Key) != "00u0001" {
		t.Errorf("first user = %s, %v", first.Key, err)
	}
	if r.Reason != "too few users" || r.Previous.ManifestSHA256 != snap.Digest || r.Resources["users"].Removed != 15 || r.Read.Requests != 2 {
		t.Errorf("reading = %+v", r)
	}
	if _, err := os.Stat(filepath.Join(r.Dir(), "requests.ndjson")); err != nil {
		t.Error(err)
	}
	h, err := s.Journal(staff)
	if err != nil || h.LastEnd.Event != snapshot.EventQuarantined || h.LastEnd.Snapshot != "20261127T060002Z" {
		t.Errorf("LastEnd = %+v, %v", h.LastEnd, err)
	}
	if latest, err := s.Latest(staff); err != nil || latest.Digest != snap.Digest {
		t.Errorf("Latest() = %v, %v", latest, err)
	}
	if problems, notes := findings(t, s); len(problems)+len(notes) > 0 {
		t.Errorf("Verify: %q %q", problems, notes)
	}
}

// A held reading holds users who may be nobody's business: the group that may
// read the snapshots may not read it.
func TestQuarantineIsPrivate(t *testing.T) {
	s, err := snapshot.Init(filepath.Join(t.TempDir(), "snapshots"), acme, snapshot.Options{GID: groupID()})
	if err != nil {
		t.Fatal(err)
	}
	if err := quarantine(t, s, 3); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{
		".quarantine":                        os.ModeDir | 0o700,
		".quarantine/staff":                  os.ModeDir | 0o700,
		".quarantine/staff/20261125T060000Z": os.ModeDir | 0o700,
		".quarantine/staff/20261125T060000Z/users.ndjson.zst": 0o600,
	} {
		info, err := os.Stat(filepath.Join(s.Dir(), path))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s: mode %v, want %v", path, info.Mode(), want)
		}
	}
}
