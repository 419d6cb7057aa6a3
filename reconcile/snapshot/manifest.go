package snapshot

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// Names of the files in a snapshot's folder.
const (
	ManifestFile  = "manifest.json"
	SignatureFile = "manifest.json.sig"
	TimestampFile = "manifest.json.tsr"
	SumsFile      = "SHA256SUMS"
	RequestsFile  = "requests.ndjson"
)

// A Manifest describes a snapshot: what was declared and read, the digest of every
// file, and the digest of the previous manifest.
type Manifest struct {
	Format    string            `json:"format"`
	StoreID   string            `json:"store_id"`
	Export    string            `json:"export"`
	Snapshot  string            `json:"snapshot"`
	Sequence  int               `json:"sequence"` // 1, 2, 3…: the only order
	Org       Org               `json:"org"`
	Client    Client            `json:"client"`
	Run       Run               `json:"run"`
	Tool      Tool              `json:"tool"`
	Declared  Declaration       `json:"declared"`
	Read      Read              `json:"read"`
	Signed    Time              `json:"signed"`            // when the manifest was completed and signed, by Okta's clock
	Control   *Control          `json:"control,omitempty"` // nil: nothing was compared with Okta's own counts
	Resources map[string]Counts `json:"resources"`         // by name
	Files     []File            `json:"files"`
	Journal   JournalHead       `json:"journal"`
	SignedBy  *string           `json:"signed_by"` // the key's fingerprint; null: not signed
	Previous  *Link             `json:"previous"`  // null only for sequence 1
}

// Org is the Okta org that was read.
type Org struct {
	URL string `json:"url"`
	ID  string `json:"id,omitempty"`
	TLS []TLS  `json:"tls,omitempty"` // in the order of their first response; none over plain HTTP
}

// TLS is a certificate with which the org answered.
type TLS struct {
	LeafSHA256 string `json:"leaf_sha256"`
	Issuer     string `json:"issuer"`
	PrivateCA  bool   `json:"private_ca"` // only a CA that the configuration adds has signed it
	Requests   int    `json:"requests"`   // that it answered, without token requests
}

// Client is the app that sent the requests.
type Client struct {
	ClientID string   `json:"client_id"`
	Scopes   []string `json:"scopes"`
	DPoP     bool     `json:"dpop"`
}

// Run describes how the reconcile was started, and by which user.
type Run struct {
	Trigger      string    `json:"trigger"` // schedule, apply, …
	Host         string    `json:"host"`
	User         string    `json:"user"`
	ConfigSHA256 string    `json:"config_sha256"`
	Override     *Override `json:"override"` // null: no guard was overridden
}

// Override records why a snapshot was published although a guard had stopped it.
type Override struct {
	User   string `json:"user"`
	Reason string `json:"reason"`
	Guard  string `json:"guard"` // the message of the guard

	// Released is the time of the release from quarantine; null if the read was
	// published at once.
	Released *Time `json:"released,omitempty"`
}

// Tool is the program that wrote the snapshot.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
}

// Read describes the read of a snapshot.
type Read struct {
	Started       Time  `json:"started"` // both by Okta's clock
	Finished      Time  `json:"finished"`
	ClockOffsetMS int64 `json:"clock_offset_ms"` // the local clock minus Okta's
	Requests      int   `json:"requests"`        // lines of requests.ndjson; Publish counts them
	Settled       bool  `json:"settled"`
}

