package reconcile_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// Each phase is told of, with counts that fit.
func TestProgress(t *testing.T) {
	f := newFixture(t, people(0, 3000)...)
	var told []reconcile.Progress
	f.r = reconcile.New(reconcile.Config{Store: f.store, Source: f.org, Org: snapshot.Org{URL: "https://acme.okta.com"},
		Progress: func(p reconcile.Progress) { told = append(told, p) }})
	last := func(phase reconcile.Phase) (last reconcile.Progress) {
		for _, p := range told {
			if p.Export != "all-users" {
				t.Errorf("progress of export %q", p.Export)
			}
			if p.Phase == phase {
				last = p
			}
		}
		return last
	}
	f.publish()
	if p := last(reconcile.PhaseReading); p.Records != 3000 || p.Expected != 0 || p.Requests != 1 {
		t.Errorf("read %+v, want 3000 users, and no idea how many they are", p)
	}
	told = nil
	f.org.users = slices.DeleteFunc(f.org.users, func(u oktaclient.Record) bool { return u.ID < person(5).ID })
	f.publish()
	for _, want := range []reconcile.Progress{
		{Phase: reconcile.PhaseReading, Resource: "users", Records: 2995, Expected: 3000, Requests: 1},
		{Phase: reconcile.PhaseComparing, Resource: "users", Records: 2048, Expected: 2995, Requests: 1},
		{Phase: reconcile.PhaseProving, Resource: "users", Records: 5, Expected: 5, Requests: 6},
		{Phase: reconcile.PhasePublishing, Records: 2048, Expected: 2995, Requests: 6},
	} {
		want.Export = "all-users"
		if got := last(want.Phase); got != want {
			t.Errorf("last of %s = %+v, want %+v", want.Phase, got, want)
		}
	}
}

// A reconcile that is told to stop does so while it compares too, which takes
// a while in an org of millions.
func TestStopsWhileComparing(t *testing.T) {
	f := newFixture(t, people(0, 5000)...)
	ctx, stop := context.WithCancel(t.Context())
	compared := 0
	f.r = reconcile.New(reconcile.Config{Store: f.store, Source: f.org, Org: snapshot.Org{URL: "https://acme.okta.com"},
		Progress: func(p reconcile.Progress) {
			if p.Phase == reconcile.PhaseComparing {
				stop()
				compared = p.Records
			}
		}})
	if _, err := f.r.Plan(ctx, f.export); !errors.Is(err, context.Canceled) || compared > 1<<10 {
		t.Errorf("Plan() = %v after comparing %d users, want context.Canceled at once", err, compared)
	}
}
