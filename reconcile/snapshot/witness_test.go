package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oktasync/reconcile/snapshot"
)

// A store put back from a backup as a whole agrees with itself. Whoever was told
// of a later snapshot notices, says so in the journal, for all who come later,
// and publishes nothing until somebody adopts it.
func TestWitness(t *testing.T) {
	witness := new(snapshot.Witness)
	dir := filepath.Join(t.TempDir(), "snapshots")
	open := func(w *snapshot.Witness) *snapshot.Store {
		t.Helper()
		s, err := snapshot.Init(dir, acme, snapshot.Options{Witness: w})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(witness)
	first := publish(t, s, day(1), people(3)...)
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	second := publish(t, s, day(2), people(4)...)
	if err := errors.Join(os.Rename(dir, dir+".lost"), os.Rename(backup, dir)); err != nil {
		t.Fatal(err)
	}
	if problems, notes := findings(t, open(nil)); len(problems)+len(notes) > 0 {
		t.Errorf("the backup by itself: %q %q", problems, notes)
	}
	// First the one who was told, then one who only finds the journal's line.
	for _, w := range []*snapshot.Witness{witness, witness, nil} {
		_, err := reconcile(t, open(w), day(3), people(5)...)
		var behind *snapshot.BehindError
		want := "the newest snapshot is " + first.Name() + ", and " + second.Name() + " was published after it"
		if !errors.As(err, &behind) || !strings.Contains(err.Error(), want) || !strings.Contains(behind.Hint(), "oktasync adopt staff") {
			t.Fatalf("publish: %v, want %q", err, want)
		}
	}
	want := "staff@" + second.Name() + ": was published, and is gone"
	if problems, _ := findings(t, open(nil)); len(problems) != 1 || problems[0] != want {
		t.Errorf("Verify found %q, want %q", problems, want)
	}
	adopt(t, open(nil))
	snap := publish(t, open(nil), day(3), people(5)...)
	if a := snap.Manifest.Adopted; a == nil || a.Known == nil || a.Known.ManifestSHA256 != second.Digest {
		t.Errorf("adopted = %+v, want the snapshot that is lost", a)
	}
	// All is well again, also for who was told.
	publish(t, open(witness), day(4), people(6)...)
	publish(t, open(witness), day(5), people(6)...)
	problems, notes := findings(t, open(nil))
	if len(problems) > 0 || len(notes) != 1 || !strings.HasPrefix(notes[0], want+"; ops adopted that") {
		t.Errorf("Verify found %q %q", problems, notes)
	}
}

// What retention prunes and what another process publishes is no loss.
func TestWitnessIsToldOfNoLoss(t *testing.T) {
	witness := new(snapshot.Witness)
	dir := filepath.Join(t.TempDir(), "snapshots")
	for n := range 6 {
		o := snapshot.Options{}
		if n%2 == 0 { // every other one is published beside it
			o.Witness = witness
		}
		s, err := snapshot.Init(dir, acme, o)
		if err != nil {
			t.Fatal(err)
		}
		publish(t, s, day(n+1), people(n+2)...)
		w, err := s.Writer(staff, snapshot.ThisProcess("test"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Prune(t.Context(), snapshot.Retention{Last: 1}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
