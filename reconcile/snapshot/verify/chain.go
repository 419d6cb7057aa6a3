package verify

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"oktasync/reconcile/snapshot"
)

// A link is a snapshot of a chain. tombstone means that its records were removed.
type link struct {
	*snapshot.Snapshot
	tombstone    bool
	kept         []string // of a tombstone: the changes files that are there
	afterErasure bool     // the records of the snapshot before it were removed when it was published
	baseErased   bool     // they could have been: the same, or its journal was lost
}

// A chain is everything in an export except its records: its
// checkpoint, its journal, the names in its folder, and the manifests.
type chain struct {
	store           *snapshot.Store
	export          string
	checkpoint      *snapshot.Checkpoint // nil: it is missing, or can't be read
	wrongCheckpoint bool                 // its signature is missing or not accepted
	names           []string             // of the folders of snapshots, sorted
	pruned          []string             // of the folders in pruned/, sorted
	read            map[string]*link     // the manifests that can be read, by name
	links           []*link              // those of the chain, oldest first
	ledger          snapshot.Ledger      // the covered events
	lines           int                  // of the journal
	all             *snapshot.Digest     // of the journal's lines
	digests         map[int]string       // of the lines that a manifest or a head names, by number
	lastTime        time.Time            // the latest time of a covered line
	hasJournal      bool                 // there is a journal, which can be empty
	wrongNewest     bool                 // the manifest of the newest snapshot isn't the one that the checkpoint covers
	wrongJournal    bool                 // it isn't the one that the checkpoint covers
	unreadable      bool                 // there is a checkpoint, and it can't be read
	findings        []Finding
}

// finding returns a finding about a file of a snapshot, or of its tombstone. The file
// "" means the snapshot: its manifest, against which all its files are checked.
func (s *link) finding(file, format string, args ...any) Finding {
	f := Finding{Export: s.Manifest.Export, Snapshot: s.Name(), File: file, Problem: fmt.Sprintf(format, args...)}
	f.about = filepath.Join(s.Dir(), cmp.Or(file, snapshot.ManifestFile))
	if s.tombstone {
		f.Snapshot, f.File = "", path.Join(snapshot.PrunedDir, s.Name(), file)
	}
	return f
}

// findUnchecked reports a snapshot whose folder isn't checked further.
func (c *chain) findUnchecked(s *link, format string, args ...any) {
	f := s.finding("", format, args...)
	f.about = s.Dir()
	c.find(f)
}

// contains reports whether sorted names contain a name.
func contains(names []string, name string) bool {
	_, ok := slices.BinarySearch(names, name)
	return ok
}

func (c *chain) find(f Finding) {
	f.Export = c.export
	c.findings = append(c.findings, f)
}

// readFolder reads the names in the export's folder, and the manifests.
func (c *chain) readFolder() error {
	entries, err := os.ReadDir(c.store.Path(c.export))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		of, isPartial := snapshot.PartialOf(name)
		_, err := snapshot.ParseName(name)
		switch {
		case name == snapshot.LockFile && entry.Type().IsRegular(), name == snapshot.LatestLink, name == snapshot.PrunedDir && entry.IsDir():
		case name == snapshot.JournalFile && entry.Type().IsRegular():
			c.hasJournal = true
		case name == snapshot.CheckpointFile && entry.Type().IsRegular():
		case err == nil && entry.IsDir():
			c.names = append(c.names, name)
			c.readManifest(name)
		case isPartial && isPartOfExport(of):
			c.find(Finding{File: name, Problem: "unfinished publish: the next run removes it", Note: true})
		default:
			c.find(Finding{File: name, Problem: "is no part of an export"})
		}
	}
	return nil
}

// isPartOfExport reports whether a writer creates a file or folder of this name.
func isPartOfExport(name string) bool {
	_, err := snapshot.ParseName(name)
	return err == nil || name == snapshot.LatestLink || name == snapshot.CheckpointFile || strings.HasSuffix(name, ".csv")
}

// readManifest reads the manifest of a snapshot. A snapshot that is later than the
// newest covered one is checkCovered's.
func (c *chain) readManifest(name string) {
	snap, err := c.store.Snapshot(c.export, name)
	switch {
	case err != nil:
		c.find(Finding{Snapshot: name, File: snapshot.ManifestFile, Problem: snapshot.ProblemOf(err), about: c.store.Path(c.export, name)})
	case c.checkpoint != nil && name > c.checkpoint.Snapshot:
	default:
		c.read[name] = &link{Snapshot: snap}
	}
}

