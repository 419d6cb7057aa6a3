package snapshot_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

// A scenario is a store and an action on it.
type scenario struct {
	name   string
	before func(testing.TB) *snapshot.Store // called once; each fault gets a copy
	act    func(t testing.TB, s *snapshot.Store) error
	broken bool // before leaves something to repair
	again  bool // after a fault, a person repeats act
}

func scenarios() []scenario {
	second := func(t testing.TB, s *snapshot.Store) error {
		_, err := storetest.Reconcile(t, s, storetest.Day(2), append(storetest.People(7), storetest.Person(9, "ACTIVE", "Law"), storetest.Group(1, "Law"))...)
		return err
	}
	list := []scenario{
		{name: "first publish", before: storetest.New, act: func(t testing.TB, s *snapshot.Store) error {
			_, err := storetest.Reconcile(t, s, storetest.Day(1), storetest.People(8)...)
			return err
		}},
		{name: "publish", before: oneDay, act: second},
		{name: "publish of all resources", before: func(t testing.TB) *snapshot.Store {
			s := storetest.New(t)
			storetest.Publish(t, s, storetest.Day(1), storetest.Access(1)...)
			return s
		}, act: func(t testing.TB, s *snapshot.Store) error {
			_, err := storetest.Reconcile(t, s, storetest.Day(2), storetest.Access(2)...)
			return err
		}},
		{name: "prune", before: fourDays, act: pruneToOne},
		{name: "prune but for the changes", before: fourDays, act: func(t testing.TB, s *snapshot.Store) error {
			_, err := storetest.Prune(t, s, snapshot.Retention{Last: 1, Changes: 1})
			return err
		}},
		{name: "prune expired changes", before: func(t testing.TB) *snapshot.Store {
			s := fourDays(t)
			_, err := storetest.Prune(t, s, snapshot.Retention{Last: 1, Changes: 1})
			storetest.Must(t, err)
			storetest.Publish(t, s, storetest.Day(5), storetest.People(5)...)
			return s
		}, act: pruneToOne},
		{name: "repair", before: toRepair, act: mend, broken: true},
		{name: "release", before: func(t testing.TB) *snapshot.Store {
			s := oneDay(t)
			storetest.Must(t, storetest.Quarantine(t, s, 2))
			return s
		}, act: func(t testing.TB, s *snapshot.Store) error {
			_, err := storetest.Release(t, s, "")
			return err
		}},
		{name: "adopt", before: func(t testing.TB) *snapshot.Store {
			s := fourDays(t)
			storetest.RemoveAll(t, s.Path(staff, "20261126T060000Z"))
			return s
		}, act: adoptLoss, broken: true, again: true},
		{name: "drop", before: func(t testing.TB) *snapshot.Store {
			s := oneDay(t)
			storetest.Must(t, storetest.Quarantine(t, s, 2))
			return s
		}, act: func(t testing.TB, s *snapshot.Store) error {
			w, err := s.Writer(t.Context(), staff, snapshot.ThisProcess("test"))
			if err != nil {
				return err
			}
			return errors.Join(w.Drop("20261124T060000Z", "ops", "the role was missing"), w.Close())
		}},
		{name: "quarantine", before: fourQuarantined, act: func(t testing.TB, s *snapshot.Store) error { return storetest.Quarantine(t, s, 5) }},
	}
	// Faults also occur while an interrupted publish is mended.
	for _, stop := range []disk{
		{kind: stopsHalfway, failed: "write users.csv"},
		{kind: stopsHalfway, failed: "write journal.ndjson"}, // published
		{kind: stopsAfter, failed: "sync journal.ndjson"},
		{kind: stopsAfter, failed: "rename .20261124T060000Z.partial"},
		{kind: stopsAfter, failed: "rename .checkpoint.partial"},
		{kind: stopsAfter, failed: "rename .latest.partial"},
	} {
		list = append(list, scenario{name: "mend after " + stop.failed, before: func(t testing.TB) *snapshot.Store {
			s := oneDay(t)
			stopAt(t, s, stop, second)
			return s
		}, act: mend})
	}
	for _, stop := range []disk{
		{kind: stopsAfter, failed: "sync journal.ndjson"},
		{kind: stopsAfter, failed: "rename .checkpoint.partial"},
		{kind: stopsAfter, failed: "rename 20261123T060000Z"},
		{kind: stopsAfter, failed: "remove users.csv"},
	} {
		list = append(list, scenario{name: "mend a prune after " + stop.failed, before: func(t testing.TB) *snapshot.Store {
			s := fourDays(t)
			stopAt(t, s, stop, pruneToOne)
			return s
		}, act: mend})
	}
	return list
}

// mend opens and closes a writer.
func mend(t testing.TB, s *snapshot.Store) error {
	w, err := s.Writer(t.Context(), staff, snapshot.ThisProcess("test"))
	if err != nil {
		return err
	}
	return w.Close()
}

// toRepair returns a store without latest, and with a CSV file that is cut short.
func toRepair(t testing.TB) *snapshot.Store {
	s := storetest.ThreeDays(t)
	dir := filepath.Join(s.Dir(), staff)
	storetest.Write(t, filepath.Join(dir, "20261125T060000Z/groups.csv"), "name,de")
	storetest.Remove(t, dir, "latest")
	return s
}

func days(t testing.TB, sizes ...int) *snapshot.Store {
	s := storetest.New(t)
	for i, n := range sizes {
		storetest.Publish(t, s, storetest.Day(i+1), storetest.People(n)...)
	}
	return s
}

