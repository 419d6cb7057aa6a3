// Package snapshot owns the store on disk: snapshots of an org's users that
// are complete, dated, never half-written, and that anybody can check without
// this program.
//
//	snapshots/
//	  oktasync.json                 the store's id, and the org it belongs to
//	  .quarantine/EXPORT/NAME/      readings that a guard held back: no evidence
//	  EXPORT/
//	    NAME/                       a snapshot: 20261123T060000Z, when its reading began by Okta's clock
//	      users.ndjson.zst          its users
//	      users.csv                 the same, rendered, where the declaration asks for it
//	      users.changes.ndjson      what is different from the snapshot before, see Change
//	      requests.ndjson           what was asked of Okta and what came, see Request
//	      manifest.json             all of this with its digests, see Manifest
//	      manifest.json.sig         an SSHSIG over it, for ssh-keygen -Y verify, where the store has a key
//	      SHA256SUMS                every file but itself and the signature, for sha256sum -c
//	    pruned/NAME/                of a snapshot that retention removed, manifest.json and its signature
//	    latest -> NAME
//	    journal.ndjson              what happened, a line an event, see Event
//	    .lock                       held by the one Writer
//
// Users are canonical JSON (see Canonical), one a line, in the order of the
// bytes of their ids, each id once, compressed as one zstd frame. Numbers keep
// the text that Okta sent. Everything else is JSON as RFC 8785 writes it, and
// ends with a line feed. A digest is the SHA-256 in lower-case hex of a file
// as it is on disk; content_sha256 is that of what is compressed in it.
//
// Snapshots are a chain. The sequence starts at 1 and grows by 1, each
// manifest has the digest of the one before, and names are later than the name
// before, by a second at least. The first snapshot has the base "none", no
// previous one, no changes and all counts of changes 0. Where other users are
// declared than before, the base is "reset", and again there are no changes.
//
// The journal is a chain too: previous_line_sha256 is the digest of the line
// before with its line feed (sed -n 40p journal.ndjson | sha256sum), null in
// the first. The manifest has the number of lines, and the digest of the last,
// as they stood when it was made: after "started", before "intent".
//
// Pages and users add up: rows in requests.ndjson = read.rows = users +
// duplicates + outside.
//
// Where the newest snapshot is not the one that the journal published last, or a
// line "failed" names one that was published and is gone, nothing is published
// until a line "adopted" follows. The next manifest then has a member adopted,
// which excuses what it goes on from and what is gone since.
//
// Names that end in .partial are unfinished, and nothing reads them. A crash
// can leave: one such folder; an intent in the journal without its folder; a
// folder with its intent and no "published", with latest on it or on the one
// before; a torn last line of the journal; a tombstone beside its snapshot, of
// which the journal says last that it was pruned, or nothing; a folder
// .NAME.pruned. Verify calls these an unfinished publish or prune, and the
// next Writer mends them. What else does not fit is tampering
// or damage. Package snapshot never rewrites evidence.
package snapshot

import (
	"time"
)

// Formats of what the store writes. A reader refuses any other.
const (
	storeFormat    = "oktasync.store/1"
	snapshotFormat = "oktasync.snapshot/1"
	readingFormat  = "oktasync.reading/1"
)

// Names of the files in a snapshot's folder.
const (
	manifestFile  = "manifest.json"
	signatureFile = "manifest.json.sig"
	sumsFile      = "SHA256SUMS"
	usersFile     = "users.ndjson.zst"
	csvFile       = "users.csv"
	changesFile   = "users.changes.ndjson"
	requestsFile  = "requests.ndjson"
)

// Resources that a file of a snapshot belongs to.
const (
	resourceUsers    = "users"
	resourceRequests = "requests"
)

// nameLayout is how a snapshot is named: the second, in UTC, at which its
// reading began.
const nameLayout = "20060102T150405Z"

// A Manifest says what a snapshot is: what was asked and came, the digest of
// every file, and the manifest before it.
type Manifest struct {
	Format    string      `json:"format"`
	StoreID   string      `json:"store_id"`
	Export    string      `json:"export"`
	Snapshot  string      `json:"snapshot"`
	Sequence  int         `json:"sequence"` // 1, 2, 3…: the only order
	Org       Org         `json:"org"`
	Client    Client      `json:"client"`
	Run       Run         `json:"run"`
	Tool      Tool        `json:"tool"`
	Declared  Declaration `json:"declared"`
	Read      Read        `json:"read"`
	Resources Resources   `json:"resources"`
	Files     []File      `json:"files"`
	Journal   JournalHead `json:"journal"`
	SignedBy  *string     `json:"signed_by"` // the key's fingerprint; null: not signed
	Previous  *Link       `json:"previous"`  // null for sequence 1 alone
	Adopted   *Adoption   `json:"adopted,omitempty"`
}