// join follows the chain from the newest snapshot that the checkpoint covers. Where
// it is broken, or without a checkpoint, it goes on from the next older snapshot.
func (c *chain) join() {
	names := slices.Sorted(maps.Keys(c.read))
	next := ""
	if c.checkpoint != nil {
		next = c.checkpoint.Snapshot
	}
	for len(names) > 0 {
		last := len(names) - 1
		if i, ok := slices.BinarySearch(names, next); ok {
			for _, name := range names[i+1:] {
				c.findUnchecked(c.read[name], "is not part of the chain (its manifest's SHA-256 is %s)", c.read[name].Digest)
			}
			last = i
		}
		snap := c.read[names[last]]
		c.links = append(c.links, snap)
		names, next = names[:last], ""
		if p := snap.Manifest.Previous; p != nil {
			next = p.Snapshot
		}
	}
	slices.Reverse(c.links)
}

// checkLinks checks each manifest against the one before it, and the newest against
// the checkpoint.
func (c *chain) checkLinks(v *verifier) {
	var before *snapshot.Snapshot
	for i, snap := range c.links {
		m := &snap.Manifest
		switch p := m.Previous; {
		case p != nil && c.read[p.Snapshot] == nil:
			// checkEvents reports that it is missing, and readManifest that it is damaged.
		case p == nil && i > 0:
			c.find(snap.finding(snapshot.ManifestFile, "is the first of a chain, and %s is before it", before.Name()))
		default:
			if err := c.store.Follows(snap.Snapshot, before); err != nil {
				c.find(snap.finding(snapshot.ManifestFile, "%v", err))
			}
		}
		if ahead := max(m.Read.Finished.Sub(v.now), m.Signed.Sub(v.now)); ahead > clockTolerance+c.clockError(v) {
			c.find(snap.finding(snapshot.ManifestFile, "its times are in the future (signed %s)", m.Signed))
		}
		before = snap.Snapshot
	}
	if behind := c.behind(v); behind > 0 {
		c.find(Finding{File: snapshot.JournalFile, Note: true, Problem: fmt.Sprintf(
			"its last time is %s ahead of this machine's clock: this clock, or the one of the writer, is wrong", behind.Round(time.Second))})
	}
	if cp := c.checkpoint; cp != nil && cp.Sequence > 0 {
		newest := c.read[cp.Snapshot]
		switch {
		case newest != nil && (newest.Digest != cp.ManifestSHA256 || newest.Manifest.Sequence != cp.Sequence):
			c.wrongNewest = true
			c.find(newest.finding(snapshot.ManifestFile, "is not the one that the checkpoint covers (its SHA-256 is %s)", newest.Digest))
		case newest != nil && cp.Time.Before(newest.Manifest.Signed.Time):
			c.find(Finding{File: snapshot.CheckpointFile, Problem: "its time is before that of the newest snapshot"})
		}
	}
}

const (
	// clockTolerance is the difference between two clocks that is accepted as jitter.
	clockTolerance = time.Minute
	// maxBehind is by how much the clock of this machine may be behind the journal: an
	// hour, for a clock that was set back by a time zone.
	maxBehind = time.Hour + clockTolerance
)

// clockError returns by how much the clock of this machine is behind, as far as the
// newest snapshot or the journal shows it.
func (c *chain) clockError(v *verifier) time.Duration {
	behind := c.behind(v)
	if len(c.links) > 0 {
		offset := c.links[len(c.links)-1].Manifest.Read.ClockOffsetMS
		behind = max(behind, -time.Duration(offset)*time.Millisecond)
	}
	return behind
}

// behind returns by how much the clock of this machine is behind the latest time in
// the journal, or 0 if the difference is jitter or more than an hour.
func (c *chain) behind(v *verifier) time.Duration {
	behind := c.lastTime.Sub(v.now)
	if behind <= clockTolerance || behind > maxBehind {
		return 0
	}
	return behind
}

// checkLatest checks that latest points to the newest snapshot. Until a publish is
// finished, it may point to the one before, or to the one that isn't covered yet.
func (c *chain) checkLatest() error {
	target, err := os.Readlink(c.store.Path(c.export, snapshot.LatestLink))
	missing := errors.Is(err, fs.ErrNotExist)
	newest, before := "", ""
	if cp := c.checkpoint; cp != nil {
		newest = cp.Snapshot
	}
	if p := c.read[newest]; p != nil && p.Manifest.Previous != nil {
		before = p.Manifest.Previous.Snapshot
	}
	erased := contains(c.pruned, newest)
	switch {
	case c.checkpoint == nil, missing && (newest == "" || erased), target == newest && newest != "":
	case missing && before == "" || target == before && before != "":
		c.find(Finding{File: snapshot.LatestLink, Problem: "unfinished publish: the next run sets it to " + newest, Note: true})
	case missing:
		c.find(Finding{File: snapshot.LatestLink, Problem: "is missing, as in a copy without links", Note: true})
	case errors.Is(err, syscall.EINVAL):
		c.find(Finding{File: snapshot.LatestLink, Problem: "is not a symbolic link, as in a copy without links: it is not verified", Note: true})
	case err != nil:
		return err
	default:
		c.find(Finding{File: snapshot.LatestLink, Problem: fmt.Sprintf("points to %q, and the newest is %q", target, newest)})
	}
	return nil
}
