package oktaclient

import (
	"context"
	"crypto/x509"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Query says which users a reading is of.
type Query struct {
	IncludeDeprovisioned bool   // Okta's plain list leaves these out
	Search               string // an Okta search expression; "": everyone
}

// User is one user as a page held it.
type User struct {
	ID, Status, LastUpdated string

	// JSON is exactly what Okta sent. It is valid only during the call that
	// hands the user over.
	JSON []byte
}

// Request tells of one attempt at a request, whatever came of it.
type Request struct {
	Time      time.Time // when it was sent, by Okta's clock once that is known
	Method    string
	Path      string // path and query
	Status    int    // 0: no answer
	Rows      int    // users that the answer held
	RequestID string // Okta's
	Error     string // "" or a short class: "reset", "timeout", "broken JSON", Okta's error code
}

// Sink takes a reading as it comes. Its methods are called one at a time. An
// error of theirs ends the reading and is returned as it is.
type Sink interface {
	// User is called with each copy of a user that a page holds. The same id
	// can come again; the newest copy counts.
	User(User) error

	// Request is called with each attempt, after its users.
	Request(Request) error
}

// Reading sums up a finished reading. Rows less the callers' duplicates, less
// Outside, are the users that the query is of.
type Reading struct {
	Started, Finished time.Time // by Okta's clock, to about a second

	// Offset is how far our clock was ahead of Okta's: ours less Offset is
	// Okta's. It is 0 where Okta's Date headers, which know only whole
	// seconds, leave that possible.
	Offset time.Duration

	Requests int // every attempt
	Rows     int // users in all pages
	Outside  int // of these, users that the query leaves out and Sink.User was not told of

	// Settled says that a last pass found nothing changed since the start.
	Settled bool

	// PeerCertificates is the chain that the org showed; nil without TLS.
	PeerCertificates []*x509.Certificate
}

// Users reads every user that q is of into sink: the plain list and then the
// deprovisioned users, or with a search one list of what it finds. The reading
// comes with an error too, and says how far it came.
func (c *Client) Users(ctx context.Context, q Query, sink Sink) (Reading, error) {
	r := &reading{c: c, query: q, sink: sink, time: timeline{start: time.Now()}}
	lists := []string{""}
	switch {
	case q.Search != "":
		lists = []string{"&search=" + escape(q.Search)}
	case q.IncludeDeprovisioned:
		lists = append(lists, "&filter="+escape(`status eq "`+deprovisioned+`"`))
	}
	for _, narrowed := range lists {
		if err := r.list(ctx, usersPath+"?limit="+strconv.Itoa(c.cfg.PageSize)+narrowed); err != nil {
			return r.sum(), err
		}
	}
	return r.sum(), nil
}

// User reads the user with the given id. Such a read is current, where lists
// come from an index that lags. A user that does not exist, or no longer, is
// an [*Error] with status 404. The user's JSON is the caller's to keep.
func (c *Client) User(ctx context.Context, id string) (User, error) {
	if id == "" || id == "." || id == ".." {
		return User{}, errors.New("no user id")
	}
	u, err := c.org.Parse(usersPath + "/" + url.PathEscape(id))
	if err != nil {
		return User{}, err
	}
	var user User
	_, err = c.send(ctx, &call{url: u, accept: func(a *answer) (err error) {
		if user, err = parseUser(a); err == nil && user.ID != id {
			err = &rejection{class: "another user", err: errors.New("answer is about another user")}
		}
		return err
	}})
	return user, err
}

const (
	usersPath     = "/api/v1/users"
	deprovisioned = "DEPROVISIONED"
)

// escape is for a value in a query, with %20 for a blank: not every server
// takes + for one.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
