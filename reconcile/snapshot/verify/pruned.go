package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
)

// finding is one about a file of a snapshot, or of its tombstone.
func (s *link) finding(file, format string, args ...any) Finding {
	f := Finding{Export: s.Manifest.Export, Snapshot: s.Name(), File: file, Problem: fmt.Sprintf(format, args...)}
	if s.tombstone {
		f.Snapshot, f.File = "", path.Join(snapshot.PrunedDir, s.Name(), file)
	}
	return f
}

// readTombs reads what retention has left of the snapshots that it removed.
func (c *chain) readTombs() error {
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
		file := path.Join(snapshot.PrunedDir, name)
		of, isPartial := snapshot.PartialOf(name)
		_, err := snapshot.ParseName(name)
		_, ofErr := snapshot.ParseName(of)
		switch {
		case isPartial && ofErr == nil && entry.IsDir():
			c.find(Finding{File: file, Problem: "unfinished prune: left behind, the next run removes it", Note: true})
		case err != nil || !entry.IsDir():
			c.find(Finding{File: file, Problem: "is no part of an export"})
		default:
			if err := c.readTomb(filepath.Join(dir, name), name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *chain) readTomb(dir, name string) error {
	c.buried = append(c.buried, name)
	folder, err := snapshot.ReadFolder(dir)
	tomb := &link{Snapshot: folder}
	if err == nil && (tomb.Manifest.Export != c.export || tomb.Name() != name) {
		err = fmt.Errorf("is that of %s@%s", tomb.Manifest.Export, tomb.Name())
	}
	if err != nil {
		c.find(Finding{File: path.Join(snapshot.PrunedDir, name, snapshot.ManifestFile), Problem: snapshot.ProblemOf(err)})
		return nil
	}
	tomb.tombstone = true
	c.tombs = append(c.tombs, tomb)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	expected := tomb.Manifest.TombstoneNames()
	for _, entry := range entries {
		switch {
		case !slices.Contains(expected, entry.Name()):
			c.find(tomb.finding(entry.Name(), "is no part of a tombstone"))
		case !entry.Type().IsRegular():
			c.find(tomb.finding(entry.Name(), "is no plain file"))
		}
	}
	return nil
}

// join makes one chain of the snapshots that are there and those that were
// pruned.
func (c *chain) join() {
	c.links = slices.Clone(c.snapshots)
	for _, tomb := range c.tombs {
		if !slices.Contains(c.names, tomb.Name()) {
			c.links = append(c.links, tomb)
		}
	}
	slices.SortFunc(c.links, func(a, b *link) int { return strings.Compare(a.Name(), b.Name()) })
}

// has reports whether a snapshot is there, or its tombstone.
func (c *chain) has(name string) bool {
	return slices.Contains(c.names, name) || slices.Contains(c.buried, name)
}

// checkTombs holds the tombstones against the journal and the folders.
func (c *chain) checkTombs() {
	for _, tomb := range c.tombs {
		name := tomb.Name()
		there := slices.Contains(c.names, name)
		digest, announced := c.pruned[name]
		published := c.published[name]
		f := tomb.finding("", "")
		switch {
		case announced && digest != tomb.Digest || published != "" && published != tomb.Digest:
			f = tomb.finding(snapshot.ManifestFile, "is not the one that the journal knows")
		case there && !announced:
			f.Problem, f.Note = "unfinished prune: the next run takes it back", true
		case there && c.openPrune == name:
			f.Problem, f.Note = "unfinished prune: the next run finishes it", true
		case there:
			f.Problem = "was pruned, and the snapshot is there again"
		case !announced:
			f.Problem = "is a tombstone, and the journal does not know that it was pruned"
		default:
			continue
		}
		c.find(f)
	}
	for _, name := range slices.Sorted(maps.Keys(c.pruned)) {
		if !slices.Contains(c.buried, name) {
			c.find(Finding{File: path.Join(snapshot.PrunedDir, name), Problem: "is missing, and the journal says that the snapshot was pruned"})
		}
	}
	if n := len(c.links); n > 0 && c.links[n-1].tombstone {
		c.find(c.links[n-1].finding("", "is the newest of the chain and was pruned, which retention never does"))
	}
}
