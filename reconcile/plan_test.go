package reconcile_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What the newest snapshot lacks is a change, and named.
func TestPlanNamesWhatIsMissing(t *testing.T) {
	f := newFixture(t, people(0, 3)...)
	s := f.publish()
	latest := filepath.Join(f.dir, "all-users", "latest")
	for _, test := range []struct {
		name string
		take func() error
	}{
		{"latest", func() error { return os.Remove(latest) }},
		{"latest", func() error { return os.Symlink("20200101T000000Z", latest) }}, // of another snapshot
		{"users.csv", func() error { return os.Remove(filepath.Join(s.Dir(), "users.csv")) }},
	} {
		if err := test.take(); err != nil {
			t.Fatal(err)
		}
		plan, err := f.r.Plan(t.Context(), f.export)
		if err != nil {
			t.Fatal(err)
		}
		defer plan.Close()
		if !slices.Contains(plan.Missing, test.name) || !plan.Changed() {
			t.Errorf("missing = %q, changed = %t; want %s named", plan.Missing, plan.Changed(), test.name)
		}
	}
}
