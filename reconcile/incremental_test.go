package reconcile_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/reconcile"
	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/verify"
)

// newIncrementalFixture declares an incremental refresh. The org returns no counts of
// members. Its group has one member, and a stamp of that age; 0: none.
func newIncrementalFixture(t *testing.T, kind string, age time.Duration) (*access, *fixture) {
	a := newAccess()
	f := newAccessFixture(t, a)
	f.export.GroupMembers.Refresh, f.export.GroupMembers.Full = snapshot.RefreshIncremental, 72*time.Hour
	f.export.GroupMembers.Optional = true
	for _, id := range []string{"00u1", "00u2"} {
		a.set("users", id, fmt.Sprintf(`{"id":%q,"status":"ACTIVE","lastUpdated":"1999-01-01T00:00:00.000Z"}`, id))
	}
	a.stampedGroup(kind, age, "00u1")
	return a, f
}

// stampedGroup sets a group whose members have changed age ago, and its members.
func (a *access) stampedGroup(kind string, age time.Duration, members ...string) {
	stamp := ""
	if age > 0 {
		stamp = fmt.Sprintf(`"lastMembershipUpdated":%q,`, snapshot.At(time.Now().Add(-age)))
	}
	a.set("groups", "00g1", fmt.Sprintf(`{"id":"00g1","type":%q,%s"lastUpdated":"1999-01-01T00:00:00.000Z"}`, kind, stamp))
	a.list("group_members/00g1", `{"id":%q}`, members...)
}

// adopt adopts an export with a file that is no part of it.
func adopt(t *testing.T, f *fixture) {
	storetest.Write(t, f.store.Path(f.export.Name, "notes.txt"), "x")
	a := snapshot.Adoption{User: "ops", Reason: "restored"}
	storetest.Must(t, verify.Adopt(t.Context(), f.store, f.export.Name, snapshot.ThisProcess("test"), a, verify.Options{}, func(verify.Finding) {}))
	storetest.RemoveAll(t, f.store.Path(f.export.Name), "notes.txt")
}

// A second read happens some time after the first. It reads a group again unless Okta's
// stamp shows that its members are the same. Here, the stamp is wrong if it is equal: a
// second member shows that the list was read.
func TestIncrementalReadsGroups(t *testing.T) {
	for _, test := range []struct {
		name       string
		kind       string
		age, after time.Duration
		change     func(a *access, f *fixture)
		read       bool
	}{
		{"same stamp", "OKTA_GROUP", time.Hour, time.Hour, nil, false},
		{"new stamp", "OKTA_GROUP", time.Hour, time.Hour, func(a *access, _ *fixture) { a.stampedGroup("OKTA_GROUP", time.Minute) }, true},
		{"stamp that was late", "OKTA_GROUP", time.Hour, time.Hour, func(a *access, _ *fixture) { a.stampedGroup("OKTA_GROUP", 80*time.Minute) }, true},
		{"stamp shortly before the last read", "OKTA_GROUP", 14 * time.Minute, time.Hour, nil, true},
		{"stamp not so shortly before", "OKTA_GROUP", 16 * time.Minute, time.Hour, nil, false},
		{"no stamp", "OKTA_GROUP", 0, time.Hour, nil, true},
		{"built-in group", "BUILT_IN", time.Hour, time.Hour, nil, true},
		{"app group", "APP_GROUP", time.Hour, 11 * time.Hour, nil, false},
		{"app group that would be older than a day at the next read", "APP_GROUP", time.Hour, 13 * time.Hour, nil, true},
		{"full read not due", "OKTA_GROUP", time.Hour, 35 * time.Hour, nil, false},
		{"full read would be overdue at the next read", "OKTA_GROUP", time.Hour, 37 * time.Hour, nil, true},
		{"another declaration", "OKTA_GROUP", time.Hour, time.Hour, func(_ *access, f *fixture) { f.export.GroupMembers.Full++ }, true},
		{"adopted snapshot, and the checkpoint from before the adoption is put back during the read", "OKTA_GROUP", time.Hour, time.Hour, func(a *access, f *fixture) {
			path := f.store.Path(f.export.Name, snapshot.CheckpointFile)
			before := storetest.Read(t, path)
			adopt(t, f)
			after := storetest.Read(t, path)
			a.before = func(list string) {
				switch list {
				case "groups":
					storetest.Write(t, path, before)
				case "group_rules":
					storetest.Write(t, path, after)
				}
			}
		}, true},
		{"adopted snapshot", "OKTA_GROUP", time.Hour, time.Hour, func(_ *access, f *fixture) { adopt(t, f) }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, f := newIncrementalFixture(t, test.kind, test.age)
				f.publish()
				time.Sleep(test.after)
				if test.change != nil {
					test.change(a, f)
				}
				a.list("group_members/00g1", `{"id":%q}`, "00u1", "00u2")
				want := 0
				if !test.read {
					want = 1
				}
				if got := f.publish().Manifest.Resources["group_members"]; got.Carried != want || got.Total != 2-want {
					t.Errorf("%d members, %d carried, want %d carried", got.Total, got.Carried, want)
				}
			})
		})
	}
}

