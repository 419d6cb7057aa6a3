package snapshot_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// A folder may become a link between any two calls. Wherever it leads, nothing
// there is made, changed or removed.
func TestLinksBetweenTwoCalls(t *testing.T) {
	points, step := 0, 41
	if long() {
		step = 7
	}
	from := fourDays(t)
	if err := quarantine(t, from, 9); err != nil {
		t.Fatal(err)
	}
	for i, folder := range []string{staff, staff + "/pruned", ".quarantine", ".quarantine/" + staff} {
		for at := 1 + i; ; at += step {
			s := reopen(t, from.Dir(), t.TempDir())
			inside, outside := filepath.Join(s.Dir(), folder), filepath.Join(t.TempDir(), "outside")
			if err := os.MkdirAll(inside, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(outside, os.DirFS(inside)); err != nil {
				t.Fatal(err)
			}
			before := treeOf(t, outside)
			d := &disk{at: at, meanwhile: func() {
				if err := errors.Join(os.Rename(inside, inside+".away"), os.Symlink(outside, inside)); err != nil {
					t.Error(err)
				}
			}}
			s.WriteThrough(d)
			_, err := reconcile(t, s, day(5), people(4)...)
			err = errors.Join(err, quarantine(t, s, 6), pruneToOne(t, s))
			if after := treeOf(t, outside); after != before {
				t.Fatalf("%s became a link before call %d, %s: %v\nwhat it leads to was\n%sand is\n%s", folder, at, d.failed, err, before, after)
			}
			if d.failed == "" {
				break
			}
			points++
		}
	}
	if points < 500/step {
		t.Errorf("only %d points", points)
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

// A FIFO in the place of a file holds up nobody: whoever reads it, or writes,
// is told so at once.
func TestFIFOsAreNotWaitedFor(t *testing.T) {
	for _, name := range []string{
		"oktasync.json", staff + "/.lock", staff + "/journal.ndjson", staff + "/20261123T060000Z/manifest.json",
		staff + "/20261123T060000Z/users.ndjson.zst", staff + "/20261123T060000Z/users.changes.ndjson",
		staff + "/20261123T060000Z/SHA256SUMS", staff + "/20261123T060000Z/requests.ndjson",
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			publish(t, s, day(0), people(2)...)
			publish(t, s, day(1), people(3)...)
			remove(t, s.Dir(), name)
			if err := syscall.Mkfifo(filepath.Join(s.Dir(), name), 0o600); err != nil {
				t.Fatal(err)
			}
			useEverything(t, s)
			if problems, _ := findings(t, s); len(problems) == 0 && filepath.Dir(name) != "." && filepath.Base(name) != ".lock" {
				t.Error("Verify finds nothing")
			}
		})
	}
}

// useEverything reads what it can of s, and writes to it. It may fail.
func useEverything(t *testing.T, s *snapshot.Store) {
	snapshot.Open(s.Dir())
	s.Journal(staff)
	list, _ := s.List(staff)
	for _, snap := range list {
		snap.Damage()
		if users, err := snap.Records(snapshot.Users); err == nil {
			users.Close()
		}
		if changes, err := snap.Changes(snapshot.Users); err == nil {
			changes.Close()
		}
	}
	if w, err := s.Writer(staff, snapshot.ThisProcess("test")); err == nil {
		w.Journal(snapshot.Event{Event: snapshot.EventStarted})
		w.Prune(t.Context(), snapshot.Retention{Last: 1})
		w.Close()
	}
}
