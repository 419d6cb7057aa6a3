package verify

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"oktasync/reconcile/snapshot"
)

// checkQuarantineRoot checks that the quarantine has only folders of exports.
func (v *verifier) checkQuarantineRoot(exports []string) error {
	dir := filepath.Join(v.store.Dir(), snapshot.QuarantineDir)
	if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
		v.add(Finding{File: snapshot.QuarantineDir, Problem: "is not a folder"})
		return nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	for _, entry := range entries {
		if !entry.IsDir() || !slices.Contains(exports, entry.Name()) {
			v.add(Finding{File: path.Join(snapshot.QuarantineDir, entry.Name()), Problem: "is no part of a store"})
		}
	}
	return err
}

// checkQuarantine checks the quarantined reads of an export against the covered
// lines of the journal, and their files against their digests.
func (v *verifier) checkQuarantine(ctx context.Context, c *chain) error {
	expected, gone := make(map[string]string), make(map[string]bool)
	for _, e := range c.ledger.Quarantined() {
		expected[e.Snapshot] = e.ReadSHA256
	}
	for _, e := range c.ledger.Events() {
		if e.Event == snapshot.EventQuarantined || e.Event == snapshot.EventDropped {
			gone[e.Snapshot] = expected[e.Snapshot] == ""
		}
	}
	dir := filepath.Join(v.store.Dir(), snapshot.QuarantineDir, c.export)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrPermission) { // as for a user of store.group
		v.add(Finding{File: path.Join(snapshot.QuarantineDir, c.export), Problem: "this user can't read it, so the quarantined reads were not checked", Note: true})
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		file := path.Join(snapshot.QuarantineDir, c.export, name)
		find := func(note bool, problem string) { v.add(Finding{File: file, Problem: problem, Note: note}) }
		digest, covered := expected[name]
		delete(expected, name)
		_, isPartial := snapshot.PartialOf(name)
		switch _, err := snapshot.ParseName(name); {
		case isPartial:
			find(true, "unfinished: the next run removes it")
		case err != nil || !entry.IsDir():
			find(false, "is no quarantined read")
		case gone[name]:
			find(true, "unfinished removal of a quarantined read: the next run completes it")
		case !covered:
			find(true, "no covered line of the journal names this read: it can't be released, and `quarantine drop` removes it")
		default:
			problem, err := v.checkRead(ctx, filepath.Join(dir, name), digest)
			if err != nil {
				return err
			}
			if problem != "" {
				find(false, problem)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		v.add(Finding{File: path.Join(snapshot.QuarantineDir, c.export, name), Problem: "the journal names this quarantined read, and it is missing"})
	}
	return nil
}

// checkRead returns what is wrong with a quarantined read, or "".
func (v *verifier) checkRead(ctx context.Context, dir, digest string) (problem string, err error) {
	data, err := snapshot.ReadBounded(filepath.Join(dir, snapshot.ReadFile), snapshot.MaxManifest)
	if snapshot.IsSystemError(err) && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if found := snapshot.DigestOf(data); err != nil || found != digest {
		return snapshot.ReadFile + " is not the one that the journal names (its SHA-256 is " + found + ")", nil
	}
	return v.store.CheckQuarantined(ctx, dir)
}
