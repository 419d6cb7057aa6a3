package snapshot_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

func TestRetention(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	storetest.Must(t, err)
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
		want  string // dates of the remaining snapshots
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

// A prune keeps the manifest and signature of a snapshot, and the chain verifies.
func TestPrune(t *testing.T) {
	signer := storetest.NewSigner(t)
	s := storetest.SignedDays(t, signer)
	list, err := s.List(staff)
	storetest.Must(t, err)
	pruned, err := storetest.Prune(t, s, snapshot.Retention{Last: 1, Hold: []string{list[0].Name()}})
	if want := []string{list[1].Name()}; err != nil || !slices.Equal(pruned, want) {
		t.Fatalf("Prune() = %v, %v, want %v", pruned, err, want)
	}
	problems, sum := storetest.VerifyWith(t, s, verify.Options{
		Signers: storetest.Allow(t, "archive "+signer.PublicKey()),
		Heads:   []snapshot.Head{{Export: staff, Sequence: 2, Digest: list[1].Digest}},
	})
	if len(problems) > 0 || sum.Snapshots != 2 || sum.Pruned != 1 || sum.Signed[0].Manifests != 3 {
		t.Errorf("Verify: %q, %+v", problems, sum)
	}
	var gone *snapshot.PrunedError
	if _, err := s.Find(staff, list[1].Name(), nil); !errors.As(err, &gone) {
		t.Errorf("Find of a pruned snapshot: %v", err)
	}
	if m, err := s.Manifest(staff, list[1].Name()); err != nil || m.Sequence != 2 {
		t.Errorf("Manifest of a pruned snapshot: %+v, %v", m, err)
	}
	if _, err := s.Manifest(staff, "../"+staff); err == nil {
		t.Error("Manifest reads outside of the export")
	}
	found, err := s.Find(staff, "2026-11-24", nil)
	if err != nil || found.Name() != list[0].Name() {
		t.Fatalf("Find of its day: %v, %v", found, err)
	}
	if names, err := s.PrunedFor(found, "2026-11-24", nil); err != nil || !slices.Equal(names, pruned) {
		t.Errorf("PrunedFor() = %v, %v", names, err)
	}
	if names, err := s.PrunedFor(found, "2026-11-23", nil); err != nil || len(names) > 0 {
		t.Errorf("PrunedFor() the day before = %v, %v", names, err)
	}
	events := storetest.Journal(t, s)
	if last := events[len(events)-1]; last.Event != snapshot.EventPruned || last.Snapshot != pruned[0] || last.ManifestSHA256 != list[1].Digest {
		t.Errorf("last event = %+v", last)
	}
	if due, err := s.Due(staff, snapshot.Retention{Last: 2}, storetest.Day(8)); err != nil || !slices.Equal(due, []string{list[0].Name()}) {
		t.Errorf("Due() = %v, %v", due, err)
	}
	storetest.Publish(t, s, storetest.Day(4), storetest.People(4)...)
	storetest.MustPrune(t, s, 1)
	storetest.CheckOK(t, s)
}

// A prune keeps a damaged snapshot, so that Verify still reports it. If a person erases
// it, the journal records the damage.
func TestPruneKeepsADamagedSnapshot(t *testing.T) {
	s := storetest.ThreeDays(t)
	list, err := s.List(staff)
	storetest.Must(t, err)
	damaged := list[0].Name()
	storetest.Write(t, s.Path(staff, damaged, "users.csv"), "id,login\n")
	pruned, err := storetest.Prune(t, s, snapshot.Retention{Last: 1})
	if want := []string{list[1].Name()}; err != nil || !slices.Equal(pruned, want) {
		t.Errorf("Prune() = %v, %v, want %v", pruned, err, want)
	}
	if problems, _ := storetest.Verify(t, s); len(problems) != 1 || !strings.Contains(problems[0], damaged+"/users.csv") {
		t.Errorf("Verify finds %q, want the damage of %s", problems, damaged)
	}
	w := storetest.Writer(t, s)
	storetest.Must(t, w.Erase(t.Context(), damaged, "ops", "GDPR-1"), w.Close())
	events := storetest.Journal(t, s)
	if e := events[len(events)-1]; e.Event != snapshot.EventPruned || !strings.Contains(e.Error, "weren't the ones") {
		t.Errorf("the last event is %+v", e)
	}
	storetest.CheckOK(t, s)
}

// A prune never removes the last undamaged snapshot.
func TestPruneKeepsTheLastUndamaged(t *testing.T) {
	s := storetest.ThreeDays(t)
	storetest.Write(t, s.Path(staff, "latest", "requests.ndjson"), "damaged")
	names, err := storetest.Prune(t, s, snapshot.Retention{Last: 1})
	if err == nil || !strings.Contains(err.Error(), "the newest snapshot isn't complete") || len(names) > 0 {
		t.Errorf("Prune() = %v, %v", names, err)
	}
	if list, err := s.List(staff); err != nil || len(list) != 3 {
		t.Errorf("%d snapshots left, %v", len(list), err)
	}
}

// After a person has erased the newest snapshot, a prune keeps the newest one with records.
func TestPruneAfterTheNewestWasErased(t *testing.T) {
	s := storetest.ThreeDays(t)
	list, err := s.List(staff)
	storetest.Must(t, err)
	w := storetest.Writer(t, s)
	storetest.Must(t, w.Erase(t.Context(), list[2].Name(), "ops", "GDPR-1"), w.Close())
	pruned, err := storetest.Prune(t, s, snapshot.Retention{Last: 1})
	if want := []string{list[0].Name()}; err != nil || !slices.Equal(pruned, want) {
		t.Errorf("Prune() = %v, %v, want %v", pruned, err, want)
	}
	storetest.CheckOK(t, s)
}

// A chain has pruned snapshots too. It begins after a manifest that isn't the one that its
// successor names.
func TestChain(t *testing.T) {
	s := storetest.ThreeDays(t)
	storetest.Publish(t, s, storetest.Day(4), storetest.People(4)...)
	storetest.MustPrune(t, s, 2)
	chain := func() (names []string) {
		snapshots, err := s.Chain(storetest.Find(t, s, "latest"))
		storetest.Must(t, err)
		for _, snap := range snapshots {
			names = append(names, snap.Name()[6:8])
		}
		return names
	}
	if got := strings.Join(chain(), " "); got != "23 24 25 26" {
		t.Errorf("the chain is %s", got)
	}
	storetest.Must(t, storetest.Edit(s.Path(staff, snapshot.PrunedDir, storetest.Day(2).Format("20060102T150405Z"), "manifest.json"), `"trigger":"apply"`, `"trigger":"other"`))
	if got := strings.Join(chain(), " "); got != "25 26" {
		t.Errorf("the chain with a changed manifest is %s", got)
	}
}

// The end of a changes file that isn't the published one is an error.
func TestChangedChanges(t *testing.T) {
	snap := storetest.Find(t, storetest.ThreeDays(t), "latest")
	path := filepath.Join(snap.Dir(), snapshot.Users.ChangesFile())
	storetest.Write(t, path, strings.Replace(storetest.Read(t, path), `"activated"`, `"deactivated"`, 1))
	var last error
	for _, err := range snap.EachChange(snapshot.Users, nil) {
		last = err
	}
	if _, damaged := errors.AsType[*snapshot.DamagedError](last); !damaged {
		t.Errorf("the last error is %v", last)
	}
}

// Changes files of pruned snapshots stay for a number of months, and verify checks
// them.
func TestRetentionOfChanges(t *testing.T) {
	s := storetest.New(t)
	var names []string
	for i, day := range []int{-100, -99, -80, -50, -49} { // 14 and 15 August, 3 September, 3 and 4 October
		names = append(names, storetest.Publish(t, s, storetest.Day(day), storetest.People(i+1)...).Name())
	}
	kept := func() string {
		var list []string
		for _, name := range names {
			if _, err := os.Stat(s.Path(staff, snapshot.PrunedDir, name, "users.changes.ndjson")); err == nil {
				list = append(list, name[4:8])
			}
		}
		return strings.Join(list, " ")
	}
	prune := func(months int) {
		t.Helper()
		_, err := storetest.Prune(t, s, snapshot.Retention{Last: 1, Changes: months})
		storetest.Must(t, err)
		storetest.CheckOK(t, s)
	}
	prune(3)
	if got, want := kept(), "0815 0903 1003"; got != want {
		t.Fatalf("kept %s, want %s", got, want)
	}
	tombstone, err := snapshot.ReadFolder(s.Path(staff, snapshot.PrunedDir, names[2]))
	storetest.Must(t, err)
	changes, err := tombstone.Changes(snapshot.Users)
	storetest.Must(t, err)
	if data, err := io.ReadAll(changes); err != nil || !strings.Contains(string(data), `"joined"`) {
		t.Errorf("changes of a pruned snapshot: %s, %v", data, err)
	}
	changes.Close()
	names = append(names, storetest.Publish(t, s, storetest.Day(-19), storetest.People(9)...).Name()) // 3 November
	prune(3)
	if got, want := kept(), "0903 1003 1004"; got != want {
		t.Fatalf("kept %s, want %s", got, want)
	}
	w := storetest.Writer(t, s)
	storetest.Must(t, errors.Join(w.Erase(t.Context(), names[2], "ops", "a request"), w.Close()))
	storetest.CheckOK(t, s)
	if got, want := kept(), "1003 1004"; got != want {
		t.Fatalf("kept %s, want %s", got, want)
	}
	checker(t, s)
	path := s.Path(staff, snapshot.PrunedDir, names[3], "users.changes.ndjson")
	storetest.Write(t, path, storetest.Read(t, path)+"x")
	wantProblem(t, s, "is no part of a pruned snapshot")
	storetest.Must(t, os.Remove(path))
	wantProblem(t, s, "users.changes.ndjson: is missing, and no covered line of the journal records that it was removed")
}

// A prune doesn't record the removal of a snapshot that another person moved to pruned/, so
// that verify still reports it. If a person erases its changes files, the journal records that
// the records were missing.
func TestPruneKeepsTheTraceOfAMovedSnapshot(t *testing.T) {
	s := storetest.ThreeDays(t)
	list, err := s.List(staff)
	storetest.Must(t, err)
	moved := list[1]
	for _, file := range moved.Manifest.Files {
		if !strings.HasSuffix(file.Name, ".changes.ndjson") {
			storetest.Must(t, os.Remove(filepath.Join(moved.Dir(), file.Name)))
		}
	}
	storetest.Must(t, os.Remove(filepath.Join(moved.Dir(), snapshot.SumsFile)), os.MkdirAll(s.Path(staff, snapshot.PrunedDir), 0o700),
		os.Rename(moved.Dir(), s.Path(staff, snapshot.PrunedDir, moved.Name())))
	storetest.MustPrune(t, s, 1)
	wantProblem(t, s, moved.Name()+": its records are missing, and no covered line of the journal records that it was pruned")
	w := storetest.Writer(t, s)
	storetest.Must(t, w.Erase(t.Context(), moved.Name(), "ops", "GDPR-1"), w.Close())
	events := storetest.Journal(t, s)
	if e := events[len(events)-1]; e.Event != snapshot.EventPruned || !strings.Contains(e.Error, "its records were missing") {
		t.Errorf("the last event is %+v", e)
	}
}

func wantProblem(t *testing.T, s *snapshot.Store, want string) {
	t.Helper()
	problems, _ := storetest.Verify(t, s)
	if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, want) }) {
		t.Errorf("found %q, want %q", problems, want)
	}
}
