package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"oktasync/reconcile/snapshot"
)

// A link is a snapshot of a chain, or the tombstone of a pruned one.
type link struct {
	*snapshot.Snapshot
	tombstone bool // only its manifest and signature exist
}

// A chain is what an export says of itself without its users: the names in
// its folder, the manifests and the journal, held against each other.
type chain struct {
	store     *snapshot.Store
	export    string
	names     []string          // of the folders that are named like snapshots, sorted
	snapshots []*link           // those with a manifest that can be read
	buried    []string          // names of tombstones
	tombs     []*link           // those with a manifest that can be read
	links     []*link           // snapshots and tombs, in order
	published map[string]string // digests of manifests by snapshot, as the journal has them
	pruned    map[string]string // the same of what was pruned
	openPrune string            // the snapshot that was pruned last, until a run begins
	gone      map[string]bool   // snapshots that are not there for a reason that has been given
	adopted   map[string]*link  // who goes on from a snapshot that was left by a break
	open      snapshot.Event    // the intent that nothing has followed
	lines     int               // of the journal
	findings  []Finding
}

// survey reads the chain of an export and holds its parts against each other.
func survey(s *snapshot.Store, export string) (*chain, error) {
	c := &chain{store: s, export: export, gone: make(map[string]bool), adopted: make(map[string]*link)}
	c.published, c.pruned = make(map[string]string), make(map[string]string)
	if err := c.readFolder(); err != nil {
		return nil, err
	}
	for _, name := range c.names {
		snap, err := s.Snapshot(export, name)
		if err != nil {
			c.find(Finding{Snapshot: name, File: snapshot.ManifestFile, Problem: snapshot.ProblemOf(err)})
			continue
		}
		c.snapshots = append(c.snapshots, &link{Snapshot: snap})
	}
	if err := c.readTombs(); err != nil {
		return nil, err
	}
	c.join()
	c.followAdopters()
	if err := c.readJournal(); err != nil {
		return nil, err
	}
	c.checkLinks()
	c.checkPublished()
	c.checkTombs()
	return c, c.checkLatest()
}

func (c *chain) find(f Finding) {
	f.Export = c.export
	c.findings = append(c.findings, f)
}

// readFolder sorts the names in the export's folder.
func (c *chain) readFolder() error {
	entries, err := os.ReadDir(c.store.Path(c.export))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		of, isPartial := snapshot.PartialOf(name)
		_, err := snapshot.ParseName(name)
		_, ofErr := snapshot.ParseName(of)
		_, isAway := snapshot.RemovedOf(name)
		switch {
		case name == snapshot.LockFile, name == snapshot.LatestLink, name == snapshot.PrunedDir && entry.IsDir():
		case name == snapshot.JournalFile && entry.Type().IsRegular():
		case err == nil && entry.IsDir():
			c.names = append(c.names, name)
		case isPartial && (ofErr == nil && entry.IsDir() || of == snapshot.LatestLink || strings.HasSuffix(of, ".csv")):
			c.find(Finding{File: name, Problem: "unfinished publish: left behind, the next run removes it", Note: true})
		case isAway && entry.IsDir():
			c.find(Finding{File: name, Problem: "unfinished prune: left behind, the next run removes it", Note: true})
		default:
			c.find(Finding{File: name, Problem: "is no part of an export"})
		}
	}
	return nil
}

