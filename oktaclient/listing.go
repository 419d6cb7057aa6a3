package oktaclient

import (
	"net/url"
	"strconv"
	"strings"
)

const (
	usersPath     = "/api/v1/users"
	deprovisioned = "DEPROVISIONED"
)

// listing says which users a list is of: at most one of search and filter;
// without either it is Okta's plain list, which leaves out DEPROVISIONED.
type listing struct {
	search, filter string
	outside        bool // nobody on it is of the query, as far as this list tells
}

// path is where the list begins.
func (l listing) path(size int) string {
	path := usersPath + "?limit=" + strconv.Itoa(size)
	switch {
	case l.search != "":
		path += "&search=" + escape(l.search)
	case l.filter != "":
		path += "&filter=" + escape(l.filter)
	}
	return path
}

// escape is for a value in a query, with %20 for a blank: not every server
// takes + for one.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
