package reconcile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

func TestPlan(t *testing.T) {
	f := newFixture(t, people(0, 200)...)
	f.export.Users.Guard.AtLeast = 100
	plan := f.plan()
	if !plan.Changed() || plan.Resources[0].Base != snapshot.BaseNone {
		t.Errorf("before the first: changed %t, base %s", plan.Changed(), plan.Resources[0].Base)
	}
	f.publish()
	if plan := f.plan(); plan.Changed() {
		t.Errorf("right after apply: %+v", plan.Resources[0].Counts)
	}

	f.org.users = append(people(2, 200), person(300), person(301))
	for i := range 3 {
		f.org.users[i] = person(i+2, "Sales", "Finance")
	}
	for i := 3; i < 5; i++ {
		f.org.users[i] = person(i+2, "ACTIVE", "DEPROVISIONED")
	}
	for i := 5; i < 9; i++ {
		f.org.users[i] = person(i+2, "2026-11-20T08", "2026-11-22T09") // lastLogin only
	}
	kinds := map[diff.Kind]int{}
	plan = f.plan()
	if err := plan.Changes(func(_ *snapshot.Resource, c *diff.Change) error { kinds[c.Kind]++; return nil }); err != nil {
		t.Fatal(err)
	}
	want := map[diff.Kind]int{diff.Moved: 3, diff.Deactivated: 2, diff.Joined: 2, diff.Deleted: 2}
	if fmt.Sprint(kinds) != fmt.Sprint(want) || !plan.Changed() {
		t.Errorf("kinds = %v, want %v", kinds, want)
	}
	if got := f.publish().Manifest.Resources["users"]; fmt.Sprint(got.Kinds) != fmt.Sprint(want) {
		t.Errorf("published kinds = %v, want %v", got.Kinds, want)
	}
}

func TestPlanLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f := newFixture(t, people(0, 50)...)
	f.publish()
	before := tree(t, f.store.Dir())
	f.org.users = people(0, 40)
	f.plan().Close()
	if after := tree(t, f.store.Dir()); !slices.Equal(before, after) {
		t.Errorf("store after plan = %v, want %v", after, before)
	}
	if left := tree(t, os.Getenv("TMPDIR")); len(left) > 1 {
		t.Errorf("temporary files left: %v", left)
	}
}

func tree(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A file that the store lacks is a change.
func TestPlanMissingFiles(t *testing.T) {
	f := newFixture(t, people(0, 3)...)
	s := f.publish()
	latest := filepath.Join(f.store.Dir(), "all-users", "latest")
	for _, test := range []struct {
		name string
		do   func() error
	}{
		{"latest", func() error { return os.Remove(latest) }},
		{"latest", func() error { return os.Symlink("20200101T000000Z", latest) }}, // of another snapshot
		{"users.csv", func() error { return os.Remove(filepath.Join(s.Dir(), "users.csv")) }},
	} {
		if err := test.do(); err != nil {
			t.Fatal(err)
		}
		if plan := f.plan(); !slices.Contains(plan.Missing, test.name) || !plan.Changed() {
			t.Errorf("missing = %q, changed = %t; want %s", plan.Missing, plan.Changed(), test.name)
		}
	}
}
