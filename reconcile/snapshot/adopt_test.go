package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/verify"
)

// Where the newest snapshot is not the one that the journal knows, nothing is
// published until somebody says why, and that is signed with the next one.
func TestAdopt(t *testing.T) {
	journal := filepath.Join(staff, "journal.ndjson")
	for _, test := range []struct {
		name    string
		lose    func(t *testing.T, dir string)
		refused string
		notes   []string
	}{
		{"snapshots lost", func(t *testing.T, dir string) {
			removeAll(t, dir, staff+"/20261125T060000Z")
			removeAll(t, dir, staff+"/20261124T060000Z")
		}, "the newest snapshot is 20261123T060000Z, and the journal knows 20261125T060000Z",
			[]string{
				"staff@20261124T060000Z: was published, and is gone; ops adopted that in 20261126T060000Z: a disk was lost",
				"staff@20261125T060000Z: was published, and is gone; ops adopted that in 20261126T060000Z: a disk was lost",
			}},
		{"all lost", func(t *testing.T, dir string) {
			for _, name := range []string{"20261123T060000Z", "20261124T060000Z", "20261125T060000Z"} {
				removeAll(t, dir, filepath.Join(staff, name))
			}
		}, "the newest snapshot is none, and the journal knows 20261125T060000Z",
			[]string{
				"staff@20261123T060000Z: was published, and is gone; ops adopted that in 20261126T060000Z: a disk was lost",
				"staff@20261124T060000Z: was published, and is gone; ops adopted that in 20261126T060000Z: a disk was lost",
				"staff@20261125T060000Z: was published, and is gone; ops adopted that in 20261126T060000Z: a disk was lost",
			}},
		{"journal put back", func(t *testing.T, dir string) {
			if err := cutLines(filepath.Join(dir, journal), 6, 9); err != nil {
				t.Fatal(err)
			}
		}, "the newest snapshot is 20261125T060000Z, and the journal knows 20261124T060000Z",
			[]string{"staff@20261125T060000Z: the journal does not know it; ops adopted that in 20261126T060000Z: a disk was lost"}},
		{"journal lost", func(t *testing.T, dir string) { remove(t, dir, journal) },
			"the newest snapshot is 20261125T060000Z, and the journal knows none",
			[]string{
				"staff@20261123T060000Z: the journal does not know it; ops adopted that in 20261126T060000Z: a disk was lost",
				"staff@20261124T060000Z: the journal does not know it; ops adopted that in 20261126T060000Z: a disk was lost",
				"staff@20261125T060000Z: the journal does not know it; ops adopted that in 20261126T060000Z: a disk was lost",
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			signer := newSigner(t)
			s := signedDays(t, signer)
			test.lose(t, s.Dir())
			var behind *snapshot.BehindError
			if _, err := reconcile(t, s, day(4), people(4)...); !errors.As(err, &behind) || !strings.Contains(err.Error(), test.refused) {
				t.Fatalf("publish: %v, want %q", err, test.refused)
			}
			if problems, _ := findings(t, s); len(problems) == 0 {
				t.Error("Verify finds nothing")
			}
			adopt(t, s)
			if problems, _ := findings(t, s); len(problems) == 0 {
				t.Error("Verify finds nothing, and nobody has signed yet")
			}
			snap := publish(t, s, day(4), people(4)...)
			if a := snap.Manifest.Adopted; a == nil || a.User != "ops" || a.Reason != "a disk was lost" {
				t.Errorf("adopted = %+v", a)
			}
			problems, notes := findings(t, s)
			if len(problems) > 0 || !slices.Equal(notes, test.notes) {
				t.Errorf("Verify:\n\t%s\n\t%s", problems, strings.Join(notes, "\n\t"))
			}
			if next := publish(t, s, day(5), people(5)...); next.Manifest.Adopted != nil {
				t.Errorf("the next one adopts too: %+v", next.Manifest.Adopted)
			}
			if problems, _ := verifyWith(t, s, verify.Options{Signers: allowed(t, "archive "+signer.PublicKey())}); len(problems) > 0 {
				t.Errorf("Verify: %q", problems)
			}
			if err := os.Remove(filepath.Join(snap.Dir(), "manifest.json.sig")); err != nil {
				t.Fatal(err)
			}
			if problems, _ := findings(t, s); len(problems) != 1 {
				t.Errorf("Verify without the signature: %q", problems)
			}
		})
	}
}

func adopt(t testing.TB, s *snapshot.Store) {
	t.Helper()
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Adopt("ops", "a disk was lost"), w.Close()); err != nil {
		t.Fatal(err)
	}
}