// readJournal follows the chain of the journal's lines, and holds them
// against what the manifests say of them. It names the first line that does
// not hold: what comes after it proves nothing.
func (c *chain) readJournal() error {
	heads := make(map[int][]*link)
	for _, snap := range c.links {
		if c.adopter(snap.Name()) != nil {
			continue // it may have known another journal
		}
		heads[snap.Manifest.Journal.Lines] = append(heads[snap.Manifest.Journal.Lines], snap)
	}
	last, broken := "", false
	torn, err := snapshot.ReadJournal(c.store.Path(c.export, snapshot.JournalFile), func(line []byte) error {
		c.lines++
		e, problem := c.checkEvent(line, last)
		last = snapshot.DigestOf(line)
		for _, snap := range heads[c.lines] {
			if problem == "" && snap.Manifest.Journal.SHA256 != last {
				problem = fmt.Sprintf("line %d is not the one that %s knows", c.lines, snap.Name())
			}
		}
		if problem != "" && !broken {
			broken = true
			c.find(Finding{File: snapshot.JournalFile, Problem: problem})
		}
		c.apply(e)
		return nil
	})
	if errors.Is(err, snapshot.ErrNotPlain) {
		err = nil // readFolder has said so
	}
	if errors.Is(err, snapshot.ErrLongLine) {
		c.find(Finding{File: snapshot.JournalFile, Problem: err.Error()})
	} else if err != nil {
		return err
	}
	if torn {
		c.find(Finding{File: snapshot.JournalFile, Problem: "unfinished publish: the last line is torn, the next run cuts it off", Note: true})
	}
	for _, snap := range c.links {
		if had := snap.Manifest.Journal.Lines; had > c.lines && c.lines > 0 && !broken && c.adopter(snap.Name()) == nil {
			broken = true
			c.find(Finding{File: snapshot.JournalFile, Problem: fmt.Sprintf("has %d lines, and had %d before %s", c.lines, had, snap.Name())})
		}
	}
	return nil
}

// checkEvent parses the line that follows the one with the digest last.
func (c *chain) checkEvent(line []byte, last string) (e snapshot.Event, problem string) {
	e, err := snapshot.ParseEvent(line)
	previous := ""
	if e.PreviousLineSHA256 != nil {
		previous = *e.PreviousLineSHA256
	}
	switch {
	case err != nil:
		problem = fmt.Sprintf("line %d: %v", c.lines, err)
	case e.Export != c.export:
		problem = fmt.Sprintf("line %d belongs to the export %q", c.lines, e.Export)
	case previous != last:
		problem = fmt.Sprintf("line %d does not follow the line before it", c.lines)
	}
	return e, problem
}

// apply records what e says of snapshots.
func (c *chain) apply(e snapshot.Event) {
	switch e.Event {
	case snapshot.EventIntent:
		c.open = e
	case snapshot.EventPublished:
		c.published[e.Snapshot] = e.ManifestSHA256
	case snapshot.EventFailed: // it says what somebody was told of, and the chain had not
		if e.ManifestSHA256 != "" && c.published[e.Snapshot] == "" {
			c.published[e.Snapshot] = e.ManifestSHA256
		}
	case snapshot.EventPruned:
		c.pruned[e.Snapshot], c.openPrune = e.ManifestSHA256, e.Snapshot
		c.gone[e.Snapshot] = true
	case snapshot.EventStarted, snapshot.EventReleased:
		c.openPrune = "" // a Writer mends before it begins
	}
	if (e.Event == snapshot.EventPublished || e.Event == snapshot.EventRepaired) && e.Snapshot == c.open.Snapshot {
		c.open = snapshot.Event{}
	}
}

// checkLinks holds each manifest against the one before it.
func (c *chain) checkLinks() {
	var before *link
	for _, snap := range c.links {
		m := &snap.Manifest
		last := c.followed(snap, before)
		find := func(format string, args ...any) { c.find(snap.finding(snapshot.ManifestFile, format, args...)) }
		switch {
		case m.StoreID != c.store.ID():
			find("belongs to the store %s", m.StoreID)
		case m.Org.URL != c.store.Org().URL:
			find("belongs to the org %s", m.Org.URL)
		case m.Org.ID != c.store.Org().ID && m.Org.ID != "" && c.store.Org().ID != "":
			find("belongs to the org with the id %s", m.Org.ID)
		case m.Previous == nil:
			if last != nil {
				find("is the first of a chain, and %s comes before it", last.Name())
			}
		case !c.has(m.Previous.Snapshot):
			find("follows %s, which is gone", m.Previous.Snapshot)
			c.gone[m.Previous.Snapshot] = true
		case last == nil || last.Name() != m.Previous.Snapshot:
			if manifestRead(c.links, m.Previous.Snapshot) {
				find("follows %s, which is not the snapshot before it", m.Previous.Snapshot)
			}
		case last.Digest != m.Previous.ManifestSHA256:
			find("follows another %s than the one that is there", last.Name())
		case m.Sequence != last.Manifest.Sequence+1:
			find("has the sequence %d after %d", m.Sequence, last.Manifest.Sequence)
		}
		if before != nil && before.Manifest.SignedBy != nil && m.SignedBy == nil {
			find("is not signed, and %s before it is", before.Name())
		}
		before = snap
	}
}

