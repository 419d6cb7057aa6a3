package reconcile_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"oktasync/oktaclient"
	"oktasync/reconcile"
)

// Each phase reports its counts.
func TestProgress(t *testing.T) {
	f := newFixture(t, people(0, 3000)...)
	var reports []reconcile.Progress
	f.use(f.org, func(p reconcile.Progress) { reports = append(reports, p) })
	last := func(phase reconcile.Phase) (last reconcile.Progress) {
		for _, p := range reports {
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
		t.Errorf("read %+v, want 3000 users, and an unknown number expected", p)
	}
	reports = nil
	f.org.users = slices.DeleteFunc(f.org.users, func(u oktaclient.Record) bool { return u.ID < person(5).ID })
	f.publish()
	for _, want := range []reconcile.Progress{
		{Phase: reconcile.PhaseReading, Records: 2995, Expected: 3000, Requests: 1},
		{Phase: reconcile.PhaseComparing, Records: 2048, Expected: 2995, Requests: 6}, // the second time
		{Phase: reconcile.PhaseProving, Records: 5, Expected: 5, Requests: 6},
		{Phase: reconcile.PhasePublishing, Records: 2048, Expected: 2995, Requests: 6},
	} {
		if want.Export = "all-users"; want.Phase != reconcile.PhasePublishing {
			want.Resource = "users"
		}
		want.ExpectedBuckets = map[string]int{"users": 16}
		got := last(want.Phase)
		got.Buckets = nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("last of %s = %+v, want %+v", want.Phase, got, want)
		}
	}
}

// A reconcile also ends with its context while it compares, which takes long in a
// large org.
func TestStopsWhileComparing(t *testing.T) {
	f := newFixture(t, people(0, 5000)...)
	ctx, stop := context.WithCancel(t.Context())
	compared := 0
	f.use(f.org, func(p reconcile.Progress) {
		if p.Phase == reconcile.PhaseComparing {
			stop()
			compared = p.Records
		}
	})
	if _, err := f.r.Plan(ctx, f.export); !errors.Is(err, context.Canceled) || compared > 1<<10 {
		t.Errorf("Plan() = %v after comparing %d users, want context.Canceled at once", err, compared)
	}
}
