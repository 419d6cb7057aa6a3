package web

import (
	"fmt"
	"time"

	"oktasync/cmd/oktasync/internal/term"
)

// stateUpToDate is the state of an export without a problem.
const stateUpToDate = "up to date"

// Source provides the data of the endpoints. Calls of a method never overlap.
type Source interface {
	// Status returns the status of the daemon, at most maxAge old.
	Status(maxAge time.Duration) Status
	// Ready returns an error if the store can't be written.
	Ready() error
}

// Status is the status of the daemon: the content of the status page and of
// /api/v1/status. It contains neither users' data nor secrets. A search can contain
// users' data, so Status shows only whether there is one.
type Status struct {
	Time          Time          `json:"time"`
	UpToDate      bool          `json:"up_to_date"` // all exports
	Org           string        `json:"org"`
	Host          string        `json:"host"`
	Version       string        `json:"version"`
	Commit        string        `json:"commit"`
	Started       Time          `json:"started"`
	Configuration Configuration `json:"configuration"`
	Exports       []Export      `json:"exports"`
	Okta          Okta          `json:"okta"`
	Store         Store         `json:"store"`
}

// Configuration is the configuration in use.
type Configuration struct {
	File     string `json:"file"`
	SHA256   string `json:"sha256"`
	Read     Time   `json:"read"`
	Rejected *Time  `json:"rejected"` // when a reload failed; null: the last one succeeded
}

// Export is the status of one export.
type Export struct {
	Export      string        `json:"export"`
	State       string        `json:"state"`
	Since       *Time         `json:"since"`
	Declared    Declaration   `json:"declared"`
	Running     bool          `json:"running"`
	LastStarted *Time         `json:"last_started"`
	LastEnded   *Time         `json:"last_ended"`
	LastOutcome string        `json:"last_outcome"` // "": never
	Reason      string        `json:"reason"`       // of the state; "": none
	Remedy      string        `json:"remedy"`       // of the state; "": up to date. Commands are in backticks
	Command     string        `json:"command"`      // shows more about the state; "": up to date
	LastSuccess *Time         `json:"last_success"`
	Next        *Time         `json:"next"` // including retries; null: only by apply
	Snapshots   int           `json:"snapshots"`
	Newest      *Newest       `json:"newest"` // null: none, or damaged
	Runs        []Run         `json:"runs"`   // the last thirty, oldest first
	Quarantined []Quarantined `json:"quarantined"`
	Verified    *Verified     `json:"verified"` // null: never
}

// Declaration is what the configuration declares for an export.
type Declaration struct {
	Schedule string   `json:"schedule"` // "": only by apply
	Splay    string   `json:"splay"`
	TimeZone string   `json:"time_zone"`
	Timeout  string   `json:"timeout"`
	Query    string   `json:"query"` // which records are read
	Formats  []string `json:"formats"`
	Snapshot string   `json:"snapshot"`
	Retain   string   `json:"retain"`

	Resources []DeclaredResource `json:"resources"`
}

// DeclaredResource is what the configuration declares for a resource.
type DeclaredResource struct {
	Resource string   `json:"resource"`
	Include  []string `json:"include"`
	Exclude  []string `json:"exclude"`
	Guard    Guard    `json:"guard"`
}

// Guard has the limits of the guard.
type Guard struct {
	MaxRemoved     string `json:"max_removed"`               // a count or a percentage
	MaxDeactivated string `json:"max_deactivated,omitempty"` // only of users
	AtLeast        int    `json:"at_least"`
	Min            int    `json:"min"`
}

// Newest is the newest snapshot, the head of the chain.
type Newest struct {
	Snapshot       string        `json:"snapshot"`
	Sequence       int           `json:"sequence"`
	ManifestSHA256 string        `json:"manifest_sha256"`
	SignedBy       string        `json:"signed_by"`     // "": not signed
	Head           string        `json:"head"`          // as verify --head expects it
	Finished       Time          `json:"finished"`      // the end of the read
	Settled        bool          `json:"settled"`       // false: some records can be outdated
	Reconciled     *bool         `json:"reconciled"`    // false: Okta possibly hides records from the app; nil: not compared
	Unreconciled   string        `json:"-"`             // why it isn't reconciled
	Carried        int           `json:"carried"`       // records that were not read, because they are unchanged
	CarriedSince   *Time         `json:"carried_since"` // the oldest read of these; nil: all were read
	Unavailable    []Unavailable `json:"unavailable"`
	Changes        string        `json:"changes"` // as text
	Records        []Records     `json:"records"`
	RolesChanged   *Time         `json:"roles_changed"` // the read with the last change of an admin role; null: unknown, or not recorded
}

// Roles returns the number of admin roles, or nil if they aren't recorded.
func (n Newest) Roles() *int {
	for _, r := range n.Records {
		if r.Resource == "role_assignments" {
			return &r.Total
		}
	}
	return nil
}

// Unchanged reports whether the last run published no snapshot, because nothing had
// changed.
func (e Export) Unchanged() bool { return e.LastOutcome == "unchanged" }