// followed returns the snapshot that snap goes on from: the one before it, or,
// where it adopted a break, the one that it names. What retention had pruned
// after that one hangs on it too, and leads nowhere.
func (c *chain) followed(snap, before *link) *link {
	m := &snap.Manifest
	switch {
	case m.Adopted == nil:
		return before
	case m.Previous == nil:
		return nil
	}
	for _, link := range c.links {
		if link.Name() == m.Previous.Snapshot && link.Name() < snap.Name() {
			return link
		}
	}
	return before
}

// manifestRead reports whether name is among snapshots: where it is not, its
// manifest has been found wrong, and no more is to be said of the link to it.
func manifestRead(snapshots []*link, name string) bool {
	return slices.ContainsFunc(snapshots, func(s *link) bool { return s.Name() == name })
}

// checkPublished holds the folders against what the journal says of them.
func (c *chain) checkPublished() {
	if c.lines == 0 && len(c.links) == 0 && len(c.names) == 0 {
		// A first run that was cut off looks the same, so this is no proof.
		c.find(Finding{Problem: "holds no snapshot and no journal: its first run was cut off, or all that it had was taken away", Note: true})
		return
	}
	if c.lines == 0 && len(c.names) > 0 {
		c.find(Finding{File: snapshot.JournalFile, Problem: "is missing or empty"})
		return
	}
	for _, snap := range c.snapshots {
		name := snap.Name()
		digest, ok := c.published[name]
		switch {
		case ok && digest != snap.Digest:
			c.find(Finding{Snapshot: name, File: snapshot.ManifestFile, Problem: "is not the one that the journal says was published"})
		case ok:
		case c.open.Snapshot == name && c.open.ManifestSHA256 == snap.Digest:
			c.find(Finding{Snapshot: name, Problem: "unfinished publish: the next run finishes it", Note: true})
		default:
			c.find(c.excuseUnknown(Finding{Snapshot: name, Problem: "the journal does not know it"}))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.published)) {
		if !c.gone[name] && !slices.Contains(c.names, name) {
			c.find(c.excuseGone(Finding{Snapshot: name, Problem: "was published, and is gone"}))
		}
	}
	if name := c.open.Snapshot; name != "" && !slices.Contains(c.names, name) {
		c.find(Finding{Snapshot: name, Problem: "unfinished publish: announced and not there, the next run says so", Note: true})
	}
}

// checkLatest holds latest against the newest folder. Until a publish is
// finished it may lead to the one before.
func (c *chain) checkLatest() error {
	target, err := os.Readlink(c.store.Path(c.export, snapshot.LatestLink))
	missing := errors.Is(err, fs.ErrNotExist)
	newest, before := "", ""
	if n := len(c.names); n > 0 {
		newest = c.names[n-1]
		if n > 1 {
			before = c.names[n-2]
		}
	}
	unfinished := newest != "" && c.open.Snapshot == newest
	switch {
	case missing && (newest == "" || unfinished && before == ""):
	case missing:
		c.find(Finding{File: snapshot.LatestLink, Problem: "is missing, as in a copy without links", Note: true})
	case errors.Is(err, syscall.EINVAL):
		c.find(Finding{File: snapshot.LatestLink, Problem: "is not a symbolic link, as in a copy without links: it is not verified", Note: true})
	case err != nil:
		return err
	case target == newest && newest != "", unfinished && target == before && before != "":
	default:
		c.find(Finding{File: snapshot.LatestLink, Problem: fmt.Sprintf("leads to %q, and the newest is %q", target, newest)})
	}
	return nil
}
