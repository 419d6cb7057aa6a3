package snapshot_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"oktasync/reconcile/snapshot"
)

// A scenario is a store as it stands, and something that is done to it.
type scenario struct {
	name   string
	before func(testing.TB) *snapshot.Store // made once, and copied for each fault
	act    func(t testing.TB, s *snapshot.Store) error
	broken bool // before leaves something to repair, which Verify finds
}

func scenarios() []scenario {
	second := func(t testing.TB, s *snapshot.Store) error {
		_, err := reconcile(t, s, day(2), append(people(7), person(9, "ACTIVE", "Law"))...)
		return err
	}
	list := []scenario{
		{name: "first publish", before: newStore, act: func(t testing.TB, s *snapshot.Store) error {
			_, err := reconcile(t, s, day(1), people(8)...)
			return err
		}},
		{name: "publish", before: oneDay, act: second},
		{name: "prune", before: fourDays, act: pruneToOne},
		{name: "repair", before: toRepair, act: mend, broken: true},
		{name: "release", before: func(t testing.TB) *snapshot.Store {
			s := oneDay(t)
			if err := quarantine(t, s, 2); err != nil {
				t.Fatal(err)
			}
			return s
		}, act: func(t testing.TB, s *snapshot.Store) error {
			_, err := release(t, s, "")
			return err
		}},
		{name: "quarantine", before: fourQuarantined, act: func(t testing.TB, s *snapshot.Store) error { return quarantine(t, s, 5) }},
	}
	// What an interrupted publish leaves is mended under faults as well.
	for _, stop := range []disk{
		{kind: stopsHalfway, failed: "write users.csv"},
		{kind: stopsHalfway, failed: "write journal.ndjson"}, // intent
		{kind: stopsAfter, failed: "sync journal.ndjson"},
		{kind: stopsAfter, failed: "rename .20261124T060000Z.partial"},
		{kind: stopsAfter, failed: "symlink .latest.partial"},
		{kind: stopsAfter, failed: "rename .latest.partial"},
	} {
		list = append(list, scenario{name: "mend after " + stop.failed, before: func(t testing.TB) *snapshot.Store {
			s := oneDay(t)
			stopAt(t, s, stop, second)
			return s
		}, act: mend})
	}
	for _, stop := range []disk{
		{kind: stopsHalfway, failed: "write manifest.json"},
		{kind: stopsAfter, failed: "rename .20261123T060000Z.partial"},
		{kind: stopsAfter, failed: "sync journal.ndjson"},
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

// mend is all that a Writer does by itself.
func mend(t testing.TB, s *snapshot.Store) error {
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		return err
	}
	return w.Close()
}

// toRepair returns a store that lacks a CSV and latest, and has another CSV
// cut short.
func toRepair(t testing.TB) *snapshot.Store {
	s := threeDays(t)
	dir := filepath.Join(s.Dir(), staff)
	remove(t, dir, "20261123T060000Z/users.csv")
	write(t, filepath.Join(dir, "20261125T060000Z/users.csv"), "login,em")
	remove(t, dir, "latest")
	return s
}

func fourDays(t testing.TB) *snapshot.Store {
	s := newStore(t)
	for n := 1; n <= 4; n++ {
		publish(t, s, day(n), people(n)...)
	}
	return s
}

func pruneToOne(t testing.TB, s *snapshot.Store) error {
	_, err := retain(t, s, snapshot.Retention{Last: 1})
	return err
}

func oneDay(t testing.TB) *snapshot.Store {
	s := newStore(t)
	publish(t, s, day(1), people(8)...)
	return s
}

// stopAt ends the process in the second call of act that stop names, or in
// the only one.
func stopAt(t testing.TB, s *snapshot.Store, stop disk, act func(testing.TB, *snapshot.Store) error) {
	t.Helper()
	trial, d := reopen(t, s.Dir(), t.TempDir()), &disk{kind: stop.kind}
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

// reopen copies the store in dir to a folder of its own below temp.
func reopen(t testing.TB, dir, temp string) *snapshot.Store {
	t.Helper()
	to := filepath.Join(temp, "snapshots")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s, err := snapshot.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFaults fails every call to the file system in turn, in every way, and
// looks at the store after each: nothing torn, nothing lost, and the next run
// works and leaves nothing over. The short form takes every eighth call, and
// others in each scenario.
func TestFaults(t *testing.T) {
	step, least := 8, 80
	if long() {
		step, least = 1, 400
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

// faultPoint acts on a copy of a store through d, and reports whether d came
// to fail a call.
func faultPoint(t *testing.T, dir string, sc scenario, d *disk) bool {
	t.Helper()
	temp, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)
	s := reopen(t, dir, temp)
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
	if !sc.broken {
		checkWhole(t, s, where)
	}
	checkStore(t, s, where)
	return true
}

// checkWhole holds that whatever happened to s, Verify does not call it
// tampering.
func checkWhole(t *testing.T, s *snapshot.Store, where string) {
	t.Helper()
	if problems, _ := findings(t, s); len(problems) > 0 {
		t.Fatalf("%s: %q", where, problems)
	}
}

// checkStore holds that nothing is torn, and that the next run puts everything
// right.
func checkStore(t *testing.T, s *snapshot.Store, where string) {
	t.Helper()
	list, err := s.List(staff)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	for _, snap := range list {
		if got := ids(t, snap); len(got) != snap.Manifest.Resources["users"].Total {
			t.Errorf("%s: %s has %d users", where, snap.Name(), len(got))
		}
	}
	if _, err := s.Quarantined(staff); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	next, err := reconcile(t, s, day(9), people(3)...)
	if err != nil {
		t.Fatalf("%s: the next run: %v", where, err)
	}
	was := 0
	if len(list) > 0 {
		was = list[len(list)-1].Manifest.Sequence
	}
	if next.Manifest.Sequence != was+1 {
		t.Errorf("%s: the next run has sequence %d after %d", where, next.Manifest.Sequence, was)
	}
	if problems, notes := findings(t, s); len(problems)+len(notes) > 0 {
		t.Errorf("%s: after the next run: %q %q", where, problems, notes)
	}
	for _, pattern := range []string{"*/.*.partial", "*/.*.pruned", "*/pruned/.*", ".quarantine/*/.*.partial"} {
		if left, _ := filepath.Glob(filepath.Join(s.Dir(), pattern)); len(left) > 0 {
			t.Errorf("%s: left over: %v", where, left)
		}
	}
}

// quarantine holds back n users through a writer of its own.
func quarantine(t testing.TB, s *snapshot.Store, n int) error {
	t.Helper()
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		return err
	}
	d := draft(t, s, day(n), people(n)...)
	_, err = w.Quarantine(t.Context(), d, "too few users")
	return errors.Join(err, w.Close())
}

func fourQuarantined(t testing.TB) *snapshot.Store {
	s := oneDay(t)
	for n := range 4 {
		if err := quarantine(t, s, n+1); err != nil {
			t.Fatal(err)
		}
	}
	return s
}
