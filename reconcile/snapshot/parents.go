package snapshot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// A Parent is one line of group_members.parents.ndjson. It describes the last read of a
// group's list of members. The file has a line for each group, in the order of their
// ids, if the declared refresh is incremental.
type Parent struct {
	GroupID               string `json:"group_id"`
	LastMembershipUpdated string `json:"last_membership_updated"` // as Okta sent it; "": none
	Read                  Time   `json:"read"`                    // when its first page was requested, by Okta's clock
	Snapshot              string `json:"snapshot"`                // whose transcript has the read
	Rows                  int    `json:"rows"`                    // members
	SHA256                string `json:"sha256"`                  // of the lines of its records
}

// Line appends p to dst as a line of the file.
func (p *Parent) Line(dst []byte) ([]byte, error) {
	line, err := canonjson.Marshal(p)
	return append(append(dst, line...), '\n'), err
}

// A ParentReader reads lines of a group_members.parents.ndjson.
type ParentReader struct {
	lines *LineReader
	last  string // id of the last group
	close func() error
	wrap  func(error) error // adds the path to an error, and checks the end
}

// NewParentReader returns a reader for the lines of r.
func NewParentReader(r io.Reader) *ParentReader {
	return &ParentReader{
		lines: NewLineReader(r), close: func() error { return nil }, wrap: func(err error) error { return err },
	}
}

// Next returns the next line, or io.EOF. Lines must be in canonical form, and in the
// order of the groups.
func (r *ParentReader) Next() (Parent, error) {
	p, err := r.read()
	if err != nil {
		err = r.wrap(err)
	}
	return p, err
}

func (r *ParentReader) read() (p Parent, err error) {
	line, err := r.lines.Next()
	if err == nil {
		err = parseLine(line, &p)
	}
	switch {
	case err == io.EOF:
		return p, err
	case err == nil && (p.GroupID <= r.last || p.Rows < 0):
		err = errors.New("its groups are not in order, or a number is negative")
	}
	if err != nil {
		return p, fmt.Errorf("line %d: %w", r.lines.N, err)
	}
	r.last = p.GroupID
	return p, nil
}

// Close closes the file.
func (r *ParentReader) Close() error { return r.close() }

// Parents opens the last reads of the groups. If the file isn't the published one, its end
// is an error instead of io.EOF.
func (s *Snapshot) Parents() (*ParentReader, error) {
	file, ok := s.Manifest.File(GroupMembers.ParentsFile())
	if !ok {
		return nil, &NotRecordedError{s.Manifest.Export, s.Name(), file.Name}
	}
	return openParents(s.dir, s.Manifest.Export, file)
}

// openParents opens file in dir. It belongs to an export, or to a quarantined read if
// export is "".
func openParents(dir, export string, file File) (*ParentReader, error) {
	f, wrap, err := openFile(dir, export, file.Name)
	if err != nil {
		return nil, err
	}
	sum := NewDigest()
	r := NewParentReader(io.TeeReader(io.LimitReader(f, file.Bytes+1), sum))
	r.close = f.Close
	r.wrap = func(err error) error {
		switch {
		case err == io.EOF && sum.String() != file.SHA256:
			return wrap(errWrongDigest)
		case err == io.EOF:
			return err
		}
		return wrap(err)
	}
	return r, nil
}

// requestsAndParents writes requests.ndjson and the last reads of the groups. name is that
// of the snapshot.
func (s *stage) requestsAndParents(ctx context.Context, name string, d Draft) (Transcript, error) {
	t, err := s.requests(ctx, d)
	if err == nil {
		err = s.parents(ctx, name, d, t)
	}
	return t, err
}

// parents writes the last read of each group, and counts what is carried. A group whose
// list is in the transcript was read. The line of another group is that of the newest
// snapshot, whose members it must have.
func (s *stage) parents(ctx context.Context, name string, d Draft, transcript Transcript) error {
	for i := range d.Resources {
		r := &d.Resources[i]
		if r.Stamp == nil || r.Unavailable != "" {
			continue
		}
		groups, err := s.Records(r.Resource.Parent)
		if err != nil {
			return err
		}
		lines := &parentLines{draft: r, name: name, lists: transcript.Lists, groups: &untilDone{Reader: groups, ctx: ctx}, base: d.Base}
		err = s.create(File{Name: r.Resource.ParentsFile(), Resource: r.Resource.Name}, lines.write)
		if err = errors.Join(err, groups.Close(), lines.close()); err != nil {
			return err
		}
	}
	return nil
}

// parentLines are the lines of a group_members.parents.ndjson that is written.
type parentLines struct {
	draft  *ResourceDraft
	name   string          // of the snapshot
	lists  map[string]Time // see Transcript
	groups diff.Reader
	base   *Snapshot     // the newest one; nil: none
	before *ParentReader // of base; nil until it is needed
	line   Parent        // the last one of before
}

func (l *parentLines) write(w *bufio.Writer, file *File) error {
	var line []byte
	for {
		group, err := l.groups.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		p, err := l.parent(group)
		if err == nil {
			line, err = p.Line(line[:0])
		}
		if err != nil {
			return fmt.Errorf("group %.60q: %w", group.Key, err)
		}
		w.Write(line)
		file.Rows++
	}
}

// parent returns the line of a group.
func (l *parentLines) parent(group diff.Record) (Parent, error) {
	p := Parent{GroupID: string(group.Key), Snapshot: l.name}
	p.Rows, p.SHA256 = l.draft.sums.Of(p.GroupID)
	read, ok := l.lists[p.GroupID]
	if !ok {
		return l.carry(p)
	}
	stamp, err := canonjson.Text(group.JSON, stampMember)
	if p.Read, p.LastMembershipUpdated = read, stamp; stamp == "" { // it isn't recorded
		p.LastMembershipUpdated = l.draft.Stamp(p.GroupID)
	}
	return p, err
}

// stampMember is the member of a group that shows when its members have changed.
const stampMember = "lastMembershipUpdated"

// carry returns the line of a group that was not read.
func (l *parentLines) carry(p Parent) (Parent, error) {
	if l.base == nil || l.draft.Base != BasePrevious {
		return p, errors.New("its members were not read, and there is no earlier snapshot")
	}
	if l.before == nil {
		var err error
		if l.before, err = l.base.Parents(); err != nil {
			return p, err
		}
	}
	for l.line.GroupID < p.GroupID {
		var err error
		if l.line, err = l.before.Next(); err == io.EOF {
			break
		} else if err != nil {
			return p, err
		}
	}
	if l.line.GroupID != p.GroupID || l.line.Rows != p.Rows || l.line.SHA256 != p.SHA256 {
		return p, errors.New("its members were not read, and aren't those of the newest snapshot")
	}
	l.draft.carried += p.Rows
	if since := l.draft.carriedSince; since == nil || l.line.Read.Before(since.Time) {
		l.draft.carriedSince = new(l.line.Read)
	}
	return l.line, nil
}

// close checks and closes the lines of the newest snapshot.
func (l *parentLines) close() (err error) {
	if l.before == nil {
		return nil
	}
	for err == nil {
		_, err = l.before.Next()
	}
	if err == io.EOF {
		err = nil
	}
	return errors.Join(err, l.before.Close())
}
