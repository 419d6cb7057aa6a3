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
	f.org.skip = func(u oktaclient.Record) bool { return u.ID >= "00u00090" } // no page contains them
	s := f.publish()
	if u := s.Manifest.Resources["users"]; u.Total != 97 || u.Removed != 3 || u.Kinds[diff.Deleted] != 3 || u.Changed+u.Added != 0 {
		t.Errorf("users = %+v, want only the 3 removed that do not exist", u)
	}
	if r, u := s.Manifest.Read, s.Manifest.Resources["users"]; r.Requests != 1+13 || u.Rows != 97 || u.Duplicates+u.Outside != 0 {
		t.Errorf("read = %+v, users = %+v, want 13 requests by id", r, u)
	}
	if !slices.IsSorted(f.org.found) || len(f.org.found) != 13 {
		t.Errorf("requested %v", f.org.found)
	}
}

func TestUserFoundOutsideTheExportIsRemovedFromIt(t *testing.T) {
	f := newFixture(t, people(0, 100)...)
	f.export.Users.IncludeDeprovisioned = false
	f.publish()
	f.org.users[7] = person(7, "ACTIVE", "DEPROVISIONED")
	f.org.skip = func(u oktaclient.Record) bool { return u.ID == "00u00007" }
	s := f.publish()
	if u := s.Manifest.Resources["users"]; u.Total != 99 || u.Removed != 1 || u.Outside != 1 || u.Rows != 100 {
		t.Errorf("users = %+v; want one outside", u)
	}
}

// If the guard stops a read, no user is requested by id.
func TestNoProofIfTheGuardStops(t *testing.T) {
	f := newFixture(t, people(0, 120)...)
	f.publish()
	f.org.users = people(30, 120)
	if _, err := f.reconcile(""); err == nil {
		t.Error("30 of 120 users gone, and the guard does not stop the read")
	}
	if len(f.org.found) > 0 {
		t.Errorf("%d users requested", len(f.org.found))
	}
}

// The newest copy of a user decides whether the declaration selects the user.
func TestNewestCopyDecides(t *testing.T) {
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
		sink.Record(at(3, "1")) // the later response
		sink.Record(at(4, "1"))
		sink.Outside(at(4, "1")) // the later response
	}
	u := f.publish().Manifest.Resources["users"]
	if u.Total != 2 || u.Outside != 2 || u.Duplicates != 4 || u.Rows != 8 {
		t.Errorf("users = %+v; want users 2 and 3", u)
	}
}

// Many users are requested in parts, each once, and the read ends with the last
// response.
func TestManyRemovalsAreProvedOnce(t *testing.T) {
	f := newFixture(t, people(0, 2501)...)
	f.export.Users.Guard.MaxRemoved = snapshot.Percent(100)
	f.publish()
	f.org.users, f.org.later = people(0, 1), 50*time.Second
	m := f.publish().Manifest
	if n := len(slices.Compact(f.org.found)); n != 2500 || len(f.org.found) != n || m.Resources["users"].Removed != n {
		t.Errorf("requested %d, %d of them once, %d removed; want 2500", len(f.org.found), n, m.Resources["users"].Removed)
	}
	if took := m.Read.Finished.Sub(m.Read.Started.Time); took < 45*time.Second {
		t.Errorf("the read took %v, want at least the time of the requests", took)
	}
}

// An override requests missing users by id, up to a bound. The others have no proof.
func TestOverrideProvesRemovals(t *testing.T) {
	f := newFixture(t, people(0, 10_050)...)
	f.publish()
	f.org.users = people(0, 1)
	f.org.skip = func(u oktaclient.Record) bool { return u.ID == "00u00000" } // exists, and no page contains it
	result, err := f.reconcile("CHG-7")
	if err != nil {
		t.Fatal(err)
	}
	u := result.Snapshot.Manifest.Resources["users"]
	if u.Total != 1 || u.Kinds[diff.Deleted] != 9_999 || u.Kinds[diff.NotListed] != 50 || len(f.org.found) != 10_000 {
		t.Errorf("users = %+v, %d requested; want 9999 deleted and 50 not listed", u, len(f.org.found))
	}
}
