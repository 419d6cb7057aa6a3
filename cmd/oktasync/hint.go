package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// hintFor returns what the user can do about an error, and "" if unknown.
func hintFor(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		return h.Hint()
	}
	if hint := org.Hint(err); hint != "" {
		return hint
	}
	if e, ok := errors.AsType[*reconcile.QuarantinedError](err); ok {
		return fmt.Sprintf("an app without an admin role sees no users (`oktasync doctor` checks this); `oktasync quarantine diff %[1]s` shows the changes; "+
			"if they are right, run `oktasync quarantine release %[1]s --reason TEXT`, or read again with `oktasync apply %[1]s --publish-anyway --reason TEXT`", e.Export)
	}
	return storeHint(err)
}

// storeHint returns what the user can do about an error of the store.
func storeHint(err error) string {
	if e, ok := errors.AsType[*snapshot.MismatchError](err); ok {
		return fmt.Sprintf("`oktasync verify` lists the differences; restore the files from a backup, or accept the current state with "+
			"`oktasync adopt %s --reason TEXT`", e.Export)
	}
	if e, ok := errors.AsType[*snapshot.RollbackError](err); ok {
		return fmt.Sprintf("restore the newer copy, or accept the older one with `oktasync adopt %s --lost %s --reason TEXT`", e.Export, e.Lost)
	}
	if e, ok := errors.AsType[*snapshot.DamagedError](err); ok {
		if e.Export == "" {
			return "a damaged read can't be released; `oktasync quarantine drop` removes it, and `oktasync apply` reads again"
		}
		return fmt.Sprintf("`oktasync verify` lists the damaged files; restore the snapshot's folder from a backup. If there is no backup of the newest snapshot, "+
			"move its folder out of the store, and continue from the snapshot before: `oktasync adopt %s --reason TEXT`", e.Export)
	}
	if _, ok := errors.AsType[*snapshot.OrgError](err); ok {
		return "a store belongs to one org; set another store.path for this org"
	}
	if errors.Is(err, snapshot.ErrLongLine) || errors.Is(err, snapshot.ErrTooLarge) {
		return "Okta returned a value that is too large to be published; exclude the attribute (attributes.exclude), or correct it in Okta"
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return "free some space there; `oktasync doctor` prints how much a snapshot needs"
	}
	if errors.Is(err, syscall.EROFS) {
		return "the store is on a read-only file system: mount it read-write, or set another store.path; verify, list, show and diff only read"
	}
	file, ok := errors.AsType[*fs.PathError](err)
	if ok && errors.Is(file, fs.ErrPermission) && !errors.As(err, new(config.FileError)) { // a FileError names the owner
		return fmt.Sprintf("this process runs as %s: run it as the owner of these files; store.group lets others read a store", config.CurrentUser())
	}
	return ""
}
