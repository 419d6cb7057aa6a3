package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oktasync/reconcile/snapshot"
)

// Probe finds what would keep a store from being written, and leaves nothing.
func TestProbe(t *testing.T) {
	org := snapshot.Org{URL: "https://acme.okta.com"}
	dir := t.TempDir()
	store, file, foreign := filepath.Join(dir, "store"), filepath.Join(dir, "file"), filepath.Join(dir, "foreign")
	if _, err := snapshot.Init(store, org, snapshot.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(foreign, "notes.txt")} {
		os.MkdirAll(filepath.Dir(path), 0o700)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, good := range []string{store, filepath.Join(dir, "new"), filepath.Join(dir, "a", "b", "c")} {
		if err := snapshot.Probe(good, org, snapshot.Options{}); err != nil {
			t.Errorf("Probe(%s) = %v", good, err)
		}
	}
	for path, want := range map[string]string{
		filepath.Join(file, "store"): "not a directory", file: "not a directory", foreign: "no store but other files (notes.txt)",
	} {
		if err := snapshot.Probe(path, org, snapshot.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Probe(%s) = %v, want %q in it", path, err, want)
		}
	}
	var other *snapshot.OrgError
	if err := snapshot.Probe(store, snapshot.Org{URL: "https://other.okta.com"}, snapshot.Options{}); !errors.As(err, &other) {
		t.Errorf("Probe for another org = %v, want an OrgError", err)
	}
	var left []string
	filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error {
		if name := filepath.Base(path); strings.Contains(name, "probe") || name == "new" || name == "a" {
			left = append(left, path)
		}
		return nil
	})
	if len(left) > 0 {
		t.Errorf("Probe left %q", left)
	}
}
