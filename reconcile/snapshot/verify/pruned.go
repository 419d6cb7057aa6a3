package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"oktasync/reconcile/snapshot"
)

// readPruned reads the manifests of the snapshots whose records were removed.
func (c *chain) readPruned(ctx context.Context) error {
	dir := c.store.Path(c.export, snapshot.PrunedDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if _, err := snapshot.ParseName(name); err != nil || !entry.IsDir() {
			c.find(Finding{File: path.Join(snapshot.PrunedDir, name), Problem: "is no part of an export"})
			continue
		}
		if err := c.readTombstone(ctx, filepath.Join(dir, name), name); err != nil {
			return err
		}
	}
	return nil
}

func (c *chain) readTombstone(ctx context.Context, dir, name string) error {
	c.pruned = append(c.pruned, name)
	folder, err := snapshot.ReadFolder(dir)
	t := &link{Snapshot: folder, tombstone: true}
	if err == nil && (t.Manifest.Export != c.export || t.Name() != name) {
		err = fmt.Errorf("is that of %s@%s", t.Manifest.Export, t.Name())
	}
	if err != nil {
		c.find(Finding{File: path.Join(snapshot.PrunedDir, name, snapshot.ManifestFile), Problem: snapshot.ProblemOf(err), about: dir})
		return nil
	}
	if c.read[name] != nil {
		c.findUnchecked(t, "is in two folders")
		return nil
	}
	c.read[name] = t
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	stays, changes := t.Manifest.TombstoneNames(), t.Manifest.ChangesNames()
	for _, entry := range entries {
		file, listed := t.Manifest.File(entry.Name())
		whole, err := snapshot.WholeFiles(ctx, dir, []snapshot.File{file})
		if err != nil {
			return err
		}
		switch {
		case slices.Contains(stays, entry.Name()) && !entry.Type().IsRegular():
			c.find(t.finding(entry.Name(), "is not a regular file"))
		case slices.Contains(stays, entry.Name()):
		case slices.Contains(changes, entry.Name()) && whole:
			t.kept = append(t.kept, entry.Name())
		case listed && whole || entry.Name() == snapshot.SumsFile:
			c.find(t.finding(entry.Name(), "unfinished prune: the next run or prune removes it"))
			c.findings[len(c.findings)-1].Note = true
		default:
			c.find(t.finding(entry.Name(), "is no part of a pruned snapshot"))
		}
	}
	return nil
}

// checkEvents compares the snapshots with the covered events: each must be published,
// each published one must be there, and a covered line must permit that its records
// are missing.
func (c *chain) checkEvents() {
	published, pruned := make(map[string]string), make(map[string]string)
	removed := make(map[string][]string) // files
	for _, e := range c.ledger.Events() {
		switch e.Event {
		case snapshot.EventPublished:
			published[e.Snapshot] = e.ManifestSHA256
		case snapshot.EventPruned:
			pruned[e.Snapshot] = e.ManifestSHA256
			removed[e.Snapshot] = append(removed[e.Snapshot], e.Files...)
		}
	}
	for _, snap := range c.links {
		name, manifest := snap.Name(), filepath.Join(snap.Dir(), snapshot.ManifestFile)
		switch digest := published[name]; digest {
		case snap.Digest:
		case "":
			c.find(Finding{Snapshot: name, Problem: "no covered line of the journal records that it was published", about: manifest})
		default:
			c.find(Finding{Snapshot: name, Problem: "is not the snapshot that the journal records as published (its manifest's SHA-256 is " + snap.Digest + ")", about: manifest})
		}
		switch erased := pruned[name] == snap.Digest; {
		case snap.tombstone && !erased:
			c.find(snap.finding("", "its records are missing, and no covered line of the journal records that it was pruned"))
		case snap.tombstone:
			c.checkKeptChanges(snap, removed[name])
		case erased && !snap.tombstone:
			c.find(snap.finding("", "unfinished prune, or a copy was put back: the journal records that its records were removed"))
			c.findings[len(c.findings)-1].Note = true
		}
	}
	c.checkMissing(published, pruned)
}

// checkKeptChanges checks that the changes files of a pruned snapshot are there, except
// for those that were removed.
func (c *chain) checkKeptChanges(snap *link, removed []string) {
	for _, file := range snap.Manifest.ChangesNames() {
		switch kept, gone := slices.Contains(snap.kept, file), slices.Contains(removed, file); {
		case kept && gone:
			c.find(snap.finding(file, "unfinished prune: the next run or prune removes it"))
			c.findings[len(c.findings)-1].Note = true
		case !kept && !gone:
			c.find(snap.finding(file, "is missing, and no covered line of the journal records that it was removed"))
		}
	}
}

// checkMissing reports the snapshots that the journal, the checkpoint or a manifest
// names, and that are missing.
func (c *chain) checkMissing(published, pruned map[string]string) {
	named := maps.Clone(published)
	if cp := c.checkpoint; cp != nil && cp.Sequence > 0 {
		named[cp.Snapshot] = cp.ManifestSHA256
	}
	for _, snap := range c.links {
		if p := snap.Manifest.Previous; p != nil {
			named[p.Snapshot] = p.ManifestSHA256
		}
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		switch {
		case contains(c.names, name) || contains(c.pruned, name):
		case pruned[name] != "":
			c.find(Finding{File: path.Join(snapshot.PrunedDir, name), Problem: "is missing, and the journal records that the snapshot was pruned"})
		default:
			c.find(Finding{Snapshot: name, Problem: "was published, and is missing"})
		}
	}
}
