package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

// If the newest snapshot isn't the one in the journal, nothing is published until
// the break is adopted. The next manifest contains the adoption.
func TestAdopt(t *testing.T) {
	const first, second, third = "20261123T060000Z", "20261124T060000Z", "20261125T060000Z"
	const adopted = "; ops adopted that in 20261126T060000Z: a disk was lost"
	lose := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, name := range names {
				storetest.RemoveAll(t, dir, name)
			}
		}
	}
	for _, test := range []struct {
		name     string
		lose     func(t *testing.T, dir string)
		rejected string
		notes    []string
	}{
		{"snapshots lost", lose(second, third), "the newest snapshot is " + first + ", and the journal knows " + third,
			[]string{"staff@" + second + ": was published, and is gone" + adopted, "staff@" + third + ": was published, and is gone" + adopted}},
		{"all lost", lose(first, second, third), "the newest snapshot is none, and the journal knows " + third,
			[]string{"staff@" + first + ": was published, and is gone" + adopted, "staff@" + second + ": was published, and is gone" + adopted,
				"staff@" + third + ": was published, and is gone" + adopted}},
		{"older journal", func(t *testing.T, dir string) {
			storetest.Must(t, storetest.CutLines(filepath.Join(dir, "journal.ndjson"), 6, 9))
		}, "the newest snapshot is " + third + ", and the journal knows " + second,
			[]string{"staff@" + third + ": the journal does not know it" + adopted}},
		{"journal lost", lose("journal.ndjson"), "the newest snapshot is " + third + ", and the journal knows none",
			[]string{"staff@" + first + ": the journal does not know it" + adopted, "staff@" + second + ": the journal does not know it" + adopted,
				"staff@" + third + ": the journal does not know it" + adopted}},
	} {
		t.Run(test.name, func(t *testing.T) {
			signer := storetest.NewSigner(t)
			s := storetest.SignedDays(t, signer)
			test.lose(t, s.Path(staff))
			var behind *snapshot.BehindError
			if _, err := storetest.Reconcile(t, s, storetest.Day(4), storetest.People(4)...); !errors.As(err, &behind) || !strings.Contains(err.Error(), test.rejected) {
				t.Fatalf("publish: %v, want %q", err, test.rejected)
			}
			if problems, _ := storetest.Verify(t, s); len(problems) == 0 {
				t.Error("Verify finds nothing")
			}
			storetest.Adopt(t, s)
			if problems, _ := storetest.Verify(t, s); len(problems) == 0 {
				t.Error("Verify finds nothing before a manifest contains the adoption")
			}
			snap := storetest.Publish(t, s, storetest.Day(4), storetest.People(4)...)
			if a := snap.Manifest.Adopted; a == nil || a.User != "ops" || a.Reason != "a disk was lost" {
				t.Errorf("adopted = %+v", a)
			}
			problems, notes := storetest.Verify(t, s)
			if len(problems) > 0 || !slices.Equal(notes, test.notes) {
				t.Errorf("Verify:\n\t%s\n\t%s", problems, strings.Join(notes, "\n\t"))
			}
			if next := storetest.Publish(t, s, storetest.Day(5), storetest.People(5)...); next.Manifest.Adopted != nil {
				t.Errorf("the next one adopts too: %+v", next.Manifest.Adopted)
			}
			if problems, _ := storetest.VerifyWith(t, s, verify.Options{Signers: storetest.Allow(t, "archive "+signer.PublicKey())}); len(problems) > 0 {
				t.Errorf("Verify: %q", problems)
			}
			storetest.Remove(t, snap.Dir(), "manifest.json.sig")
			if problems, _ := storetest.Verify(t, s); len(problems) != 1 {
				t.Errorf("Verify without the signature: %q", problems)
			}
		})
	}
}

// The chain may continue from a snapshot that is older than pruned ones, or from
// none.
func TestAdoptBehindPruned(t *testing.T) {
	for _, hold := range [][]string{{"20261123T060000Z"}, nil} {
		s := storetest.SignedDays(t, storetest.NewSigner(t))
		storetest.MustPrune(t, s, 1, hold...)
		storetest.RemoveAll(t, s.Path(staff, "20261125T060000Z"))
		storetest.Adopt(t, s)
		for n := range 2 {
			storetest.Publish(t, s, storetest.Day(4+n), storetest.People(4)...)
			if problems, notes := storetest.Verify(t, s); len(problems) > 0 || len(notes) != 1 {
				t.Errorf("with %q left: Verify: %q %q", hold, problems, notes)
			}
		}
	}
}

