package reconcile

import (
	"fmt"
	"slices"

	"oktasync/oktaclient"
)

// index has an entry for each record of a resource that is read more than once: it
// has children, or changes during the read can only be seen in a second list. Its
// memory is about 200 bytes per group or app.
type index struct {
	records map[string]indexed // by id
	pass    int                // number of the newest read
	changed []string           // ids of new and changed records, since changedIDs was called

	// recent is a stamp: a record with this stamp or a later one counts as changed, because
	// the lists of its children may not have shown the change yet. "": none.
	recent string
}

type indexed struct {
	stamp    string // differs after a change of the record, or of its children if Okta shows that
	kind     string // of a group: its type if its members can be carried; "": they are always read
	pass     int    // the newest read that has the record
	inactive bool
	deleted  bool // Okta's 404 for the id proved it
}

// Bounds of an index.
const (
	maxIndexed = 2_000_000 // records
	maxStamp   = 600       // bytes: lastUpdated and status, which have at most 256 each
)

// observe compares a copy of a record with the copy before.
func (x *index) observe(r oktaclient.Record, stamp, kind string) error {
	known, ok := x.records[r.ID]
	switch {
	case len(stamp) > maxStamp:
		return fmt.Errorf("record %.60q: its time has over %d bytes", r.ID, maxStamp)
	case !ok && len(x.records) == maxIndexed:
		return fmt.Errorf("over %d records, which is the most that are read with their children", maxIndexed)
	}
	if !ok || known.stamp != stamp || x.recent != "" && stamp >= x.recent {
		x.changed = append(x.changed, r.ID)
	}
	known.stamp, known.kind, known.pass, known.inactive = stamp, kind, x.pass, r.Status == "INACTIVE"
	x.records[r.ID] = known
	return nil
}

// changedIDs returns the ids of the records that were new or changed since the last
// call, in order.
func (x *index) changedIDs() []string {
	ids := slices.DeleteFunc(x.changed, func(id string) bool { return x.records[id].deleted })
	x.changed = nil
	slices.Sort(ids)
	return slices.Compact(ids)
}

// unlisted returns the ids of the records that the newest read doesn't have.
func (x *index) unlisted() (ids []string) {
	for id, known := range x.records {
		if known.pass != x.pass && !known.deleted {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// exists reports whether the read has a record with this id.
func (x *index) exists(id string) bool {
	known, ok := x.records[id]
	return ok && !known.deleted
}

// remove drops a record from the read, because it doesn't exist.
func (x *index) remove(id string) {
	known := x.records[id]
	known.deleted = true
	x.records[id] = known
}

// lists numbers the lists of an edge resource. Each list is that of one parent, and a
// parent's newest list replaces those before.
type lists struct {
	newest  map[string]string // number of the newest list, by the id of the parent; nil: each parent has one list
	count   int
	missing []string // parents for whose list Okta answered that there is no such parent
}

// carried is the number of a list that isn't read, because the newest snapshot has it.
const carried = ""

// isCarried reports whether the list of a parent isn't read.
func (l *lists) isCarried(parent string) bool {
	number, ok := l.newest[parent]
	return ok && number == carried
}

// begin numbers the next list of a parent. Numbers have the same order as text.
func (l *lists) begin(parent string) {
	if l.newest == nil {
		return
	}
	l.count++
	l.newest[parent] = fmt.Sprintf("%010d", l.count)
}