// Org is the Okta org that was read.
type Org struct {
	URL string `json:"url"`
	ID  string `json:"id,omitempty"`
	TLS *TLS   `json:"tls,omitempty"`
}

// TLS is the certificate that the org showed.
type TLS struct {
	LeafSHA256 string `json:"leaf_sha256"`
	Issuer     string `json:"issuer"`
	PrivateCA  bool   `json:"private_ca"` // vouched for by a certificate that the configuration adds
}

// Client is the app that read.
type Client struct {
	ClientID string   `json:"client_id"`
	Scopes   []string `json:"scopes"`
	DPoP     bool     `json:"dpop"`
}

// Run says who ran the reconcile and how.
type Run struct {
	Trigger      string    `json:"trigger"` // schedule, apply, …
	Host         string    `json:"host"`
	User         string    `json:"user"`
	ConfigSHA256 string    `json:"config_sha256"`
	Override     *Override `json:"override"` // null: no guard was overridden
}

// Override says why a snapshot exists that a guard held back.
type Override struct {
	User   string `json:"user"`
	Reason string `json:"reason"`
	Guard  string `json:"guard"` // what the guard had said

	// Released is when the reading was let out of quarantine; null where it
	// was published at once.
	Released *Time `json:"released,omitempty"`
}

// Tool is the program that wrote the snapshot.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
}

// Read says how the reading went.
type Read struct {
	Started       Time  `json:"started"` // both by Okta's clock
	Finished      Time  `json:"finished"`
	ClockOffsetMS int64 `json:"clock_offset_ms"` // our clock less Okta's
	Requests      int   `json:"requests"`        // lines of requests.ndjson; Publish counts them
	Rows          int   `json:"rows"`            // in all pages: users kept, duplicates and outside
	Duplicates    int   `json:"duplicates"`      // further copies of a user that pages held
	Outside       int   `json:"outside"`         // users that are not in what was declared
	Settled       bool  `json:"settled"`
}

// Resources are what a snapshot holds.
type Resources struct {
	Users Resource `json:"users"`
}

// A Resource counts one kind of thing, and its changes since the previous
// snapshot.
type Resource struct {
	Total    int            `json:"total"`
	ByStatus map[string]int `json:"by_status"`
	Added    int            `json:"added"`
	Changed  int            `json:"changed"`
	Removed  int            `json:"removed"`
	Kinds    map[Kind]int   `json:"kinds"`
	Base     string         `json:"base"` // BaseNone, BasePrevious or BaseReset
}

// A File is a file of a snapshot's folder.
type File struct {
	Name          string `json:"name"`
	Resource      string `json:"resource"`
	Rows          int    `json:"rows"`
	Bytes         int64  `json:"bytes"`
	SHA256        string `json:"sha256"`
	ContentSHA256 string `json:"content_sha256,omitempty"` // of what is compressed in it
}

// JournalHead is the journal as it stood when a manifest was made.
type JournalHead struct {
	Lines  int    `json:"lines"`
	SHA256 string `json:"sha256"` // of line number Lines, line feed included
}

// Link is what a manifest says of the one before it.
type Link struct {
	Snapshot       string `json:"snapshot"`
	ManifestSHA256 string `json:"manifest_sha256"`
}

// A Request is one line of requests.ndjson.
type Request struct {
	Time      Time   `json:"time"`
	Method    string `json:"method"`
	Path      string `json:"path"`   // and query
	Status    int    `json:"status"` // 0: no answer
	Rows      int    `json:"rows"`
	RequestID string `json:"request_id"`
	Error     string `json:"error,omitempty"`
}

// Line appends r to dst as a line of requests.ndjson.
func (r *Request) Line(dst []byte) ([]byte, error) {
	line, err := MarshalCanonical(r)
	if err != nil {
		return dst, err
	}
	return append(append(dst, line...), '\n'), nil
}

// Time is an instant as the store writes it: RFC 3339 in UTC with
// milliseconds.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// At returns t as the store keeps it, without what is below a millisecond.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

func (t Time) String() string { return t.UTC().Format(timeLayout) }

// MarshalJSON and UnmarshalJSON take the place of those of time.Time, which
// know other forms.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

func (t *Time) UnmarshalJSON(data []byte) (err error) {
	t.Time, err = time.Parse(`"`+timeLayout+`"`, string(data))
	return err
}