// An adoption covers earlier losses, and no later ones.
func TestAdoptOnce(t *testing.T) {
	s := storetest.ThreeDays(t)
	w := storetest.Writer(t, s)
	if err := w.Adopt("ops", "why not"); err == nil || !strings.Contains(err.Error(), "there is nothing to adopt") {
		t.Errorf("Adopt() without a break = %v", err)
	}
	storetest.Must(t, w.Close())
	storetest.RemoveAll(t, s.Path(staff, "20261125T060000Z"))
	storetest.Adopt(t, s)
	storetest.RemoveAll(t, storetest.Publish(t, s, storetest.Day(4), storetest.People(4)...).Dir())
	var behind *snapshot.BehindError
	if _, err := storetest.Reconcile(t, s, storetest.Day(5), storetest.People(4)...); !errors.As(err, &behind) {
		t.Errorf("publish after another loss: %v, want a *BehindError", err)
	}
}

// A store that is an older copy as a whole has no inner contradiction. A Witness
// of a later snapshot rejects a publish, the journal records that for other
// processes, and nothing is published until the break is adopted.
func TestWitness(t *testing.T) {
	witness := new(snapshot.Witness)
	dir := filepath.Join(t.TempDir(), "snapshots")
	open := func(w *snapshot.Witness) *snapshot.Store { return storetest.Init(t, dir, snapshot.Options{Witness: w}) }
	s := open(witness)
	first := storetest.Publish(t, s, storetest.Day(1), storetest.People(3)...)
	backup := filepath.Join(t.TempDir(), "backup")
	storetest.CopyFolder(t, dir, backup)
	second := storetest.Publish(t, s, storetest.Day(2), storetest.People(4)...)
	storetest.Must(t, os.Rename(dir, dir+".lost"), os.Rename(backup, dir))
	storetest.CheckOK(t, open(nil))
	for _, w := range []*snapshot.Witness{witness, witness, nil} { // at last with the line of the journal alone
		_, err := storetest.Reconcile(t, open(w), storetest.Day(3), storetest.People(5)...)
		var behind *snapshot.BehindError
		want := "the newest snapshot is " + first.Name() + ", and " + second.Name() + " was published after it"
		if !errors.As(err, &behind) || !strings.Contains(err.Error(), want) || behind.Export != "staff" {
			t.Fatalf("publish: %v, want %q", err, want)
		}
	}
	want := "staff@" + second.Name() + ": was published, and is gone"
	if problems, _ := storetest.Verify(t, open(nil)); len(problems) != 1 || problems[0] != want {
		t.Errorf("Verify found %q, want %q", problems, want)
	}
	storetest.Adopt(t, open(nil))
	snap := storetest.Publish(t, open(nil), storetest.Day(3), storetest.People(5)...)
	if a := snap.Manifest.Adopted; a == nil || a.Known == nil || a.Known.ManifestSHA256 != second.Digest {
		t.Errorf("adopted = %+v, want the lost snapshot", a)
	}
	storetest.Publish(t, open(witness), storetest.Day(4), storetest.People(6)...) // the witness accepts the adoption
	storetest.Publish(t, open(witness), storetest.Day(5), storetest.People(6)...)
	problems, notes := storetest.Verify(t, open(nil))
	if len(problems) > 0 || len(notes) != 1 || !strings.HasPrefix(notes[0], want+"; ops adopted that") {
		t.Errorf("Verify found %q %q", problems, notes)
	}
}

// A prune or the publish of another process isn't a loss.
func TestWitnessWithoutLoss(t *testing.T) {
	witness := new(snapshot.Witness)
	dir := filepath.Join(t.TempDir(), "snapshots")
	for n := range 6 {
		o := snapshot.Options{}
		if n%2 == 0 { // another process publishes every other one
			o.Witness = witness
		}
		s := storetest.Init(t, dir, o)
		storetest.Publish(t, s, storetest.Day(n+1), storetest.People(n+2)...)
		if _, err := storetest.Prune(t, s, snapshot.Retention{Last: 1}); err != nil {
			t.Fatal(err)
		}
	}
}