// Counts counts the records of one resource, and their changes since the
// previous snapshot.
type Counts struct {
	Total      int               `json:"total"`
	ByStatus   map[string]int    `json:"by_status,omitempty"`
	Added      int               `json:"added"`
	Changed    int               `json:"changed"`
	Removed    int               `json:"removed"`
	Kinds      map[diff.Kind]int `json:"kinds"`
	Base       string            `json:"base"`       // BaseNone, BasePrevious or BaseReset
	Rows       int               `json:"rows"`       // in all responses: Total - Carried + Duplicates + Outside
	Duplicates int               `json:"duplicates"` // further copies of a record
	Outside    int               `json:"outside"`    // rows that are no part of the records: not declared, of an older list, deleted during the read, or read only for control totals

	// Refresh is RefreshFull or RefreshIncremental for group_members, "" for the other
	// resources. Carried is the number of records that an incremental refresh has taken
	// over from the previous snapshot, and CarriedSince is the oldest read of the groups
	// that were not read; nil: all were read.
	Refresh      string `json:"refresh,omitempty"`
	Carried      int    `json:"carried,omitzero"`
	CarriedSince *Time  `json:"carried_since,omitempty"`

	// Available is false if the resource could not be read, for Reason. Then
	// there are no files of it, and the counts are 0 apart from Rows and Outside. Last
	// is the newest snapshot with its records; nil: there is none. nil means available.
	Available *bool  `json:"available,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Last      *Link  `json:"last,omitempty"`

	// Unresolved is the number of edges whose other end isn't in the snapshot, although
	// its resource is recorded. It is counted when the records are written.
	Unresolved int `json:"unresolved,omitzero"`
}

// Control compares the numbers of members that Okta reports for groups with the
// numbers of records in the same snapshot. Okta reports a number also if the role of
// the app doesn't cover all members.
type Control struct {
	Everyone   *Total         `json:"everyone,omitempty"` // of the group Everyone, with the users; nil: not compared
	Groups     *GroupsControl `json:"groups,omitempty"`   // of groups, with their members; nil: not compared
	Reconciled bool           `json:"reconciled"`         // changes during the read explain each difference
}

// Total is a number as Okta reports it, and as it was counted.
type Total struct {
	Okta    int `json:"okta"`
	Counted int `json:"counted"`
}

// GroupsControl compares the members of all groups for which Okta reports a number.
type GroupsControl struct {
	Compared  int          `json:"compared"` // groups
	Okta      int          `json:"okta"`     // members of these groups
	Counted   int          `json:"counted"`
	Different []GroupTotal `json:"different"` // at most MaxDifferent groups whose numbers differ; never nil
}

// GroupTotal is the number of members of one group.
type GroupTotal struct {
	ID      string `json:"id"`
	Okta    int    `json:"okta"`
	Counted int    `json:"counted"`
}

// MaxDifferent is the most groups in GroupsControl.Different.
const MaxDifferent = 100

// IsAvailable reports whether the resource was read.
func (c Counts) IsAvailable() bool { return c.Available == nil || *c.Available }

// Bases of the comparison of a resource.
const (
	BaseNone     = "none"     // the first snapshot of the resource: nothing to compare with
	BasePrevious = "previous" // compared with the previous snapshot
	BaseReset    = "reset"    // other records are declared, so a comparison would mislead
)

// A File is a file of a snapshot's folder.
type File struct {
	Name          string `json:"name"`
	Resource      string `json:"resource"`
	Rows          int    `json:"rows"`
	Bytes         int64  `json:"bytes"`
	SHA256        string `json:"sha256"`
	ContentSHA256 string `json:"content_sha256,omitempty"` // of what is compressed in it
}

// JournalHead describes the journal just before a publish.
type JournalHead struct {
	Lines  int    `json:"lines"`
	SHA256 string `json:"sha256"` // of line number Lines, line feed included
}

// Link identifies the previous snapshot in a manifest.
type Link struct {
	Snapshot       string `json:"snapshot"`
	ManifestSHA256 string `json:"manifest_sha256"`
}

// resourceRequests is the resource of requests.ndjson in a list of files.
const resourceRequests = "requests"

// A Request is one line of requests.ndjson.
type Request struct {
	Time      Time   `json:"time"`
	Resource  string `json:"resource"` // "token" for a token request
	Method    string `json:"method"`
	Path      string `json:"path"`   // and query
	Status    int    `json:"status"` // 0: no answer
	Rows      int    `json:"rows"`
	RequestID string `json:"request_id"`
	Error     string `json:"error,omitempty"`

	// OktaStatus is the status of the record in the response, if the request names
	// one record by its id.
	OktaStatus string `json:"okta_status,omitempty"`
}

// Line appends r to dst as a line of requests.ndjson.
func (r *Request) Line(dst []byte) ([]byte, error) {
	line, err := canonjson.Marshal(r)
	if err != nil {
		return dst, err
	}
	return append(append(dst, line...), '\n'), nil
}

// notFound is the error code of Okta for a record that doesn't exist. A proxy's 404
// has none.
const notFound = "E0000007"

// Proof returns what q proves about a record: that it doesn't exist, or that it
// exists and has a status. ok is false unless q requests one record by its id, and
// Okta's response shows which it is.
func (q *Request) Proof() (id string, proof diff.Proof, ok bool) {
	i := strings.LastIndexByte(q.Path, '/')
	id, err := url.PathUnescape(q.Path[i+1:])
	if err != nil || strings.Contains(q.Path, "?") {
		return "", diff.Proof{}, false
	}
	proof = diff.Proof{RequestID: q.RequestID, HTTPStatus: q.Status, OktaStatus: q.OktaStatus}
	if q.Status == http.StatusNotFound && q.Error == notFound {
		proof.OktaStatus = notFound
		return id, proof, true
	}
	return id, proof, q.Status == http.StatusOK && q.Rows == 1
}

// startOfMembers returns the id of the group whose list of members r has read from its
// start, or "".
func (r *Request) startOfMembers() string {
	path, query, _ := strings.Cut(r.Path, "?")
	path, ofGroup := strings.CutPrefix(path, "/api/v1/groups/")
	path, ofUsers := strings.CutSuffix(path, "/users")
	values, err := url.ParseQuery(query)
	if r.Resource != GroupMembers.Name || r.Status != http.StatusOK || !ofGroup || !ofUsers || err != nil || values.Has("after") {
		return ""
	}
	group, err := url.PathUnescape(path)
	if err != nil {
		return ""
	}
	return group
}

// ParseRequest parses a line of a requests.ndjson, with its line feed, as strictly as
// ParseManifest.
func ParseRequest(line []byte) (Request, error) {
	var r Request
	if err := parseLine(line, &r); err != nil {
		return Request{}, fmt.Errorf("parse request: %w", err)
	}
	return r, nil
}

// fileNamed returns the entry of a file, or the zero File.
func fileNamed(files []File, name string) File {
	for _, f := range files {
		if f.Name == name {
			return f
		}
	}
	return File{}
}

// Recorded returns the resources whose records m has, in the order of Resources.
func (m *Manifest) Recorded() []*Resource {
	return slices.DeleteFunc(Resources(), func(r *Resource) bool { return !m.records(r) })
}

// records reports whether m has the records of r.
func (m *Manifest) records(r *Resource) bool {
	counts, ok := m.Resources[r.Name]
	return ok && counts.IsAvailable()
}

// Unavailable returns the resources that could not be read, in the order of Resources.
func (m *Manifest) Unavailable() []*Resource {
	return slices.DeleteFunc(Resources(), func(r *Resource) bool {
		counts, ok := m.Resources[r.Name]
		return !ok || counts.IsAvailable()
	})
}

// Total returns the number of records of all resources.
func (m *Manifest) Total() int {
	total := 0
	for _, counts := range m.Resources {
		total += counts.Total
	}
	return total
}

// File returns the entry of a file.
func (m *Manifest) File(name string) (File, bool) {
	f := fileNamed(m.Files, name)
	return f, f.Name != ""
}

// Names returns the names of the files in the folder of the snapshot.
func (m *Manifest) Names() []string {
	names := []string{ManifestFile, SumsFile}
	if m.SignedBy != nil {
		names = append(names, SignatureFile)
	}
	return append(names, m.fileNames()...)
}

// fileNames returns the names of the files that m lists.
func (m *Manifest) fileNames() []string {
	names := make([]string, len(m.Files))
	for i, f := range m.Files {
		names[i] = f.Name
	}
	return names
}

// TombstoneNames returns the names of the files that a prune keeps: manifest, signature
// and time stamp. The time stamp may not exist.
func (m *Manifest) TombstoneNames() []string {
	if m.SignedBy == nil {
		return []string{ManifestFile, TimestampFile}
	}
	return []string{ManifestFile, SignatureFile, TimestampFile}
}

// ChangesNames returns the names of the changes files that m lists. A prune can keep these
// files.
func (m *Manifest) ChangesNames() []string {
	return slices.DeleteFunc(m.fileNames(), func(name string) bool { return !strings.HasSuffix(name, changesSuffix) })
}

// digest returns the digest of manifest.json.
func (m *Manifest) digest() string {
	data, err := canonjson.Marshal(m)
	if err != nil {
		return ""
	}
	return DigestOf(append(data, '\n'))
}

// bases returns the names of the snapshots with which the next reads of resources that
// were not available are compared.
func (m *Manifest) bases() []string {
	var names []string
	for _, r := range m.Unavailable() {
		if last := m.Resources[r.Name].Last; last != nil {
			names = append(names, last.Snapshot)
		}
	}
	return names
}
