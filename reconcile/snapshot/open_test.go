package snapshot_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
)

// The owner of a store can replace anything by a link. Nothing is written through
// it, and no mode is changed.
func TestLinksAreNotFollowed(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{staff + "/.lock", "is not a regular file"},
		{staff + "/journal.ndjson", "is not a regular file"},
		{staff + "/pruned", "is not a folder"},
		{".quarantine", "is not a folder"},
		{".quarantine/" + staff, "is not a folder"},
		{staff, "is not a folder"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := storetest.Init(t, filepath.Join(t.TempDir(), "snapshots"), snapshot.Options{GID: os.Getgid()})
			storetest.Publish(t, s, storetest.Day(1), storetest.People(3)...)
			outside := filepath.Join(t.TempDir(), "outside")
			if strings.HasSuffix(test.want, "folder") {
				storetest.Write(t, filepath.Join(outside, ".20261123T060000Z.partial/root's"), "root's")
			} else {
				storetest.Write(t, outside, "")
			}
			before := treeOf(t, outside)
			link := filepath.Join(s.Dir(), test.name)
			storetest.Must(t, os.RemoveAll(link), os.MkdirAll(filepath.Dir(link), 0o700), os.Symlink(outside, link))
			_, err := storetest.Reconcile(t, s, storetest.Day(2), storetest.People(4)...)
			if err == nil || !strings.Contains(err.Error(), link+": "+test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("publish: %v, want one line with %q", err, link+": "+test.want)
			}
			if after := treeOf(t, outside); after != before {
				t.Errorf("the target of the link was\n%sand is\n%s", before, after)
			}
		})
	}
}

// A folder can become a link between any two calls. Nothing in its target is
// created, changed or removed.
func TestLinksBetweenTwoCalls(t *testing.T) {
	points, step := 0, 41
	if storetest.Long() {
		step = 7
	}
	from := fourDays(t)
	storetest.Must(t, storetest.Quarantine(t, from, 9))
	for i, folder := range []string{staff, staff + "/pruned", ".quarantine", ".quarantine/" + staff} {
		for at := 1 + i; ; at += step {
			s := storetest.Copy(t, from.Dir(), t.TempDir())
			inside, outside := filepath.Join(s.Dir(), folder), filepath.Join(t.TempDir(), "outside")
			storetest.Must(t, os.MkdirAll(inside, 0o700))
			storetest.CopyFolder(t, inside, outside)
			before := treeOf(t, outside)
			d := &disk{at: at, meanwhile: func() {
				if err := errors.Join(os.Rename(inside, inside+".away"), os.Symlink(outside, inside)); err != nil {
					t.Error(err)
				}
			}}
			s.WriteThrough(d)
			_, err := storetest.Reconcile(t, s, storetest.Day(5), storetest.People(4)...)
			err = errors.Join(err, storetest.Quarantine(t, s, 6), pruneToOne(t, s))
			if after := treeOf(t, outside); after != before {
				t.Fatalf("%s became a link before call %d, %s: %v\nits target was\n%sand is\n%s", folder, at, d.failed, err, before, after)
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

// treeOf returns the names, modes and contents of path and everything below.
func treeOf(t *testing.T, path string) string {
	t.Helper()
	var b strings.Builder
	storetest.Must(t, filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		b.WriteString(info.Mode().String() + " " + path + "\n")
		if info.Mode().IsRegular() {
			b.WriteString(storetest.Read(t, path) + "\n")
		}
		return nil
	}))
	return b.String()
}

// A FIFO in the place of a file blocks neither readers nor writers.
func TestFIFOs(t *testing.T) {
	for _, name := range []string{
		"oktasync.json", staff + "/.lock", staff + "/journal.ndjson", staff + "/20261123T060000Z/manifest.json",
		staff + "/20261123T060000Z/users.ndjson.zst", staff + "/20261123T060000Z/users.changes.ndjson",
		staff + "/20261123T060000Z/SHA256SUMS", staff + "/20261123T060000Z/requests.ndjson",
	} {
		t.Run(name, func(t *testing.T) {
			s := storetest.New(t)
			storetest.Publish(t, s, storetest.Day(0), storetest.People(2)...)
			storetest.Publish(t, s, storetest.Day(1), storetest.People(3)...)
			storetest.Remove(t, s.Dir(), name)
			storetest.Must(t, syscall.Mkfifo(filepath.Join(s.Dir(), name), 0o600))
			useEverything(t, s)
			if problems, _ := storetest.Verify(t, s); len(problems) == 0 && filepath.Dir(name) != "." && filepath.Base(name) != ".lock" {
				t.Error("Verify finds nothing")
			}
		})
	}
}

// useEverything reads and writes as much of s as possible, and ignores errors.
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
	if w, err := s.Writer(t.Context(), staff, snapshot.ThisProcess("test")); err == nil {
		w.Journal(snapshot.Event{Event: snapshot.EventStarted})
		w.Prune(t.Context(), snapshot.Retention{Last: 1})
		w.Close()
	}
}
