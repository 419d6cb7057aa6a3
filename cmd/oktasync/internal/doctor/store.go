package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// checkStore checks that the store is this org's, and can be written or created.
func checkStore(_ context.Context, x *checker) Finding {
	path, group := x.cfg.Store.Path, x.cfg.Store.Group
	options, err := org.GroupOptions(x.cfg)
	if err != nil {
		return failed(org.InConfig, "correct store.group, or create the group: groupadd "+group, "there is no group %s on this machine", term.Word(group))
	}
	err = snapshot.Probe(path, snapshot.Org{URL: x.cfg.Okta.OrgURL}, options)
	user := config.CurrentUser()
	switch {
	case errors.As(err, new(*snapshot.OrgError)):
		return failed(org.InConfig, "set another store.path for this org: a store belongs to one org", "%v", err)
	case errors.Is(err, syscall.EROFS):
		return failed(org.OnHost, "mount it writable, or set store.path to another disk", "%v", err)
	case errors.Is(err, syscall.EPERM) && group != "":
		return failed(org.OnHost, fmt.Sprintf("usermod -a -G %s %s: only members can give files to a group", group, user), "%s is not in the group %s", user, group)
	case errors.Is(err, os.ErrPermission):
		return failed(org.OnHost, fmt.Sprintf("let the user %s write there, or run as the owner of the store", user), "%v", err)
	case err != nil:
		return failed(org.InConfig, "set store.path to a folder of its own", "%v", err)
	}
	if x.newest(snapshot.Users) == nil {
		return ok("%s is writable, and has no snapshot yet", path)
	}
	return ok("%s belongs to %s and is writable", path, x.cfg.Okta.OrgURL)
}

// checkSpace compares the free space with the space that the exports need.
func checkSpace(_ context.Context, x *checker) Finding {
	free, err := freeBytes(x.cfg.Store.Path)
	if err != nil {
		return warning(org.OnHost, "check the free space there", "the free space of %s is unknown: %v", x.cfg.Store.Path, err)
	}
	one, more := x.spaceNeeded()
	text := fmt.Sprintf("%s free; the store needs %s more for what retain keeps, or for a year without retain", term.Bytes(free), term.Bytes(more))
	switch {
	case one == 0:
		return ok("%s free; the size of a snapshot is unknown before the first one", term.Bytes(free))
	case free < 2*one:
		return failed(org.OnHost, "free some space, or set store.path to a larger disk",
			"%s free; a snapshot needs %s, and twice as much while it is created", term.Bytes(free), term.Bytes(one))
	case free < more:
		return warning(org.InConfig, "keep fewer snapshots with retain, or set store.path to a larger disk", "%s", text)
	}
	return ok("%s", text)
}

// recordBytes estimates the size of a record in a snapshot without an earlier one,
// compressed and as CSV: 10,000 users need 10 MB.
const recordBytes = 1000

// spaceNeeded estimates the bytes of one snapshot of each export, and of all
// snapshots that the store will have in addition.
func (x *checker) spaceNeeded() (one, more int64) {
	first := int64(0)
	for _, c := range x.counts {
		first += int64(c.n) * recordBytes
	}
	store, _ := org.OpenExisting(x.cfg) // checkStore reports an error
	for _, e := range x.cfg.Exports {
		size, have := first, 0
		if store != nil {
			if list, err := store.List(e.Name); err == nil && len(list) > 0 {
				size, have = snapshotBytes(list[len(list)-1]), len(list)
			}
		}
		runs := yearlyRuns(e)
		if kept := e.Retain.Snapshots(); kept > 0 {
			runs = max(kept-have, 0)
		}
		one += size
		more += size * int64(runs)
	}
	return one, more
}

func snapshotBytes(s *snapshot.Snapshot) (bytes int64) {
	for _, f := range s.Manifest.Files {
		bytes += f.Bytes
	}
	return bytes + 16<<10 // manifest, signature and sums
}

// yearlyRuns estimates how often an export runs in a year: as in the next week, or
// daily without a schedule.
func yearlyRuns(e reconcile.Export) int {
	when, err := scheduler.Parse(e.Schedule, e.Location())
	if err != nil || e.Schedule == "" {
		return 365
	}
	runs, start := 0, time.Now()
	for at := when.Next(start); at.Before(start.AddDate(0, 0, 7)); at = when.Next(at) {
		runs++
	}
	return max(runs*52, 1)
}

func freeBytes(path string) (int64, error) {
	dir, err := snapshot.Existing(path)
	if err != nil {
		return 0, err
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