// With on_change, a read of all lists is published although nothing has changed, because
// the next incremental read is due relative to it.
func TestIncrementalPublishesFullReads(t *testing.T) {
	for _, test := range []struct {
		kind  string
		after time.Duration
		want  reconcile.Outcome
	}{
		{"OKTA_GROUP", 35 * time.Hour, reconcile.Unchanged},
		{"OKTA_GROUP", 37 * time.Hour, reconcile.Published},
		{"APP_GROUP", 11 * time.Hour, reconcile.Unchanged},
		{"APP_GROUP", 13 * time.Hour, reconcile.Published},
		{"BUILT_IN", 13 * time.Hour, reconcile.Unchanged},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, f := newIncrementalFixture(t, test.kind, time.Hour)
			f.export.Snapshot = reconcile.OnChange
			f.publish()
			time.Sleep(test.after)
			result, err := f.reconcile("")
			if storetest.Must(t, err); result.Outcome != test.want {
				t.Errorf("%s after %s: %s, want %s", test.kind, test.after, result.Outcome, test.want)
			}
		})
	}
}

// After a snapshot without members, all lists are read.
func TestIncrementalAfterUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := newIncrementalFixture(t, "OKTA_GROUP", time.Hour)
		f.publish()
		time.Sleep(time.Hour)
		a.group("00g2", 1) // it has no last read
		a.refuse = "group_members"
		if s := f.publish(); s.Manifest.Resources["group_members"].IsAvailable() {
			t.Error("members are available")
		}
		time.Sleep(time.Hour)
		a.refuse = ""
		if got := f.publish().Manifest.Resources["group_members"]; got.Total != 1 || got.Carried != 0 || got.Refresh != snapshot.RefreshFull {
			t.Errorf("counts = %+v, want a full refresh", got)
		}
	})
}

// A carried group whose count differs is read again, and this read can be refused.
func TestIncrementalReadsDifferentCounts(t *testing.T) {
	for _, refuse := range []string{"", "group_members"} {
		synctest.Test(t, func(t *testing.T) {
			a, f := newIncrementalFixture(t, "OKTA_GROUP", time.Hour)
			a.counts = "1"
			f.publish()
			time.Sleep(time.Hour)
			a.list("group_members/00g1", `{"id":%q}`, "00u1", "00u2")
			a.counts, a.refuse = "2", refuse
			got := f.publish().Manifest.Resources["group_members"]
			if refuse == "" && (got.Total != 2 || got.Carried != 0) || got.IsAvailable() != (refuse == "") {
				t.Errorf("refused %q: counts = %+v", refuse, got)
			}
		})
	}
}

// A carried group whose count differs is deleted before its members are read again.
func TestIncrementalGroupIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := newIncrementalFixture(t, "OKTA_GROUP", time.Hour)
		a.set("groups", "00g2", `{"id":"00g2","type":"OKTA_GROUP","lastUpdated":"1999-01-01T00:00:00.000Z"}`)
		a.list("group_members/00g2", `{"id":%q}`, "00u1")
		a.counts = "1"
		f.publish()
		time.Sleep(time.Hour)
		a.list("group_members/00g1", `{"id":%q}`, "00u1", "00u2")
		a.counts = "2"
		a.before = func(list string) {
			if list == "group_members/00g1" {
				a.delete("groups", "00g1")
			}
		}
		if groups := f.publish().Manifest.Resources["groups"]; groups.Total != 1 || groups.Kinds[diff.Deleted] != 1 {
			t.Errorf("groups = %+v, want one, and one deleted", groups)
		}
	})
}
