package report_test

import (
	"testing"

	"oktasync/cmd/oktasync/internal/report"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// Changes of admin roles are numbers. There are none without a comparison: if roles
// aren't declared, weren't available, or are recorded for the first time.
func TestRoleChanges(t *testing.T) {
	kinds := func(granted, revoked, changed int) snapshot.Counts {
		return snapshot.Counts{Total: 9, Kinds: map[diff.Kind]int{diff.Granted: granted, diff.Revoked: revoked, diff.Changed: changed}}
	}
	for want, counts := range map[string]snapshot.Counts{
		"1 administrator role granted, 0 revoked":             kinds(1, 0, 0),
		"0 administrator roles granted, 2 revoked, 3 changed": kinds(0, 2, 3),
	} {
		if got := report.RoleChanges(map[string]snapshot.Counts{"role_assignments": counts}); got != want {
			t.Errorf("RoleChanges(%v) = %q, want %q", counts.Kinds, got, want)
		}
	}
	for _, resources := range []map[string]snapshot.Counts{
		{"users": kinds(1, 0, 0)},
		{"role_assignments": {Available: new(bool), Reason: "a role is missing"}},
		{"role_assignments": {Total: 9, Base: snapshot.BaseNone, Kinds: map[diff.Kind]int{}}},
	} {
		if got := report.RoleChanges(resources); got != "" {
			t.Errorf("RoleChanges(%v) = %q, want none", resources, got)
		}
	}
}