// What goes on from a snapshot older than some that retention has pruned, or
// from none, fits all the same once that was adopted.
func TestAdoptBehindPruned(t *testing.T) {
	for _, hold := range [][]string{{"20261123T060000Z"}, nil} {
		s := signedDays(t, newSigner(t))
		if _, err := retain(t, s, snapshot.Retention{Last: 1, Hold: hold}); err != nil {
			t.Fatal(err)
		}
		removeAll(t, s.Dir(), staff+"/20261125T060000Z")
		adopt(t, s)
		for n := range 2 {
			publish(t, s, day(4+n), people(4)...)
			if problems, notes := findings(t, s); len(problems) > 0 || len(notes) != 1 {
				t.Errorf("with %q left: Verify: %q %q", hold, problems, notes)
			}
		}
	}
}

// What goes on from an older snapshot is held against that one, also where
// retention had pruned some that came between: whoever makes all digests fit is
// found out.
func TestVerifyComparesAcrossBreak(t *testing.T) {
	s := threeDays(t)
	if _, err := retain(t, s, snapshot.Retention{Last: 1, Hold: []string{"20261123T060000Z"}}); err != nil {
		t.Fatal(err)
	}
	removeAll(t, s.Dir(), staff+"/20261125T060000Z")
	adopt(t, s)
	publish(t, s, day(4), people(17)...)
	forge(t, s, func(f *forger) { f.replace("users.changes.ndjson", "Sales", "Sails") })
	problems, _ := findings(t, s)
	if want := []string{"staff@20261126T060000Z/users.changes.ndjson: is not the difference from 20261123T060000Z"}; !slices.Equal(problems, want) {
		t.Errorf("Verify: %q, want %q", problems, want)
	}
}

// An adoption excuses that the journal does not know what it goes on from, and
// no snapshot that somebody has put beside that.
func TestAdoptExcusesNothingElse(t *testing.T) {
	s := threeDays(t)
	removeAll(t, s.Dir(), staff+"/20261125T060000Z")
	removeAll(t, s.Dir(), staff+"/journal.ndjson")
	adopt(t, s)
	publish(t, s, day(4), people(4)...)
	from, err := s.Find(staff, "20261124T060000Z", nil)
	if err != nil {
		t.Fatal(err)
	}
	forged := from.Manifest
	forged.Snapshot, forged.Sequence = "20261125T070000Z", 3
	forged.Previous = &snapshot.Link{Snapshot: from.Name(), ManifestSHA256: from.Digest}
	data, err := canonjson.Marshal(forged)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.Dir(), staff, forged.Snapshot, "manifest.json"), string(data)+"\n")
	problems, notes := findings(t, s)
	if want := "staff@20261125T070000Z: the journal does not know it"; !slices.Contains(problems, want) || len(notes) != 2 {
		t.Errorf("Verify: %q %q, want %q and two notes", problems, notes, want)
	}
}

// Of two snapshots with one sequence, before a break and after it, either may
// have been noted elsewhere.
func TestHeadsAcrossBreak(t *testing.T) {
	s := threeDays(t)
	second, err := s.Find(staff, "20261124T060000Z", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := retain(t, s, snapshot.Retention{Last: 1, Hold: []string{"20261123T060000Z"}}); err != nil {
		t.Fatal(err)
	}
	removeAll(t, s.Dir(), staff+"/20261125T060000Z")
	adopt(t, s)
	again := publish(t, s, day(4), people(4)...)
	for digest, want := range map[string]int{second.Digest: 0, again.Digest: 0, hexSum(nil): 1} {
		head := verify.Head{Export: staff, Sequence: 2, Digest: digest}
		if problems, _ := verifyWith(t, s, verify.Options{Heads: []verify.Head{head}}); len(problems) != want {
			t.Errorf("head 2:%s: %q, want %d problems", digest, problems, want)
		}
	}
}

// An adoption excuses what was missing then, and nothing that goes later.
func TestAdoptOnce(t *testing.T) {
	s := threeDays(t)
	removeAll(t, s.Dir(), staff+"/20261125T060000Z")
	adopt(t, s)
	snap := publish(t, s, day(4), people(4)...)
	removeAll(t, s.Dir(), filepath.Join(staff, snap.Name()))
	var behind *snapshot.BehindError
	if _, err := reconcile(t, s, day(5), people(4)...); !errors.As(err, &behind) {
		t.Errorf("publish after another loss: %v, want a *BehindError", err)
	}
}

func TestAdoptNothing(t *testing.T) {
	s := threeDays(t)
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Adopt("ops", "why not"); err == nil || !strings.Contains(err.Error(), "there is nothing to adopt") {
		t.Errorf("Adopt() = %v", err)
	}
}
