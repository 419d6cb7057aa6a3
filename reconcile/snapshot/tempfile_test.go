package snapshot_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"oktasync/reconcile/snapshot"
)

// A temporary file has no name from the start, so nothing is left of it
// whatever happens.
func TestTempFile(t *testing.T) {
	s := newStore(t)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	for _, dir := range []string{s.Dir(), "", filepath.Join(temp, "missing")} {
		f, err := snapshot.TempFile(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("users"); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(f); err != nil || string(data) != "users" {
			t.Errorf("TempFile(%q) holds %q, %v", dir, data, err)
		}
		if info, err := f.Stat(); err != nil || info.Mode() != 0o600 {
			t.Errorf("TempFile(%q): %v, %v", dir, info.Mode(), err)
		}
		for _, where := range []string{temp, s.Dir()} {
			entries, err := os.ReadDir(where)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				if entry.Name() != "oktasync.json" && entry.Name() != ".lock" {
					t.Errorf("TempFile(%q) is seen as %s", dir, entry.Name())
				}
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
