package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// An export of users and groups of a sandbox org: the plan and the snapshot have
// the changes of both, and the guard of groups stops a read by itself.
func TestUsersAndGroups(t *testing.T) {
	a := newApp(t, sandbox.Config{Users: 30})
	client, err := oktaclient.New(oktaclient.Config{OrgURL: a.org.URL(), HTTPClient: &http.Client{Transport: a}})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t).withGroups(nil)
	f.use(client, nil)
	var ids []string
	for n := range 20 {
		ids = append(ids, a.org.AddGroup(fmt.Sprint("Group ", n), ""))
	}
	f.publish()

	a.org.AddGroup("New", "")
	a.org.Join(1)
	if err := errors.Join(a.org.SetGroup(ids[0], "profile.name", []byte(`"Renamed"`)), a.org.DeleteGroup(ids[1])); err != nil {
		t.Fatal(err)
	}
	plan, got := f.plan(), map[string]string{}
	err = plan.Changes(func(r *snapshot.Resource, c *diff.Change) error {
		got[fmt.Sprint(r.Name, " ", c.Kind)] = c.Name
		return nil
	})
	want := map[string]string{"groups created": "New", "groups changed": "Renamed", "groups deleted": "Group 1", "users joined": ""}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("changes = %v, %v, want %v", got, err, want)
	}
	m := f.publish().Manifest
	users, groups := m.Resources["users"], m.Resources["groups"]
	if users.Added != 1 || groups.Added != 1 || groups.Changed != 1 || groups.Removed != 1 || groups.ByStatus != nil {
		t.Errorf("users = %+v, groups = %+v", users, groups)
	}

	for _, id := range ids[2:12] {
		if err := a.org.DeleteGroup(id); err != nil {
			t.Fatal(err)
		}
	}
	result, err := f.reconcile("")
	stopped := fmt.Sprintf("quarantined: 10 of %d groups gone, the guard allows 5%%", groups.Total)
	if err == nil || err.Error() != stopped || result.Outcome != reconcile.Quarantined {
		t.Errorf("outcome %s, %v, want %s", result.Outcome, err, stopped)
	}
	if result, err = f.reconcile("CHG-1042"); err != nil || result.Snapshot.Manifest.Resources["groups"].Removed != 10 {
		t.Errorf("with an override: %+v, %v", result, err)
	}

	a.org.Wipe() // as when the app loses its role
	_, err = f.reconcile("")
	var quarantined *reconcile.QuarantinedError
	reasons := []string{"0 users read, the guard requires at least 1", fmt.Sprintf("%d of %[1]d users gone, the guard allows 1%%", users.Total),
		"0 groups read, the guard requires at least 1", fmt.Sprintf("%d of %[1]d groups gone, the guard allows 5%%", groups.Total-10)}
	if !errors.As(err, &quarantined) || !slices.Equal(quarantined.Reasons, reasons) {
		t.Errorf("without a role: %v, want %q", err, reasons)
	}
}

// The read of a plan covers the reads of all resources.
func TestReadOfTwoResources(t *testing.T) {
	f := newFixture(t, people(0, 3)...).withGroups(groups(0, 20))
	var mu sync.Mutex
	var started []time.Time
	f.org.hook = func(context.Context) {
		mu.Lock()
		defer mu.Unlock()
		started = append(started, time.Now())
	}
	if r := f.plan().Read; r.Requests != 3 || r.Rows != 43 || r.Settled || r.Started.After(started[0]) || r.Finished.Before(started[1]) {
		t.Errorf("read = %+v, want 3 requests and 43 rows of both and of the control totals, not settled because of groups", r)
	}
}

// A group that no page contains is removed only if Okta answers that it doesn't
// exist.
func TestGroupRemovalIsProved(t *testing.T) {
	f := newFixture(t, people(0, 3)...).withGroups(groups(0, 20))
	f.publish()
	f.org.groups = f.org.groups[1:]
	f.org.skip = func(r oktaclient.Record) bool { return r.ID == "00g00005" }
	s := f.publish()
	if g := s.Manifest.Resources["groups"]; g.Total != 19 || g.Removed != 1 || g.Kinds[diff.Deleted] != 1 || g.Rows != 19+g.Outside || g.Outside != 18 { // outside: the list of the control totals
		t.Errorf("groups = %+v, want only the one removed that doesn't exist", g)
	}
	if !slices.Equal(f.org.found, []string{"00g00000", "00g00005"}) {
		t.Errorf("requested by id: %v", f.org.found)
	}
}
