package snapshot

import "github.com/go-json-experiment/json/jsontext"

// Op says what happened to a user's record.
type Op string

const (
	Added   Op = "added"
	Changed Op = "changed"
	Removed Op = "removed"
)

// Bases of a snapshot's counts and changes.
const (
	BaseNone     = "none"     // the first snapshot: nothing to compare with
	BasePrevious = "previous" // compared with the previous snapshot
	BaseReset    = "reset"    // other users are declared, so a comparison would mislead
)

// A Change is the difference between two states of one user.
type Change struct {
	Op     Op             `json:"op"`
	Kind   Kind           `json:"kind"`
	ID     string         `json:"id"`
	Login  string         `json:"login"`  // the later one
	Paths  []string       `json:"paths"`  // what differs, sorted; empty for added and removed
	Before jsontext.Value `json:"before"` // what differs, as it was; null for added
	After  jsontext.Value `json:"after"`  // what differs, as it is; null for removed
}

// Line appends c to dst as a line of a changes file: canonical JSON and a
// line feed.
func (c *Change) Line(dst []byte) ([]byte, error) { panic("soon") }

// ParseChange reads a line of a changes file, with or without its line feed.
func ParseChange(line []byte) (*Change, error) { panic("soon") }

// Counts sums up a comparison.
type Counts struct {
	Before, Total           int // users before and after
	Added, Changed, Removed int
	Kinds                   map[Kind]int // of all changes; never nil, no zeros
	ActiveBefore            int          // users before that were not deactivated
	Deactivated             int          // of those, the ones that are deactivated now
}

// Rules say how two snapshots are compared.
type Rules struct {
	Changes
	Project []Attributes // applied to both sides before they are compared
}

// RulesFor returns the rules for comparing a snapshot made under after with
// an earlier one made under before, and the base of the comparison. A nil
// before stands for no earlier snapshot. Only where the base is BasePrevious
// is there something to compare.
func RulesFor(before *Declaration, after Declaration) (Rules, string) { panic("soon") }

// Diff compares two readings in one pass and calls emit for each user that
// differs, in ascending order of ids. It closes neither reader. A reader out
// of order, an error of a reader or of emit ends it.
func Diff(before, after UserReader, rules Rules, emit func(*Change) error) (Counts, error) {
	panic("soon")
}
