package verify

import "fmt"

// adopter returns the snapshot that adopted a break after the snapshot name,
// nil where none did.
func (c *chain) adopter(name string) *link {
	for _, snap := range c.links {
		if snap.Manifest.Adopted != nil && name < snap.Name() {
			return snap
		}
	}
	return nil
}

// followAdopters finds the snapshots that each adoption goes on from: those are
// there on somebody's word, and what else came before it is gone on that word.
func (c *chain) followAdopters() {
	links := make(map[string]*link, len(c.links))
	for _, snap := range c.links {
		links[snap.Name()] = snap
	}
	for _, by := range c.links {
		if by.Manifest.Adopted == nil {
			continue
		}
		for snap := by; snap != nil && snap.Manifest.Previous != nil; {
			name := snap.Manifest.Previous.Snapshot
			if snap = links[name]; c.adopted[name] != nil || name >= by.Name() {
				break
			}
			c.adopted[name] = by
		}
	}
}

// excuseUnknown makes a note of a finding that the journal does not know a
// snapshot, where one that adopted a break goes on from it: the journal was lost
// then.
func (c *chain) excuseUnknown(f Finding) Finding { return f.excusedBy(c.adopted[f.Snapshot]) }

// excuseGone makes a note of a finding that a snapshot is gone, where one that
// adopted a break goes on from an older one.
func (c *chain) excuseGone(f Finding) Finding {
	for _, by := range c.links {
		from := by.Manifest.Previous
		if by.Manifest.Adopted != nil && f.Snapshot < by.Name() && (from == nil || from.Snapshot < f.Snapshot) {
			return f.excusedBy(by)
		}
	}
	return f
}

// excusedBy is f as the note that it is once the snapshot by has adopted it.
func (f Finding) excusedBy(by *link) Finding {
	if by != nil {
		a := by.Manifest.Adopted
		f.Note = true
		f.Problem += fmt.Sprintf("; %s adopted that in %s: %s", a.User, by.Name(), a.Reason)
	}
	return f
}
