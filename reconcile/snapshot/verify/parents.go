package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// checkParents compares group_members.parents.ndjson with the groups and the members,
// with the transcript, and with the snapshots that read the carried groups.
func (c *checkedSnapshot) checkParents(ctx context.Context, report reportFunc) error {
	members := snapshot.GroupMembers
	if _, ok := c.Manifest.File(members.ParentsFile()); !ok {
		clear(c.reads.last) // the next snapshot can carry nothing
	}
	if c.sums == nil || c.wrong[members.ParentsFile()] || c.wrong[members.RecordsFile()] || c.wrong[members.Parent.RecordsFile()] || c.wrong[snapshot.RequestsFile] {
		return nil
	}
	f, err := c.openFile(ctx, members.ParentsFile(), report)
	if f == nil {
		return err
	}
	defer f.Close()
	groups, err := c.Records(members.Parent)
	if err != nil {
		return err
	}
	defer groups.Close()
	p := &parentCheck{checkedSnapshot: c, groups: diff.NewLookup(groups)}
	if err := f.check(p.checkLines(snapshot.NewParentReader(f), f.entry), report); err != nil {
		return err
	}
	c.reads.known[c.Name()] = !c.wrong[members.ParentsFile()]
	return nil
}

// newReads returns the reads before the first snapshot of a chain. A snapshot without last
// reads can't be the origin of carried records.
func (c *chain) newReads() *reads {
	r := newReads()
	for _, e := range c.ledger.Events() {
		if e.Event == snapshot.EventPublished {
			r.published[e.Snapshot] = nil
		}
	}
	for name, snap := range c.read {
		if _, ok := snap.Manifest.File(snapshot.GroupMembers.ParentsFile()); ok {
			r.published[name] = &snap.Manifest.Read
		} else {
			delete(r.published, name)
		}
	}
	return r
}

// A parentCheck checks the last read of each group in one snapshot.
type parentCheck struct {
	*checkedSnapshot
	groups  *diff.Lookup
	carried int            // members of groups that were not read
	since   *snapshot.Time // the oldest read of these groups
}

func (p *parentCheck) checkLines(lines *snapshot.ParentReader, file snapshot.File) error {
	for rows := 0; ; rows++ {
		line, err := lines.Next()
		if err == io.EOF {
			return cmp.Or(rowsError(rows, file), p.checkCounts(rows), p.groups.Finish())
		}
		if err != nil {
			return err
		}
		if err := p.check(line); err != nil {
			return fmt.Errorf("group %.60q: %w", line.GroupID, err)
		}
	}
}

func (p *parentCheck) check(line snapshot.Parent) error {
	group, err := p.groups.Find([]byte(line.GroupID))
	if err != nil {
		return err
	}
	if group == nil {
		return errors.New("it isn't recorded")
	}
	if rows, digest := p.sums.Of(line.GroupID); rows != line.Rows || digest != line.SHA256 {
		return fmt.Errorf("its %d members (SHA-256 %s) are not the %d that were read", rows, digest, line.Rows)
	}
	stamp, err := canonjson.Text(group, "lastMembershipUpdated")
	if err != nil {
		return err
	}
	read, wasRead := p.transcript.Lists[line.GroupID]
	switch {
	case wasRead != (line.Snapshot == p.Name()):
		return fmt.Errorf("it was read in %s, and the transcript shows otherwise", line.Snapshot)
	case wasRead && !read.Equal(line.Read.Time):
		return fmt.Errorf("it was read at %s, and the transcript has %s", line.Read, read)
	case stamp != "" && stamp != line.LastMembershipUpdated && wasRead:
		return fmt.Errorf("its lastMembershipUpdated is %.60q, and the group has %.60q", line.LastMembershipUpdated, stamp)
	case !wasRead:
		if err := p.checkCarried(line); err != nil {
			return err
		}
		p.carried += line.Rows
		if p.since == nil || line.Read.Before(p.since.Time) {
			p.since = &line.Read
		}
	}
	p.reads.last[line.GroupID] = line
	return nil
}

// checkCarried compares a carried group with its last read. If that snapshot was pruned,
// only the time can be checked.
func (p *parentCheck) checkCarried(line snapshot.Parent) error {
	if p.alone {
		return nil
	}
	last := p.reads.last[line.GroupID]
	read, published := p.reads.published[line.Snapshot]
	switch {
	case line.Snapshot == last.Snapshot && line != last:
		return fmt.Errorf("it was carried from %s, and differs from it", line.Snapshot)
	case line.Snapshot == last.Snapshot:
		return nil
	case line.Snapshot >= p.Name(), line.Snapshot < last.Snapshot, p.reads.known[line.Snapshot], !published:
		return fmt.Errorf("it was carried from %s, which has no such read", line.Snapshot)
	}
	if read != nil && (line.Read.Before(read.Started.Add(-clockTolerance)) || line.Read.After(read.Finished.Time)) {
		return fmt.Errorf("it was read at %s, and the read of %s was at another time", line.Read, line.Snapshot)
	}
	return nil
}

// checkCounts compares the carried groups with the manifest. rows is the number of lines.
func (p *parentCheck) checkCounts(rows int) error {
	said := p.Manifest.Resources[snapshot.GroupMembers.Name]
	full := p.Manifest.Declared.Resources[snapshot.GroupMembers.Name].Full
	if groups := p.Manifest.Resources[snapshot.Groups.Name].Total; rows != groups {
		return fmt.Errorf("it has %d groups, and there are %d", rows, groups)
	}
	since := said.CarriedSince
	switch {
	case said.Carried != p.carried, (since == nil) != (p.since == nil), since != nil && !since.Equal(p.since.Time):
		return fmt.Errorf("it has %d carried members, and the manifest has %d, or another time", p.carried, said.Carried)
	case since != nil && p.Manifest.Read.Started.Sub(since.Time) > full.Duration+clockTolerance:
		return fmt.Errorf("its oldest read is %s before this one, and the declaration allows %s", p.Manifest.Read.Started.Sub(since.Time).Round(time.Second), full)
	}
	return nil
}
