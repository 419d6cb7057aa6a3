package oktaclient

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Query selects the records of a read.
type Query struct {
	Resource Resource // such as [Users]

	// IncludeDeprovisioned adds the users with the status DEPROVISIONED.
	IncludeDeprovisioned bool

	// Search is an Okta search expression. If it is empty, the query selects all
	// records.
	Search string

	// Filter is an Okta filter expression for a resource with the strategy Pages.
	// Such a read doesn't settle.
	Filter string

	// Stats adds Okta's counts to the records of a read of [Groups], as
	// _embedded.stats. Some records can be without them. Such a read doesn't settle.
	Stats bool

	// Parents are the ids of the parents of a read with the strategy PerParent.
	Parents []string

	// Borders are values of lastUpdated, ascending. Between two of them is about
	// one page of records. A caller can take them from an earlier read.
	// They make parallel reads faster. If they are missing or wrong, the read
	// computes its own.
	Borders []time.Time

	// KnownBefore, if set, limits the extra work that a read does if Okta's
	// pages may have skipped a record. Set it only if you compare this read with
	// an earlier complete one, and call [Client.Find] for each record that is
	// missing and was last updated before KnownBefore.
	KnownBefore time.Time

	// SkipForbidden makes Find ignore records that the app isn't allowed to read.
	SkipForbidden bool

	// OnPhase, if not nil, is called when the read enters a phase. No method of
	// the sink runs at the same time.
	OnPhase func(Phase)
}

// Phase is a part of a read.
type Phase string

const (
	PhaseList   Phase = "list"   // all records are read
	PhaseSettle Phase = "settle" // records that changed during the read are read again; once per pass
)

// Record is one object of a resource.
type Record struct {
	ID          string
	Parent      string // id of the parent, with the strategy PerParent
	Status      string // Okta's; "" if the resource has none
	LastUpdated string // RFC 3339, as Okta sent it; "" if missing or null

	// JSON is exactly what Okta sent. It is valid only during the call that
	// passes the record.
	JSON []byte
}

// Request describes one attempt to send a request, successful or not.
type Request struct {
	Resource  string    // name of the resource
	Time      time.Time // when it was sent, by the local clock
	Method    string
	Path      string // path and query
	Status    int    // 0: no response
	Rows      int    // records in the response
	RequestID string // Okta's
	Error     string // "" or a short class: "reset", "timeout", "broken JSON", Okta's error code

	// RecordStatus is the status of the record in the response to a request by id.
	RecordStatus string
}

// Bucket returns the rate-limit bucket of an API request, as in [Limit].
func (r Request) Bucket() string {
	path, _, _ := strings.Cut(r.Path, "?")
	return bucketOf(path)
}

// ReadResult summarizes a read.
type ReadResult struct {
	Started, Finished time.Time // by the local clock

	// ClockOffset is how far Okta's clock was ahead of the local clock after the
	// first response. OktaTime applies it to all times of the read.
	ClockOffset time.Duration

	Requests int // all attempts
	Rows     int // records in all responses: calls of Sink.Record and Sink.Outside

	// Settled reports that the last pass found no change since the start. It is
	// true without a pass if Okta can't filter the resource by lastUpdated, such as
	// [Apps] and [GroupRules]: there, the caller must compare two lists. It is also
	// true for the strategy PerParent, and with Query.Filter or Query.Stats.
	Settled bool

	Certificates Certificates // nil without TLS
}

// OktaTime returns Okta's time, in UTC, at a local time of the read.
func (r ReadResult) OktaTime(local time.Time) time.Time {
	return r.Started.Add(local.Sub(r.Started) + r.ClockOffset).Round(0).UTC()
}

// listing selects the records of a list. At most one of search and filter is
// set. Without either it is Okta's plain list.
type listing struct {
	search, filter string
	parent         string // with PerParent
	outside        bool   // pass the records to Sink.Outside
}

// path returns path and query of the first page.
func (l listing) path(q Query, size int) string {
	path := strings.Replace(q.Resource.Path, "{parent}", url.PathEscape(l.parent), 1)
	if q.Resource.Unpaged {
		return path
	}
	path += "?limit=" + strconv.Itoa(size)
	if q.Stats {
		path += "&expand=stats"
	}
	switch {
	case l.search != "":
		path += "&search=" + escape(l.search)
	case l.filter != "":
		path += "&filter=" + escape(l.filter)
	}
	return path
}

// escape escapes a value for a query. It writes a space as %20, since not every
// server decodes a plus sign.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
