package snapshot

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"oktasync/reconcile/snapshot/canonjson"
)

// Declaration is what an export declares about its snapshots, with all defaults
// filled in. Each manifest contains the declaration under which it was made.
type Declaration struct {
	Formats   []string
	Resources map[string]DeclaredResource // by name; members of the JSON object, beside formats
}

const formatsMember = "formats"

// MarshalJSON implements json.Marshaler.
func (d Declaration) MarshalJSON() ([]byte, error) {
	object := map[string]any{formatsMember: d.Formats}
	for name, r := range d.Resources {
		object[name] = r
	}
	return canonjson.Marshal(object)
}

// UnmarshalJSON implements json.Unmarshaler. It rejects unknown members of a
// resource.
func (d *Declaration) UnmarshalJSON(data []byte) error {
	var object map[string]jsontext.Value
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	*d = Declaration{Resources: make(map[string]DeclaredResource)}
	for name, value := range object {
		if name == formatsMember {
			if err := json.Unmarshal(value, &d.Formats); err != nil {
				return err
			}
			continue
		}
		var r DeclaredResource
		if err := json.Unmarshal(value, &r, json.RejectUnknownMembers(true)); err != nil {
			return err
		}
		d.Resources[name] = r
	}
	return nil
}

// DeclaredResource declares what is read of a resource, which attributes are kept,
// which changes count, and what the guard allows.
type DeclaredResource struct {
	*Narrowing  // nil if the resource can't be narrowed
	*Refreshing // nil if the resource is always read as a whole

	Attributes canonjson.Attributes `json:"attributes"`
	Changes    Changes              `json:"changes"`
	Guard      Guard                `json:"guard"`
	Optional   bool                 `json:"optional,omitzero"` // a read without the resource is published
	Formats    []string             `json:"formats,omitempty"` // empty: those of the declaration
}

// Narrowing restricts the users of an export.
type Narrowing struct {
	IncludeDeprovisioned bool   `json:"include_deprovisioned"`
	Search               string `json:"search"` // an Okta search expression; "": all users
}

// Refreshing declares how often the members of all groups are read.
type Refreshing struct {
	Refresh string   `json:"refresh"` // RefreshFull, or RefreshIncremental: unchanged groups can be carried
	Full    Interval `json:"full"`    // the longest time between two reads of a group
}

// Kinds of a refresh.
const (
	RefreshFull        = "full"        // the lists of all parents were read
	RefreshIncremental = "incremental" // the records of unchanged parents were carried
)

// Incremental reports whether records can be carried.
func (d DeclaredResource) Incremental() bool {
	return d.Refreshing != nil && d.Refresh == RefreshIncremental
}

// An Interval is a duration. Its text is "168h" or "1h30m".
type Interval struct{ time.Duration }

// String returns the text that UnmarshalText parses.
func (i Interval) String() string {
	text := i.Duration.String()
	for _, zero := range []string{"0s", "0m"} {
		if short, ok := strings.CutSuffix(text, zero); ok && short != "" && !strings.ContainsAny(short[len(short)-1:], "0123456789.") {
			text = short
		}
	}
	return text
}

// MarshalText implements encoding.TextMarshaler.
func (i Interval) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (i *Interval) UnmarshalText(text []byte) (err error) {
	i.Duration, err = time.ParseDuration(string(text))
	return err
}

// Changes declares the differences between two states of a record that are reported as
// changes. A path covers everything below it.
type Changes struct {
	Ignore []string `json:"ignore"`          // paths whose change alone is no change
	Moved  []string `json:"moved,omitempty"` // paths whose change makes a mover; only of users
}

// Guard limits the differences between a read and the snapshot before it.
type Guard struct {
	MaxRemoved     Limit  `json:"max_removed"`               // of the records before
	MaxDeactivated *Limit `json:"max_deactivated,omitempty"` // of the records that were active before; only of users
	AtLeast        int    `json:"at_least"`                  // the fewest records for which the limits stop a read
	Min            int    `json:"min"`                       // the fewest records of any read
}

// The formats of a snapshot. NDJSON is always written.
const (
	FormatNDJSON = "ndjson"
	FormatCSV    = "csv"
)

// HasFormat reports whether the records of a resource are written in format.
func (d Declaration) HasFormat(resource, format string) bool {
	formats := d.Formats
	if own := d.Resources[resource].Formats; len(own) > 0 {
		formats = own
	}
	return format == FormatNDJSON || slices.Contains(formats, format)
}

// Equal reports whether two declarations are recorded in the same way.
func (d Declaration) Equal(other Declaration) bool {
	a, errA := canonjson.Marshal(d)
	b, errB := canonjson.Marshal(other)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

func (d DeclaredResource) sameNarrowing(other DeclaredResource) bool {
	if d.Narrowing == nil || other.Narrowing == nil {
		return d.Narrowing == other.Narrowing
	}
	return *d.Narrowing == *other.Narrowing
}

// A Limit is a bound on a number of records: a share of a total, or a count. The
// zero Limit allows none. Its text is "1%", "0.5%" or "25".
type Limit struct {
	n       int  // records, or thousandths of a percent
	percent bool // the unit of n
}

// Percent returns the limit of n percent.
func Percent(n int) Limit { return Limit{n: n * perPercent, percent: true} }

const perPercent = 1000 // thousandths of a percent in one percent

// Of returns how many of total records the limit allows, rounded down.
func (l Limit) Of(total int) int {
	if l.percent {
		return int(int64(total) * int64(l.n) / (100 * perPercent))
	}
	return l.n
}

// String returns the text that UnmarshalText parses.
func (l Limit) String() string {
	if !l.percent {
		return strconv.Itoa(l.n)
	}
	s := strconv.Itoa(l.n / perPercent)
	if rest := l.n % perPercent; rest != 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%03d", rest), "0")
	}
	return s + "%"
}

// MarshalText implements encoding.TextMarshaler.
func (l Limit) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Limit) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	whole, fraction, pointed := strings.Cut(number, ".")
	if !digits(whole) || pointed && (!percent || !digits(fraction) || len(fraction) > 3) {
		return fmt.Errorf("%q is neither a percentage like 1%% or 0.5%% nor a count like 25", text)
	}
	if percent {
		whole += (fraction + "000")[:3]
	}
	n, err := strconv.Atoi(whole)
	switch {
	case err != nil:
		return fmt.Errorf("%q is too large", text)
	case percent && n > 100*perPercent:
		return fmt.Errorf("%q is more than 100%%", text)
	}
	*l = Limit{n: n, percent: percent}
	return nil
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
