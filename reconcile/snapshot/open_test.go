package snapshot_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oktasync/reconcile/snapshot"
)

// Who owns a store can put a link in the place of anything. Run as root,
// nothing is written through it: neither into a file nor to its mode.
func TestLinksAreNotFollowed(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{staff + "/.lock", "is no plain file"},
		{staff + "/journal.ndjson", "is no plain file"},
		{staff + "/pruned", "is no folder"},
		{".quarantine", "is no folder"},
		{".quarantine/" + staff, "is no folder"},
		{staff, "is no folder"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStore(t)
			grouped, err := snapshot.Init(s.Dir(), acme, snapshot.Options{GID: os.Getgid()})
			if err != nil {
				t.Fatal(err)
			}
			publish(t, grouped, day(1), people(3)...)
			outside := filepath.Join(t.TempDir(), "outside")
			if strings.HasSuffix(test.want, "folder") {
				write(t, filepath.Join(outside, ".20261123T060000Z.partial/root's"), "root's")
			} else {
				write(t, outside, "")
			}
			before := treeOf(t, outside)
			removeAll(t, s.Dir(), test.name)
			link := filepath.Join(s.Dir(), test.name)
			if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(outside, link); err != nil {
				t.Fatal(err)
			}
			_, err = reconcile(t, grouped, day(2), people(4)...)
			if err == nil || !strings.Contains(err.Error(), link+": "+test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("publish: %v, want one line with %q", err, link+": "+test.want)
			}
			if after := treeOf(t, outside); after != before {
				t.Errorf("what the link leads to was\n%sand is\n%s", before, after)
			}
		})
	}
}

// treeOf returns the names, modes and contents of what is at path and below.
func treeOf(t *testing.T, path string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		b.WriteString(info.Mode().String() + " " + path + "\n")
		if info.Mode().IsRegular() {
			b.WriteString(read(t, path) + "\n")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
