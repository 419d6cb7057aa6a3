package oktaclient

import (
	"net/url"
	"strconv"
	"strings"
)

// Strategy is how the list of a resource is divided into requests.
type Strategy int

const (
	// Pages reads one list, page by page along its next links.
	Pages Strategy = iota

	// Spans reads ranges of lastUpdated, several at a time. A client with a
	// concurrency of 1 reads Pages instead.
	Spans
)

// Resource describes how a kind of object is read: from a list at Path, and one
// by one at Path/{id}. The list can be narrowed by a filter on lastUpdated and
// id, and by a search expression.
type Resource struct {
	Name     string // "users", as in the transcript
	Path     string // of the list: "/api/v1/users"
	Strategy Strategy
	PageSize int // most records per page

	hasStatus bool   // each record has a status
	omitted   string // the status of the records that the plain list omits
}

// Users are the people of an org. Okta's plain list omits the users with the
// status DEPROVISIONED.
// See https://developer.okta.com/docs/api/openapi/okta-management/management/tag/User/.
var Users = Resource{
	Name: "users", Path: "/api/v1/users", Strategy: Spans, PageSize: 200,
	hasStatus: true, omitted: "DEPROVISIONED",
}

// Groups are the groups of an org, without their members. Okta allows pages of
// 10,000 groups, but advises 200.
// See https://developer.okta.com/docs/api/openapi/okta-management/management/tag/Group/.
var Groups = Resource{Name: "groups", Path: "/api/v1/groups", Strategy: Pages, PageSize: 200}

// listing selects the records of a list. At most one of search and filter is
// set. Without either it is Okta's plain list.
type listing struct {
	search, filter string
	outside        bool // pass the records to Sink.Outside
}

// path returns path and query of the first page.
func (l listing) path(resource Resource, size int) string {
	path := resource.Path + "?limit=" + strconv.Itoa(size)
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
