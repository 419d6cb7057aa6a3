package snapshot

import (
	"github.com/go-json-experiment/json"
)

// At returns when Okta says that a change came about: when somebody was
// activated, or created where they are not active yet, when their status
// changed, or when their record was last updated. It is "" where Okta says
// nothing, as for whoever was deleted, where the time is not among the
// attributes declared, and for what was not just handed on by Diff.
func (c *Change) At() string {
	if c.user == nil {
		return ""
	}
	var names []string
	switch c.Kind {
	case Joined:
		names = []string{"activated", "created"}
	case Deactivated, Reactivated, Suspended, Unsuspended:
		names = []string{"statusChanged"}
	case Moved, Changed:
		names = []string{"lastUpdated"}
	}
	for _, name := range names {
		if at, err := text(c.user, name); err == nil && at != "" {
			return at
		}
	}
	return ""
}

// TimedLine is Line with At, as a further member "at".
func (c *Change) TimedLine(dst []byte) ([]byte, error) {
	b, err := json.Marshal(struct {
		*Change
		At string `json:"at"`
	}{c, c.At()})
	if err != nil {
		return dst, err
	}
	line, err := Canonical(dst, b)
	if err != nil {
		return dst, err
	}
	return append(line, '\n'), nil
}

// ChangesHeader is the first row of changes as CSV.
func ChangesHeader() []byte {
	return []byte("group,kind,login,id,at,paths,before,after\r\n")
}

// Row appends c to dst as a row of CSV, by the rules of WriteCSV. Paths, and
// what was before and is after, are cells of JSON.
func (c *Change) Row(dst []byte) ([]byte, error) {
	cells := make([][]byte, 0, 8)
	for _, value := range []any{c.Kind.Group(), c.Kind, c.Login, c.ID, c.At(), c.Paths} {
		b, err := json.Marshal(value)
		if err != nil {
			return dst, err
		}
		if string(b) == "[]" {
			b = nil
		}
		cells = append(cells, b)
	}
	for _, object := range [][]byte{c.Before, c.After} {
		if isNull(object) {
			object = nil
		}
		cells = append(cells, object)
	}
	return appendRow(dst, cells, []int{0, 1, 2, 3, 4, 5, 6, 7}), nil
}
