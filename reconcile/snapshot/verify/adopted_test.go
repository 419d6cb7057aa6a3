package verify_test

import (
	"slices"
	"testing"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/verify"
)

// After an adopted break, a snapshot is compared with its predecessor, also if
// pruned snapshots are between them. A head from elsewhere may be one of two
// snapshots with the same sequence, before the break or after it.
func TestVerifyAcrossBreak(t *testing.T) {
	s := storetest.ThreeDays(t)
	lost := storetest.Find(t, s, second)
	storetest.MustPrune(t, s, 1, first)
	storetest.RemoveAll(t, s.Path(staff, third))
	storetest.Adopt(t, s)
	again := storetest.Publish(t, s, storetest.Day(4), storetest.People(17)...)
	for digest, want := range map[string]int{lost.Digest: 0, again.Digest: 0, snapshot.DigestOf(nil): 1} {
		head := verify.Head{Export: staff, Sequence: 2, Digest: digest}
		if problems, _ := storetest.VerifyWith(t, s, verify.Options{Heads: []verify.Head{head}}); len(problems) != want {
			t.Errorf("head 2:%s: %q, want %d problems", digest, problems, want)
		}
	}
	forge(t, s, func(f *forger) { f.replace("users.changes.ndjson", "Sales", "Sails") })
	problems, _ := storetest.Verify(t, s)
	if want := []string{"staff@" + again.Name() + "/users.changes.ndjson: is not the difference from " + first}; !slices.Equal(problems, want) {
		t.Errorf("Verify: %q, want %q", problems, want)
	}
}

// An adoption explains why the journal lacks the predecessors of a snapshot, but
// not another snapshot.
func TestAdoptionExplainsNothingElse(t *testing.T) {
	s := storetest.ThreeDays(t)
	storetest.RemoveAll(t, s.Path(staff, third))
	storetest.RemoveAll(t, s.Path(staff, "journal.ndjson"))
	storetest.Adopt(t, s)
	storetest.Publish(t, s, storetest.Day(4), storetest.People(4)...)
	from := storetest.Find(t, s, second)
	forged := from.Manifest
	forged.Snapshot, forged.Sequence = "20261125T070000Z", 3
	forged.Previous = &snapshot.Link{Snapshot: from.Name(), ManifestSHA256: from.Digest}
	data, err := canonjson.Marshal(forged)
	storetest.Must(t, err)
	storetest.Write(t, s.Path(staff, forged.Snapshot, "manifest.json"), string(data)+"\n")
	problems, notes := storetest.Verify(t, s)
	if want := "staff@20261125T070000Z: the journal does not know it"; !slices.Contains(problems, want) || len(notes) != 2 {
		t.Errorf("Verify: %q %q, want %q and two notes", problems, notes, want)
	}
}
