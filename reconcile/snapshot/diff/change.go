package diff

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"oktasync/reconcile/snapshot/canonjson"
)

// Op is what happened to a record.
type Op string

const (
	OpAdded   Op = "added"
	OpChanged Op = "changed"
	OpRemoved Op = "removed"
)

// Kind is what happened to the person or object that a record describes.
type Kind string

const (
	Deleted     Kind = "deleted"
	Joined      Kind = "joined"
	Activated   Kind = "activated"
	Deactivated Kind = "deactivated"
	Reactivated Kind = "reactivated"
	Suspended   Kind = "suspended"
	Unsuspended Kind = "unsuspended"
	IntoScope   Kind = "into_scope"   // an existing user that the declaration selects now
	OutOfScope  Kind = "out_of_scope" // an existing user that the declaration no longer selects
	Moved       Kind = "moved"
	Created     Kind = "created"
	Listed      Kind = "listed"  // a factor that Okta lists now
	Granted     Kind = "granted" // an edge
	Revoked     Kind = "revoked" // an edge, or an API token
	Changed     Kind = "changed"
	NotListed   Kind = "not_listed" // removed from the list, without a proof of the reason
)

// A Proof is Okta's response to a request for one record by its id. A read makes the
// request if the record is missing.
type Proof struct {
	RequestID  string `json:"request_id,omitzero"`
	HTTPStatus int    `json:"http_status,omitzero"` // 200 or 404
	OktaStatus string `json:"okta_status,omitzero"` // the status of the record, or the error code of a 404
}

// Proofs are proofs by the key of the record.
type Proofs map[string]Proof

// Rules define how two sequences of records are compared and described.
type Rules struct {
	Key      []string               // the members that identify a record
	Label    Label                  // how a change names a record
	Always   []string               // paths that no projection removes
	Ignore   []string               // paths whose change alone is no change
	Project  []canonjson.Attributes // applied to both sides before they are compared
	Kind     func(Transition) (Kind, error)
	Proofs   Proofs                            // of removals, by the key of the record or of its parent
	Inactive func(record []byte) (bool, error) // nil: no record is inactive
	Dates    map[Kind][]string                 // attributes with the time of a change; the first that is set counts

	// Parents finds the parents of removed records in the later state. If there are
	// removed records, Diff reads all parents. nil: the records have no parents.
	Parents *Lookup
}

// A Label is the member of a change by which people recognize a record.
type Label struct {
	Member string // "login" or "name"
	Path   string // of the attribute: "profile.login"
}

// A Transition is what happened to one record.
type Transition struct {
	Op            Op
	Before, After []byte   // canonical; nil if the record is only on the other side
	Paths         []string // what differs, if Op is OpChanged
	Proof         Proof    // of a removal; if the record has a parent, of the parent's removal
	ParentExists  bool     // of a removal: the record has a parent, which still exists
}

// A Change is the difference between two states of one record: one line of a
// changes file.
type Change struct {
	Op     Op                `json:"op"`
	Kind   Kind              `json:"kind"`
	Key    map[string]string `json:"key"`             // the members that identify the record
	Login  string            `json:"login,omitempty"` // of users; the later one
	Name   string            `json:"name,omitempty"`  // of other resources; the later one
	Paths  []string          `json:"paths"`           // what differs, sorted; empty for added and removed
	Before jsontext.Value    `json:"before"`          // what differs, as it was; null for added
	After  jsontext.Value    `json:"after"`           // what differs, as it is; null for removed
	Proof                    // of a removal; otherwise empty

	// At is when the change happened, according to Okta. It is set only during a
	// call of Diff's emit. It is "" if Okta has no time, as for deleted users.
	At string `json:"-"`
}

// ID returns the values of the key, in the order of their names, joined by
// slashes.
func (c *Change) ID() string {
	names := make([]string, 0, len(c.Key))
	for name := range c.Key {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = c.Key[name]
	}
	return strings.Join(names, "/")
}

// Label returns the login or name of the record, or "".
func (c *Change) Label() string {
	if c.Login != "" {
		return c.Login
	}
	return c.Name
}

// Removed returns the change of a record that was removed, as Diff computes it. It finds
// the parents of records by ascending keys.
func (r *Rules) Removed(key, record []byte) (*Change, error) { return r.whole(OpRemoved, key, record) }

// whole returns the change of a record that is on one side only.
func (r *Rules) whole(op Op, key, record []byte) (*Change, error) {
	c := &Change{Op: op, Paths: []string{}, Before: jsontext.Value("null"), After: jsontext.Value("null")}
	t := Transition{Op: op}
	if op == OpAdded {
		c.After, t.After = bytes.Clone(record), record
	} else {
		c.Before, t.Before = bytes.Clone(record), record
		var err error
		if c.Proof, t.ParentExists, err = r.removal(key); err != nil {
			return nil, err
		}
		t.Proof = c.Proof
	}
	return c, r.describe(c, t)
}

// removal returns the proof that belongs to the removal of the record with this key,
// and whether its parent still exists. A record whose parent exists needs no proof.
func (r *Rules) removal(key []byte) (proof Proof, parentExists bool, err error) {
	if r.Parents != nil {
		key, _, _ = bytes.Cut(key, []byte{0})
		if parentExists, err = r.Parents.Exists(key); parentExists || err != nil {
			return Proof{}, parentExists, err
		}
	}
	return r.Proofs[string(key)], false, nil
}

// changed returns the change of a record whose two states were compared.
func (r *Rules) changed(p *pair, before, after []byte) (*Change, error) {
	c := &Change{Op: OpChanged, Paths: slices.Clone(p.paths), Before: bytes.Clone(p.before), After: bytes.Clone(p.after)}
	return c, r.describe(c, Transition{Op: OpChanged, Before: before, After: after, Paths: c.Paths})
}

// describe sets kind, key, label and time of c.
func (r *Rules) describe(c *Change, t Transition) (err error) {
	if c.Kind, err = r.Kind(t); err != nil {
		return err
	}
	record := t.After
	if record == nil {
		record = t.Before
	}
	c.Key = make(map[string]string, len(r.Key))
	for _, path := range r.Key {
		if c.Key[path], err = canonjson.Text(record, path); err != nil {
			return err
		}
	}
	label, err := canonjson.Text(record, r.Label.Path)
	if err != nil {
		return err
	}
	if r.Label.Member == "login" {
		c.Login = label
	} else {
		c.Name = label
	}
	if t.After == nil {
		return nil
	}
	for _, path := range r.Dates[c.Kind] {
		if c.At, err = canonjson.Text(t.After, path); c.At != "" || err != nil {
			return err
		}
	}
	return nil
}

// Line appends c to dst as a line of a changes file: canonical JSON and a line
// feed.
func (c *Change) Line(dst []byte) ([]byte, error) { return appendLine(dst, c) }

// LineWithTime is like Line, with the additional member "at".
func (c *Change) LineWithTime(dst []byte) ([]byte, error) {
	return appendLine(dst, struct {
		*Change
		At string `json:"at"`
	}{c, c.At})
}

func appendLine(dst []byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	line, err := canonjson.Canonical(dst, b)
	if err != nil {
		return dst, err
	}
	return append(line, '\n'), nil
}

// ParseChange parses a line of a changes file, with or without its line feed. The error
// contains no part of the line, which has attributes of people.
func ParseChange(line []byte) (*Change, error) {
	c := new(Change)
	if err := json.Unmarshal(line, c, json.RejectUnknownMembers(true)); err != nil {
		return nil, errors.New("the line is not a change")
	}
	return c, nil
}
