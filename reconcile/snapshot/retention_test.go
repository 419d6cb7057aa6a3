package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

// retain applies r through a writer of its own.
func retain(t testing.TB, s *snapshot.Store, r snapshot.Retention) ([]string, error) {
	t.Helper()
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		return nil, err
	}
	names, err := w.Prune(t.Context(), r)
	return names, errors.Join(err, w.Close())
}

func mustPrune(t testing.TB, s *snapshot.Store, last int) {
	t.Helper()
	if _, err := retain(t, s, snapshot.Retention{Last: last}); err != nil {
		t.Fatal(err)
	}
}

func TestRetention(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	days := func(n int) (names []string) { // at noon, up to Sunday, 3 January 2027
		for i := range n {
			names = append(names, time.Date(2027, 1, 3-n+1+i, 12, 0, 0, 0, time.UTC).Format("20060102T150405Z"))
		}
		return names
	}
	for _, test := range []struct {
		name  string
		names []string
		r     snapshot.Retention
		want  string // what stays, without the time of day
	}{
		{"everything", days(3), snapshot.Retention{}, "20270101 20270102 20270103"},
		{"nothing there", nil, snapshot.Retention{Last: 1}, ""},
		{"last", days(9), snapshot.Retention{Last: 2}, "20270102 20270103"},
		{"daily", slices.Concat(days(3), []string{"20270103T130000Z"}), snapshot.Retention{Daily: 2}, "20270102 20270103"},
		{"weekly", days(20), snapshot.Retention{Weekly: 2}, "20261227 20270103"}, // weeks end on Sunday
		{"monthly", days(70), snapshot.Retention{Monthly: 3}, "20261130 20261231 20270103"},
		{"yearly, and the oldest", days(20), snapshot.Retention{Yearly: 3}, "20261215 20261231 20270103"},
		{"daily and monthly", days(40), snapshot.Retention{Daily: 2, Monthly: 2}, "20261231 20270102 20270103"},
		{"hold", days(9), snapshot.Retention{Last: 1, Hold: []string{"20261228T120000Z", "20200101T000000Z"}}, "20261228 20270103"},
		{"never the newest", days(2), snapshot.Retention{Last: 1}, "20270103"},
		{"a day in UTC", []string{"20270101T223000Z", "20270101T233000Z", "20270102T120000Z"}, snapshot.Retention{Daily: 2}, "20270101T2330 20270102"},
		{"a day in Berlin", []string{"20270101T223000Z", "20270101T233000Z", "20270102T120000Z"}, snapshot.Retention{Daily: 2, Zone: berlin}, "20270101T2230 20270102"},
	} {
		drop := test.r.Drop(test.names)
		stay := slices.DeleteFunc(slices.Clone(test.names), func(name string) bool { return slices.Contains(drop, name) })
		want := strings.Fields(test.want)
		if !slices.EqualFunc(stay, want, strings.HasPrefix) || len(stay)+len(drop) != len(test.names) || !slices.IsSorted(drop) {
			t.Errorf("%s: stay %v, want %v", test.name, stay, want)
		}
	}
}

// What is pruned is gone, its manifest and signature are not, and the chain
// holds over them.
func TestPrune(t *testing.T) {
	signer := newSigner(t)
	s := signedDays(t, signer)
	list, err := s.List(staff)
	if err != nil {
		t.Fatal(err)
	}
	pruned, err := retain(t, s, snapshot.Retention{Last: 1, Hold: []string{list[0].Name()}})
	if want := []string{list[1].Name()}; err != nil || !slices.Equal(pruned, want) {
		t.Fatalf("Prune() = %v, %v, want %v", pruned, err, want)
	}
	problems, sum := verifyWith(t, s, verify.Options{
		Signers: allowed(t, "archive "+signer.PublicKey()),
		Heads:   []verify.Head{{Export: staff, Sequence: 2, Digest: list[1].Digest}},
	})
	if len(problems) > 0 || sum.Snapshots != 2 || sum.Pruned != 1 || sum.Signed[0].Manifests != 3 {
		t.Errorf("Verify: %q, %+v", problems, sum)
	}
	var gone *snapshot.PrunedError
	if _, err := s.Find(staff, list[1].Name(), nil); !errors.As(err, &gone) {
		t.Errorf("Find of what was pruned: %v", err)
	}
	if m, err := s.Manifest(staff, list[1].Name()); err != nil || m.Sequence != 2 {
		t.Errorf("Manifest of what was pruned: %+v, %v", m, err)
	}
	if _, err := s.Manifest(staff, "../"+staff); err == nil {
		t.Error("Manifest left the export")
	}
	found, err := s.Find(staff, "2026-11-24", nil)
	if err != nil || found.Name() != list[0].Name() {
		t.Fatalf("Find of that day: %v, %v", found, err)
	}
	if rather, err := s.PrunedFor(found, "2026-11-24", nil); err != nil || !slices.Equal(rather, pruned) {
		t.Errorf("PrunedFor() = %v, %v", rather, err)
	}
	if rather, err := s.PrunedFor(found, "2026-11-23", nil); err != nil || len(rather) > 0 {
		t.Errorf("PrunedFor() the day before = %v, %v", rather, err)
	}
	events := journalOf(t, s)
	if last := events[len(events)-1]; last.Event != snapshot.EventPruned || last.Snapshot != pruned[0] || last.ManifestSHA256 != list[1].Digest {
		t.Errorf("last event = %+v", last)
	}
	if due, err := s.Due(staff, snapshot.Retention{Last: 2}, day(9)); err != nil || !slices.Equal(due, []string{list[0].Name()}) {
		t.Errorf("Due() = %v, %v", due, err)
	}
	publish(t, s, day(4), people(4)...)
	mustPrune(t, s, 1)
	if problems, notes := findings(t, s); len(problems)+len(notes) > 0 {
		t.Errorf("Verify after a second prune: %q %q", problems, notes)
	}
}

