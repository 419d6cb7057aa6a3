package snapshot_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

// release lets a reading out through a writer of its own.
func release(t testing.TB, s *snapshot.Store, name string) (*snapshot.Snapshot, error) {
	t.Helper()
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		return nil, err
	}
	by := snapshot.Override{User: "ops", Reason: "CHG-7: a site was closed"}
	snap, err := w.Release(t.Context(), name, by, snapshot.Tool{Name: "oktasync", Version: "v0.2.0"})
	return snap, errors.Join(err, w.Close())
}

// What is released is what was read, with who let it out and why.
func TestRelease(t *testing.T) {
	signer := newSigner(t)
	s := signedDays(t, signer)
	if err := quarantine(t, s, 5); err != nil {
		t.Fatal(err)
	}
	held, err := s.FindQuarantined(staff, "")
	if err != nil {
		t.Fatal(err)
	}
	snap, err := release(t, s, held.Name())
	if err != nil {
		t.Fatal(err)
	}
	m := snap.Manifest
	if o := m.Run.Override; o == nil || o.User != "ops" || o.Reason != "CHG-7: a site was closed" || o.Guard != "too few users" || o.Released == nil {
		t.Errorf("override = %+v", o)
	}
	if m.Snapshot != "20261127T060000Z" || m.Sequence != 4 || m.Run.Trigger != "apply" || m.Tool.Version != "v0.2.0" ||
		m.Read != held.Read || m.Resources["users"].Added != 2 || len(ids(t, snap)) != 5 {
		t.Errorf("manifest = %+v", m)
	}
	changes, err := snap.Changes(snapshot.Users)
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Close()
	if data, err := io.ReadAll(changes); err != nil || strings.Count(string(data), `"kind":"joined"`) != 2 {
		t.Errorf("changes = %s, %v", data, err)
	}
	events := journalOf(t, s)
	if e := events[len(events)-3]; e.Event != snapshot.EventReleased || e.User != "ops" || e.Reason != "CHG-7: a site was closed" || e.Snapshot != held.Name() {
		t.Errorf("journal: %+v", e)
	}
	problems, _ := verifyWith(t, s, verify.Options{Signers: allowed(t, "archive "+signer.PublicKey())})
	if len(problems) > 0 {
		t.Errorf("Verify: %q", problems)
	}
	if left, err := s.Quarantined(staff); err != nil || len(left) > 0 {
		t.Errorf("still held: %v, %v", left, err)
	}
}

// A signature counts at the time of the release, not of the reading.
func TestReleaseAfterRotation(t *testing.T) {
	signer := newSigner(t)
	s := signedDays(t, signer)
	if err := quarantine(t, s, 5); err != nil {
		t.Fatal(err)
	}
	next := newSigner(t)
	again, err := snapshot.Init(s.Dir(), acme, snapshot.Options{Signer: next})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := release(t, again, "")
	if err != nil {
		t.Fatal(err)
	}
	at := snap.Manifest.Run.Override.Released.Format("20060102150405Z")
	problems, _ := verifyWith(t, s, verify.Options{Signers: allowed(t,
		"archive "+signer.PublicKey(), "archive valid-after="+at+" "+next.PublicKey())})
	if len(problems) > 0 {
		t.Errorf("Verify: %q", problems)
	}
}

// The first reading of all has nothing to be compared with.
func TestReleaseTheFirst(t *testing.T) {
	s := newStore(t)
	if err := quarantine(t, s, 5); err != nil {
		t.Fatal(err)
	}
	snap, err := release(t, s, "")
	if err != nil || snap.Manifest.Resources["users"].Base != snapshot.BaseNone {
		t.Fatalf("Release() = %v, %v", snap, err)
	}
	if problems, _ := findings(t, s); len(problems) > 0 {
		t.Errorf("Verify: %q", problems)
	}
}

func TestReleaseRefuses(t *testing.T) {
	s := oneDay(t)
	if _, err := release(t, s, ""); err == nil || !strings.Contains(err.Error(), "staff has no quarantined reads") {
		t.Errorf("nothing held: %v", err)
	}
	if err := quarantine(t, s, 5); err != nil {
		t.Fatal(err)
	}
	if _, err := release(t, s, "20200101T000000Z"); err == nil || !strings.Contains(err.Error(), "the newest is 20261127T060000Z") {
		t.Errorf("another name: %v", err)
	}
	held, err := s.FindQuarantined(staff, "")
	if err != nil {
		t.Fatal(err)
	}
	requests := filepath.Join(held.Dir(), "requests.ndjson")
	good := read(t, requests)
	write(t, requests, strings.Replace(good, "200", "201", 1))
	if _, err := release(t, s, ""); err == nil || !strings.Contains(err.Error(), "its files have changed since the read") {
		t.Errorf("edited: %v", err)
	}
	write(t, requests, good)
	publish(t, s, day(6), people(6)...)
	if _, err := release(t, s, ""); err == nil || !strings.Contains(err.Error(), "there is a newer snapshot, 20261128T060000Z") {
		t.Errorf("a newer snapshot: %v", err)
	}
	if problems, notes := findings(t, s); len(problems)+len(notes) > 0 {
		t.Errorf("Verify: %q %q", problems, notes)
	}
}

func TestDrop(t *testing.T) {
	s := oneDay(t)
	if err := quarantine(t, s, 5); err != nil {
		t.Fatal(err)
	}
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Drop("20261127T060000Z", "ops", "the role was missing"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(s.Dir(), ".quarantine", staff))
	if err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	events := journalOf(t, s)
	if e := events[len(events)-1]; e.Event != snapshot.EventDropped || e.User != "ops" || e.Reason != "the role was missing" {
		t.Errorf("journal: %+v", e)
	}
}