// Unavailable is a resource that could not be read, although it is declared.
type Unavailable struct {
	Resource string `json:"resource"`
	Reason   string `json:"reason"`
}

// Records counts the records of one resource, and their changes.
type Records struct {
	Resource string         `json:"resource"`
	Total    int            `json:"total"`
	ByStatus map[string]int `json:"by_status"` // null if the resource has no status
	Kinds    map[string]int `json:"kinds"`

	KindCounts []Count `json:"-"` // Kinds without zeros, in their usual order
}

// Counted returns the resource that Runs count, or "records" if it is unknown.
func (e Export) Counted() string {
	if e.Newest == nil || len(e.Newest.Records) == 0 {
		return "records"
	}
	return e.Newest.Records[0].Resource
}

// Run is a reconcile that has ended.
type Run struct {
	Ended    Time   `json:"ended"`
	Outcome  string `json:"outcome"`
	Records  *int   `json:"records"` // of the first resource; null: unknown
	Snapshot string `json:"snapshot"`
}

// Quarantined is a quarantined read.
type Quarantined struct {
	Name    string `json:"name"`
	Read    Time   `json:"read"`
	Records string `json:"records"` // as text: "300 users, 12 groups"
	Reason  string `json:"reason"`
	Command string `json:"command"` // shows its changes
}

// Verified is the result of the daemon's last verify.
type Verified struct {
	Time     Time   `json:"time"`
	Problems string `json:"problems"` // "2 problems"; "": none
}

// Okta is the connection to the org.
type Okta struct {
	TokenExpiry        *Time       `json:"token_expiry"` // null: no token
	TokenError         string      `json:"token_error"`  // of the last token request
	DPoP               bool        `json:"dpop"`
	ClockOffsetSeconds float64     `json:"clock_offset_seconds"` // Okta's clock minus this host's
	RateLimits         []RateLimit `json:"rate_limits"`
	Tokens             Tokens      `json:"-"`
}

// Tokens counts token requests, demands for nonces, and repeated requests, by reason.
type Tokens struct {
	Granted, Failed, Challenges, Retries map[string]uint64
}

// RateLimit is one of Okta's rate limits, in its current window.
type RateLimit struct {
	Bucket    string `json:"bucket"`
	Limit     int    `json:"limit"`     // requests, by Okta's headers
	Remaining int    `json:"remaining"` // as in Okta's last response
	Used      int    `json:"used"`      // by this daemon
	Share     int    `json:"share"`     // the most that this daemon uses
	Waiting   int    `json:"waiting"`
	Reset     *Time  `json:"reset"`
}

// Store is the store as a whole.
type Store struct {
	Path       string `json:"path"`
	StoreID    string `json:"store_id"`
	Bytes      int64  `json:"bytes"` // at most five minutes old
	Verify     string `json:"verify"`
	NextVerify *Time  `json:"next_verify"`
}

// Count is a word with a count.
type Count struct {
	Word  string
	Count int
}

// Time is a time in UTC, with milliseconds in JSON.
type Time struct{ time.Time }

// At returns t as a Time.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// AtOrNull is At, and nil for the zero time.
func AtOrNull(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	at := At(t)
	return &at
}

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(t.UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

// Headline returns the status in one line.
func (s Status) Headline() string {
	bad, all := 0, len(s.Exports)
	for _, e := range s.Exports {
		if e.State != stateUpToDate {
			bad++
		}
	}
	switch {
	case bad == 0 && all == 1:
		return "The export is up to date"
	case bad == 0:
		return fmt.Sprintf("All %d exports are up to date", all)
	case all == 1:
		return "The export needs attention"
	case bad == 1:
		return fmt.Sprintf("1 of %d exports needs attention", all)
	}
	return fmt.Sprintf("%d of %d exports need attention", bad, all)
}

// Head returns the newest snapshot in the form of `verify --head`.
func (e Export) Head() string {
	return e.Export + "=" + e.Newest.Head
}

// maxReason is the largest length of a reason at /fresh. A reason can contain a response
// of Okta.
const maxReason = 500

// problem returns the state in one line: "staff: overdue since 2026-11-23T06:00:00Z:
// reason". The next line is the command that shows more.
func (e Export) problem() string {
	text := e.Export + ": " + e.State
	if e.Since != nil {
		text += " since " + e.Since.Format(time.RFC3339)
	}
	if e.Reason != "" {
		text += ": " + term.Safe(e.Reason[:min(len(e.Reason), maxReason)])
	}
	return text + "\n  run: " + e.Command + "\n"
}

// Clock returns the difference between Okta's clock and this host's as text.
func (o Okta) Clock() string {
	d := time.Duration(o.ClockOffsetSeconds * float64(time.Second)).Round(time.Second)
	switch {
	case d > 0:
		return term.Duration(d) + " ahead of this host"
	case d < 0:
		return term.Duration(-d) + " behind this host"
	}
	return "agrees with this host's"
}