func oneDay(t testing.TB) *snapshot.Store   { return days(t, 8) }
func fourDays(t testing.TB) *snapshot.Store { return days(t, 1, 2, 3, 4) }

func pruneToOne(t testing.TB, s *snapshot.Store) error {
	_, err := storetest.Prune(t, s, snapshot.Retention{Last: 1})
	return err
}

// stopAt ends act at the second call that stop names, or at the only one.
func stopAt(t testing.TB, s *snapshot.Store, stop disk, act func(testing.TB, *snapshot.Store) error) {
	t.Helper()
	trial, d := storetest.Copy(t, s.Dir(), t.TempDir()), &disk{kind: stop.kind}
	trial.WriteThrough(d)
	if err := act(t, trial); err != nil {
		t.Fatal(err)
	}
	var points []int
	for i, name := range d.calls {
		if name == stop.failed {
			points = append(points, i+1)
		}
	}
	if len(points) == 0 {
		t.Fatalf("no call %q", stop.failed)
	}
	s.WriteThrough(&disk{kind: stop.kind, at: points[min(1, len(points)-1)]})
	act(t, s)
}

// TestFaults fails each call of the file system in each way. Afterwards no file is
// torn or lost, and the next run works and leaves no temporary files. The short form fails
// every eighth call, CI every third one, and other calls in each scenario.
func TestFaults(t *testing.T) {
	step, least := 8, 80
	switch {
	case storetest.Long():
		step, least = 1, 2000
	case os.Getenv("OKTASYNC_FAULTS") == "ci":
		step, least = 3, 600
	}
	var points atomic.Int64
	t.Run("points", func(t *testing.T) {
		for i, sc := range scenarios() {
			t.Run(sc.name, func(t *testing.T) {
				t.Parallel()
				before := sc.before(t)
				for kind := range faultKinds {
					for at := 1 + (i+3*int(kind))%step; faultPoint(t, before.Dir(), sc, &disk{kind: kind, at: at}); at += step {
						points.Add(1)
					}
				}
			})
		}
	})
	t.Logf("%d fault points", points.Load())
	if int(points.Load()) < least {
		t.Errorf("%d fault points, want %d at least", points.Load(), least)
	}
}

// faultPoint acts on a copy of a store through d, and reports whether d failed a
// call.
func faultPoint(t *testing.T, dir string, sc scenario, d *disk) bool {
	t.Helper()
	temp, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)
	s := storetest.Copy(t, dir, temp)
	s.WriteThrough(d)
	err = sc.act(t, s)
	if d.failed == "" {
		if err != nil {
			t.Errorf("without a fault: %v", err)
		}
		return false
	}
	where := fmt.Sprintf("%s at call %d, %s", d.kind, d.at, d.failed)
	if err == nil {
		t.Errorf("%s: no error", where)
	}
	if d.kind == powerCut {
		d.cut(t)
	}
	s.WriteThrough(&disk{})
	if problems, _ := storetest.Verify(t, s); !sc.broken && len(problems) > 0 {
		t.Fatalf("%s: %q", where, problems)
	}
	if sc.again {
		_ = sc.act(t, s) // fails if there is nothing left to do
	}
	checkStore(t, s, where, sc.again)
	return true
}

// adoptLoss adopts what verify finds.
func adoptLoss(t testing.TB, s *snapshot.Store) error {
	a := snapshot.Adoption{User: "ops", Reason: "a disk was lost"}
	return verify.Adopt(t.Context(), s, staff, snapshot.ThisProcess("test"), a, verify.Options{}, func(verify.Finding) {})
}

// checkStore checks that nothing is torn, and that the next run repairs the store,
// but for a prune that the next prune decides about again. In an adopted store, notes
// remain.
func checkStore(t *testing.T, s *snapshot.Store, where string, adopted bool) {
	t.Helper()
	list, err := s.List(staff)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	for _, snap := range list {
		if err := readAll(snap); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	if _, err := s.Quarantined(staff); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	folders, err := filepath.Glob(s.Path(staff, "2*"))
	storetest.Must(t, err)
	gone, err := filepath.Glob(s.Path(staff, "pruned", "2*"))
	storetest.Must(t, err)
	next, err := storetest.Reconcile(t, s, storetest.Day(8), storetest.People(3)...)
	if err != nil {
		t.Fatalf("%s: the next run: %v", where, err)
	}
	if was := len(folders) + len(gone); next.Manifest.Sequence != was+1 {
		t.Errorf("%s: the next run has sequence %d after %d", where, next.Manifest.Sequence, was)
	}
	problems, notes := storetest.Verify(t, s)
	notes = slices.DeleteFunc(notes, func(note string) bool { return strings.Contains(note, "Z: unfinished prune, or") })
	if len(problems) > 0 || len(notes) > 0 && !adopted {
		t.Errorf("%s: Verify: %q %q", where, problems, notes)
	}
	for _, pattern := range []string{"*/.*.partial", "*/.*.pruned", "*/pruned/.*", ".quarantine/*/.*.partial"} {
		if left, _ := filepath.Glob(filepath.Join(s.Dir(), pattern)); len(left) > 0 {
			t.Errorf("%s: left over: %v", where, left)
		}
	}
}

func fourQuarantined(t testing.TB) *snapshot.Store {
	s := oneDay(t)
	for n := range 4 {
		storetest.Must(t, storetest.Quarantine(t, s, n+1))
	}
	return s
}
