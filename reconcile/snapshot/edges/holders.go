package edges

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// HolderMembers are the members that Holders adds to a role assignment, in the order of
// their columns.
var HolderMembers = []string{"login", "user_id", "group_name", "app_label"}

// Bounds of the rows of Holders that are in memory. A row has about 500 bytes, but a role
// with many targets has up to 1 MiB.
const (
	maxRows  = 32 << 10
	maxBytes = 16 << 20 // of the assignments
)

// Holders reads role assignments with the names of their holders. The role of a group is
// followed by a row for each member of the group. Users, Groups and Apps have the names.
// Members are the members of groups; nil: they aren't recorded. Holders is a diff.Reader
// whose records have no keys. Its memory is bounded, except for the ids of the members of
// one group.
type Holders struct {
	Assignments         diff.Reader
	Users, Groups, Apps End
	Members             func() (diff.Reader, error)
	MaxRows             int // in memory; 0: maxRows

	members diff.Reader
	member  diff.Record // the current one of members
	ended   bool        // members has ended
	group   []byte      // whose members are in ids
	ids     []string

	record []byte   // the current role of a group
	rest   []string // the members that follow in rows of their own
	rows   []holder
	json   []byte
	err    error // after rows

	logins, groupNames, appLabels map[string]string // by id, as JSON; of rows
}

// holder is a row: an assignment, and the ids of its holders.
type holder struct {
	record           []byte
	user, group, app string
}

// Next implements diff.Reader. The record has no key.
func (h *Holders) Next() (diff.Record, error) {
	if len(h.rows) == 0 && h.err == nil {
		h.err = h.fill()
	}
	if len(h.rows) == 0 {
		return diff.Record{}, h.err
	}
	row := h.rows[0]
	h.rows = h.rows[1:]
	var err error
	h.json, err = h.append(h.json[:0], row)
	return diff.Record{JSON: h.json}, err
}

// fill reads the next rows and the names of their holders.
func (h *Holders) fill() error {
	h.rows = h.rows[:0:0]
	most := cmp.Or(h.MaxRows, maxRows)
	for size := 0; len(h.rows) < most && size < maxBytes; {
		if len(h.rest) > 0 {
			h.rows = append(h.rows, holder{record: h.record, user: h.rest[0], group: string(h.group)})
			h.rest = h.rest[1:]
			continue
		}
		assignment, err := h.Assignments.Next()
		if err == io.EOF {
			return cmp.Or(h.names(), h.finish(), io.EOF)
		}
		if err != nil {
			return err
		}
		if err := h.add(assignment); err != nil {
			return err
		}
		size += len(assignment.JSON)
	}
	return h.names()
}

func (h *Holders) add(assignment diff.Record) error {
	kind, rest, _ := bytes.Cut(assignment.Key, []byte{0})
	id, _, ok := bytes.Cut(rest, []byte{0})
	if !ok {
		return errors.New("a role assignment without a principal")
	}
	row := holder{record: bytes.Clone(assignment.JSON)}
	switch string(kind) {
	case "USER":
		row.user = string(id)
	case "CLIENT":
		row.app = string(id)
	case "GROUP":
		row.group = string(id)
		if err := h.readMembers(id); err != nil {
			return err
		}
		h.record, h.rest = row.record, h.ids
	}
	h.rows = append(h.rows, row)
	return nil
}

// readMembers sets h.ids to the members of a group. Groups come in ascending order.
func (h *Holders) readMembers(group []byte) (err error) {
	if h.Members == nil || h.group != nil && bytes.Equal(group, h.group) {
		h.group = bytes.Clone(group)
		return nil
	}
	h.group, h.ids = bytes.Clone(group), nil
	if h.members == nil {
		if h.members, err = h.Members(); err != nil {
			return err
		}
		if err := h.advance(); err != nil {
			return err
		}
	}
	for !h.ended {
		parent, user, _ := bytes.Cut(h.member.Key, []byte{0})
		order := bytes.Compare(parent, group)
		if order > 0 {
			return nil
		}
		if order == 0 {
			h.ids = append(h.ids, string(user))
		}
		if err := h.advance(); err != nil {
			return err
		}
	}
	return nil
}

func (h *Holders) advance() (err error) {
	h.member, err = h.members.Next()
	if err == io.EOF {
		h.ended = true
		return nil
	}
	return err
}

// finish reads the remaining members, so that a Reader that checks itself at its end
// does this.
func (h *Holders) finish() error {
	for h.members != nil && !h.ended {
		if err := h.advance(); err != nil {
			return err
		}
	}
	return nil
}

// names reads the names of the holders in rows.
func (h *Holders) names() error {
	h.logins, h.groupNames, h.appLabels = make(map[string]string), make(map[string]string), make(map[string]string)
	for _, row := range h.rows {
		h.logins[row.user], h.groupNames[row.group], h.appLabels[row.app] = "", "", ""
	}
	return cmp.Or(h.Users.readNames(h.logins), h.Groups.readNames(h.groupNames), h.Apps.readNames(h.appLabels))
}

// append appends a row to dst, in canonical form. An unknown name is omitted.
func (h *Holders) append(dst []byte, row holder) ([]byte, error) {
	user, err := jsontext.AppendQuote(nil, row.user)
	if err != nil {
		return dst, fmt.Errorf("the id of a user: %w", err)
	}
	if row.user == "" {
		user = nil
	}
	added := []struct{ name, value string }{ // in canonical order
		{"app_label", h.appLabels[row.app]}, {"group_name", h.groupNames[row.group]}, {"login", h.logins[row.user]}, {"user_id", string(user)},
	}
	start := len(dst)
	dst = append(dst, '{')
	m := canonjson.MembersOf(row.record)
	for m.Next() {
		for ; len(added) > 0 && canonjson.CompareNames([]byte(added[0].name), m.Name) < 0; added = added[1:] {
			dst = appendName(dst, start, added[0].name, added[0].value)
		}
		dst = appendMember(dst, start, m.Name, m.Value)
	}
	for ; len(added) > 0; added = added[1:] {
		dst = appendName(dst, start, added[0].name, added[0].value)
	}
	return append(dst, '}'), m.Err
}

// appendName appends a member of the object that begins at dst[start], if its value is
// known.
func appendName(dst []byte, start int, name, value string) []byte {
	if value == "" || value == "null" {
		return dst
	}
	return appendMember(dst, start, name, value)
}

// Close closes the readers. It may be called twice.
func (h *Holders) Close() error {
	err := h.Assignments.Close()
	if h.members != nil {
		err = errors.Join(err, h.members.Close())
	}
	return err
}
