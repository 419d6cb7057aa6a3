package snapshot

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Declaration is what an export declares about the snapshots it wants. It
// stands, complete, in the manifest of each snapshot made under it.
type Declaration struct {
	Users   DeclaredUsers `json:"users" yaml:"users"`
	Formats []string      `json:"formats" yaml:"formats"`
}

// DeclaredUsers says which users are read, what of each is kept, which of
// their changes count, and what a reading must not show.
type DeclaredUsers struct {
	// IncludeDeprovisioned says whether deprovisioned users are read. Okta's plain
	// list leaves them out.
	IncludeDeprovisioned bool `json:"include_deprovisioned" yaml:"include_deprovisioned" example:"false"`
	// Search is an Okta search expression that narrows the export. Empty: every
	// user.
	Search     string     `json:"search" yaml:"search" example:"profile.department eq \"Sales\""`
	Attributes Attributes `json:"attributes" yaml:"attributes"`
	Changes    Changes    `json:"changes" yaml:"changes"`
	Guard      Guard      `json:"guard" yaml:"guard"`
}

// Changes says how the difference between two states of a user is read. A
// path covers what is below it: "profile" stands for "profile.title" too.
type Changes struct {
	// Ignore names paths whose change alone is no change.
	Ignore []string `json:"ignore" yaml:"ignore" example:"[lastLogin, lastUpdated, profile.nickName]"`
	// Moved names paths whose change makes a mover.
	Moved []string `json:"moved" yaml:"moved" example:"[profile.department, profile.managerId]"`
}

// Guard bounds what a reading may show against the snapshot before it.
type Guard struct {
	// MaxRemoved is how many may be gone, of the users before.
	MaxRemoved Limit `json:"max_removed" yaml:"max_removed" example:"0.5%"`
	// MaxDeactivated is how many more may be deactivated, of those who were not
	// before.
	MaxDeactivated Limit `json:"max_deactivated" yaml:"max_deactivated" example:"200"`
	// AtLeast is how many people it takes to trip the first two: fewer never do.
	AtLeast int `json:"at_least" yaml:"at_least" example:"10"`
	// MinUsers is how many users any reading must have, the first one included.
	MinUsers int `json:"min_users" yaml:"min_users" example:"5000"`
}

// The formats that a snapshot can be kept in. NDJSON is always kept.
const (
	FormatNDJSON = "ndjson"
	FormatCSV    = "csv"
)

// DefaultDeclaration returns what holds where a configuration is silent.
// Each call returns slices of its own.
func DefaultDeclaration() Declaration {
	return Declaration{
		Users: DeclaredUsers{
			IncludeDeprovisioned: true,
			Attributes: Attributes{
				Include: []string{},
				Exclude: []string{"credentials.recovery_question", "credentials.emails", "_links"},
			},
			Changes: Changes{
				Ignore: []string{"lastLogin", "lastUpdated"},
				Moved: []string{
					"profile.title", "profile.department", "profile.division", "profile.costCenter",
					"profile.managerId", "profile.manager", "profile.userType",
				},
			},
			Guard: Guard{MaxRemoved: Percent(1), MaxDeactivated: Percent(5), AtLeast: 25, MinUsers: 1},
		},
		Formats: []string{FormatNDJSON, FormatCSV},
	}
}

// A FieldError says what is wrong with one field of a declaration.
type FieldError struct {
	Field   string // "users.attributes.exclude[1]"
	Problem string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// Validate reports everything that is wrong with d, as *FieldError values
// joined by errors.Join.
func (d Declaration) Validate() error {
	errs := slices.Concat(
		d.Users.Attributes.check("users.attributes."),
		checkPaths("users.changes.ignore", d.Users.Changes.Ignore),
		checkPaths("users.changes.moved", d.Users.Changes.Moved),
	)
	wrong := func(field, format string, args ...any) {
		errs = append(errs, &FieldError{field, fmt.Sprintf(format, args...)})
	}
	if strings.TrimSpace(d.Users.Search) == "" && d.Users.Search != "" {
		wrong("users.search", "only spaces; leave it empty to read every user")
	}
	if n := d.Users.Guard.AtLeast; n < 0 {
		wrong("users.guard.at_least", "%d is negative", n)
	}
	if n := d.Users.Guard.MinUsers; n < 0 {
		wrong("users.guard.min_users", "%d is negative", n)
	}
	for i, f := range d.Formats {
		switch field := fmt.Sprintf("formats[%d]", i); {
		case f != FormatNDJSON && f != FormatCSV:
			wrong(field, "unknown format %q; there are ndjson and csv", f)
		case slices.Contains(d.Formats[:i], f):
			wrong(field, "%q stands here twice", f)
		}
	}
	return errors.Join(errs...)
}

// Complete returns d as a manifest records it: no list is null, and ndjson,
// which is always kept, is named.
func (d Declaration) Complete() Declaration {
	whole := func(list []string) []string { return append([]string{}, list...) }
	u := &d.Users
	u.Attributes = Attributes{Include: whole(u.Attributes.Include), Exclude: whole(u.Attributes.Exclude)}
	u.Changes = Changes{Ignore: whole(u.Changes.Ignore), Moved: whole(u.Changes.Moved)}
	if d.Formats = whole(d.Formats); !slices.Contains(d.Formats, FormatNDJSON) {
		d.Formats = append([]string{FormatNDJSON}, d.Formats...)
	}
	return d
}

// HasFormat reports whether snapshots are kept in format.
func (d Declaration) HasFormat(format string) bool {
	return format == FormatNDJSON || slices.Contains(d.Formats, format)
}

// A Limit is a bound on a number of people, as a share of a total or as a
// count. The zero Limit allows none. Its text is "1%", "0.5%" or "25".
type Limit struct {
	n       int  // people, or thousandths of a per cent
	percent bool // what n counts
}

// Percent returns the limit of n per cent.
func Percent(n int) Limit { return Limit{n: n * perPercent, percent: true} }

// Count returns the limit of n people.
func Count(n int) Limit { return Limit{n: n} }

const perPercent = 1000 // thousandths of a per cent in one

// Of returns how many of total people the limit allows, rounded down.
func (l Limit) Of(total int) int {
	if l.percent {
		return int(int64(total) * int64(l.n) / (100 * perPercent))
	}
	return l.n
}

// String returns the text that UnmarshalText reads.
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