// The only good snapshot is not for retention to remove.
func TestPruneKeepsTheOnlyGoodOne(t *testing.T) {
	s := threeDays(t)
	write(t, filepath.Join(s.Dir(), staff, "latest", "requests.ndjson"), "damaged")
	names, err := retain(t, s, snapshot.Retention{Last: 1})
	if err == nil || !strings.Contains(err.Error(), "none of the snapshots that would stay is whole") || len(names) > 0 {
		t.Errorf("Prune() = %v, %v", names, err)
	}
	if list, err := s.List(staff); err != nil || len(list) != 3 {
		t.Errorf("%d snapshots left, %v", len(list), err)
	}
}

func TestVerifyFindsFalseTombstones(t *testing.T) {
	const (
		first  = "20261123T060000Z"
		second = "20261124T060000Z"
		third  = "20261125T060000Z"
	)
	signer := newSigner(t)
	for _, test := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
		want   string
	}{
		{"gone", func(t *testing.T, dir string) { removeAll(t, dir, "pruned/"+first) },
			"staff/pruned/20261123T060000Z: is missing, and the journal says that the snapshot was pruned"},
		{"all gone", func(t *testing.T, dir string) { removeAll(t, dir, "pruned") },
			"staff/pruned/20261124T060000Z: is missing, and the journal says that the snapshot was pruned"},
		{"manifest gone", func(t *testing.T, dir string) { remove(t, dir, "pruned/"+first+"/manifest.json") },
			"staff/pruned/20261123T060000Z/manifest.json: is missing"},
		{"signature gone", func(t *testing.T, dir string) { remove(t, dir, "pruned/"+first+"/manifest.json.sig") },
			"staff/pruned/20261123T060000Z/manifest.json.sig: is missing"},
		{"edited", func(t *testing.T, dir string) {
			if err := edit(filepath.Join(dir, "pruned", second, "manifest.json"), `"total":2`, `"total":3`); err != nil {
				t.Fatal(err)
			}
		}, "staff/pruned/20261124T060000Z/manifest.json: is not the one that the journal knows"},
		{"another's", func(t *testing.T, dir string) {
			copyFile(t, filepath.Join(dir, "pruned", first, "manifest.json"), filepath.Join(dir, "pruned", second, "manifest.json"))
		}, "staff/pruned/20261124T060000Z/manifest.json: is that of staff@20261123T060000Z"},
		{"file added", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "pruned", first, "users.csv"), "") },
			"staff/pruned/20261123T060000Z/users.csv: is no part of a tombstone"},
		{"folder added", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "pruned", "old", "manifest.json"), "") },
			"staff/pruned/old: is no part of an export"},
		{"pruned by hand", func(t *testing.T, dir string) {
			for _, name := range []string{"manifest.json", "manifest.json.sig"} {
				copyFile(t, filepath.Join(dir, third, name), filepath.Join(dir, "pruned", third, name))
			}
			removeAll(t, dir, third)
		}, "staff/pruned/20261125T060000Z: is the newest of the chain and was pruned, which retention never does"},
		{"snapshot back", func(t *testing.T, dir string) {
			for _, name := range []string{"manifest.json", "manifest.json.sig"} {
				copyFile(t, filepath.Join(dir, "pruned", first, name), filepath.Join(dir, first, name))
			}
		}, "staff/pruned/20261123T060000Z: was pruned, and the snapshot is there again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := signedDays(t, signer)
			mustPrune(t, s, 1)
			if problems, notes := findings(t, s); len(problems)+len(notes) > 0 {
				t.Fatalf("Verify: %q %q", problems, notes)
			}
			test.tamper(t, filepath.Join(s.Dir(), staff))
			if problems, _ := findings(t, s); !slices.Contains(problems, test.want) {
				t.Errorf("found:\n\t%s\nwant:\n\t%s", strings.Join(problems, "\n\t"), test.want)
			}
		})
	}
}

func removeAll(t testing.TB, dir, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// A snapshot that was pruned and that somebody has put back is for verify to
// tell of: it is no unfinished prune once a run has begun since.
func TestPrunedSnapshotPutBackIsLeftAlone(t *testing.T) {
	s := threeDays(t)
	old := filepath.Join(s.Dir(), staff, "20261123T060000Z")
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.CopyFS(kept, os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	if _, err := retain(t, s, snapshot.Retention{Last: 2}); err != nil {
		t.Fatal(err)
	}
	publish(t, s, day(4), people(4)...)
	if err := os.CopyFS(old, os.DirFS(kept)); err != nil {
		t.Fatal(err)
	}
	publish(t, s, day(5), people(5)...)
	problems, _ := findings(t, s)
	if want := "staff/pruned/20261123T060000Z: was pruned, and the snapshot is there again"; !slices.Contains(problems, want) {
		t.Errorf("Verify: %q, want %q", problems, want)
	}
}
