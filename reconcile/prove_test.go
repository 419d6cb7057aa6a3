package reconcile_test

import (
	"slices"
	"testing"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

func TestRemovalIsProvedByID(t *testing.T) {
	f := newFixture(t, people(0, 100)...)
	f.publish()
	f.org.users = people(3, 100)
	f.org.skip = func(u oktaclient.Record) bool { return u.ID >= "00u00090" } // a page that was never given
	s := f.publish()
	if u := s.Manifest.Resources["users"]; u.Total != 97 || u.Removed != 3 || u.Kinds[diff.Deleted] != 3 || u.Changed+u.Added != 0 {
		t.Errorf("users = %+v, want the 3 removed of which Okta says so", u)
	}
	if r, u := s.Manifest.Read, s.Manifest.Resources["users"]; r.Requests != 1+13 || u.Rows != 97 || u.Duplicates+u.Outside != 0 {
		t.Errorf("read = %+v, users = %+v, want 13 requested by id", r, u)
	}
	if !slices.IsSorted(f.org.asked) || len(f.org.asked) != 13 {
		t.Errorf("asked for %v", f.org.asked)
	}
}

func TestUserFoundOutsideTheExportIsRemovedFromIt(t *testing.T) {
	f := newFixture(t, people(0, 100)...)
	f.export.Users.IncludeDeprovisioned = false
	f.publish()
	f.org.users[7] = person(7, "ACTIVE", "DEPROVISIONED")
	f.org.skip = func(u oktaclient.Record) bool { return u.ID == "00u00007" }
	s := f.publish()
	if u, r := s.Manifest.Resources["users"], s.Manifest.Read; u.Total != 99 || u.Removed != 1 || u.Outside != 1 || u.Rows != 100 {
		t.Errorf("users = %+v, read = %+v; want one outside", u, r)
	}
}

// Beyond what the guard lets go it decides, and nobody is asked for.
func TestNobodyIsAskedForWhereTheGuardDecides(t *testing.T) {
	f := newFixture(t, people(0, 120)...)
	f.publish()
	f.org.users = people(30, 120)
	if _, err := f.reconcile(""); err == nil {
		t.Error("30 of 120 users gone, and nothing held the reading back")
	}
	if len(f.org.asked) > 0 {
		t.Errorf("%d users asked for", len(f.org.asked))
	}
}

// A user who was read and then left the narrowed range is dropped, and comes
// back with a newer copy.
func TestSpoolDropsWhoLeft(t *testing.T) {
	at := func(n int, second string) oktaclient.Record {
		u := person(n)
		u.LastUpdated = "2026-11-23T06:00:0" + second + ".000Z"
		return u
	}
	f := newFixture(t)
	f.org.script = func(sink oktaclient.Sink) {
		sink.Record(at(1, "1"))
		sink.Outside(at(1, "2")) // left
		sink.Record(at(2, "2"))
		sink.Outside(at(2, "1")) // an older page
		sink.Outside(at(3, "1"))
		sink.Record(at(3, "1")) // the later answer
		sink.Record(at(4, "1"))
		sink.Outside(at(4, "1")) // the later answer
	}
	m := f.publish().Manifest
	if m.Resources["users"].Total != 2 || m.Resources["users"].Outside != 2 || m.Resources["users"].Duplicates != 4 || m.Resources["users"].Rows != 8 {
		t.Errorf("total %d, read %+v; want users 2 and 3", m.Resources["users"].Total, m.Read)
	}
}

// Many are asked for a thousand at a time, each once, and the reading ends when
// the last answer is in.
func TestManyRemovalsAreProvedOnce(t *testing.T) {
	f := newFixture(t, people(0, 2501)...)
	f.export.Users.Guard.MaxRemoved = snapshot.Percent(100)
	f.publish()
	f.org.users, f.org.later = people(0, 1), time.Hour
	m := f.publish().Manifest
	if n := len(slices.Compact(f.org.asked)); n != 2500 || len(f.org.asked) != n || m.Resources["users"].Removed != n {
		t.Errorf("asked for %d, %d of them once, %d removed; want 2500", len(f.org.asked), n, m.Resources["users"].Removed)
	}
	if took := m.Read.Finished.Sub(m.Read.Started.Time); took < time.Hour {
		t.Errorf("the reading took %v, want the hour that asking took", took)
	}
}
