package snapshot_test

import (
	"errors"
	"testing"

	"oktasync/reconcile/snapshot"
)

func TestLocksNameTheirHolder(t *testing.T) {
	s := newStore(t)
	w, err := s.Writer(staff, snapshot.Holder{PID: 7, Host: "node1", User: "ops", Command: "apply", Since: snapshot.At(day(1))})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Writer(staff, snapshot.ThisProcess("test"))
	want := "staff is locked by apply (process 7 of ops on node1, since 2026-11-23T06:00:00.000Z)"
	if err == nil || err.Error() != want {
		t.Errorf("second Writer: %v, want %s", err, want)
	}
	if other, err := s.Writer("others", snapshot.ThisProcess("test")); err != nil {
		t.Errorf("Writer of another export: %v", err)
	} else {
		other.Close()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	release, err := s.LockRun(snapshot.ThisProcess("run"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.LockRun(snapshot.ThisProcess("run")); !isLocked(err) {
		t.Errorf("second LockRun: %v, want a *LockedError", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	publish(t, s, day(1), people(1)...)
}

func isLocked(err error) bool {
	_, ok := errors.AsType[*snapshot.LockedError](err)
	return ok
}
