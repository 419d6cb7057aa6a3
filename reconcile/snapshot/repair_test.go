package snapshot_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/snapshot"
)

// The next writer restores what renders to the very digest in the manifest.
func TestRepair(t *testing.T) {
	s := toRepair(t)
	if problems, _ := findings(t, s); len(problems) != 3 {
		t.Fatalf("Verify: %q", problems)
	}
	if err := mend(t, s); err != nil {
		t.Fatal(err)
	}
	if problems, notes := findings(t, s); len(problems)+len(notes) > 0 {
		t.Errorf("Verify: %q %q", problems, notes)
	}
	var reasons []string
	for _, e := range journalOf(t, s) {
		if e.Event == snapshot.EventRepaired {
			reasons = append(reasons, e.Snapshot+" "+e.Reason)
		}
	}
	want := []string{"20261123T060000Z restored users.csv", "20261125T060000Z restored users.csv", "20261125T060000Z restored latest"}
	if !slices.Equal(reasons, want) {
		t.Errorf("journal: %q, want %q", reasons, want)
	}
	before := len(journalOf(t, s))
	if err := mend(t, s); err != nil || len(journalOf(t, s)) != before {
		t.Errorf("a second time: %v", err)
	}
}

// Evidence is left as it is, and so is what can't be rendered from it.
func TestRepairLeavesEvidence(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   []string
	}{
		{"users damaged, CSV gone", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "20261124T060000Z", "users.ndjson.zst"), "damaged")
			remove(t, dir, "20261124T060000Z/users.csv")
		}, []string{"staff@20261124T060000Z/users.csv: is missing", "staff@20261124T060000Z/users.ndjson.zst: its digest is "}},
		{"transcript gone", func(t *testing.T, dir string) { remove(t, dir, "20261124T060000Z/requests.ndjson") },
			[]string{"staff@20261124T060000Z/requests.ndjson: is missing"}},
		{"CSV linked elsewhere", func(t *testing.T, dir string) {
			remove(t, dir, "20261124T060000Z/users.csv")
			if err := os.Symlink("../20261123T060000Z/users.csv", filepath.Join(dir, "20261124T060000Z/users.csv")); err != nil {
				t.Fatal(err)
			}
		}, []string{"staff@20261124T060000Z/users.csv: is no plain file"}},
		{"latest a folder", func(t *testing.T, dir string) {
			remove(t, dir, "latest")
			if err := os.Mkdir(filepath.Join(dir, "latest"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{"staff/latest: is no symbolic link"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := threeDays(t)
			test.damage(t, filepath.Join(s.Dir(), staff))
			if err := mend(t, s); err != nil {
				t.Fatal(err)
			}
			if problems, _ := findings(t, s); !slices.EqualFunc(problems, test.want, strings.HasPrefix) {
				t.Errorf("found %q, want %q", problems, test.want)
			}
		})
	}
}
