package oktaclient

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
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
// deprovisioned users, or with a search one list of what it finds.
func (c *Client) Users(ctx context.Context, q Query, sink Sink) (Reading, error) {
	return Reading{}, errors.ErrUnsupported
}

// User reads the user with the given id. Such a read is current, where lists
// come from an index that lags. A user that does not exist, or no longer, is
// an [*Error] with status 404.
func (c *Client) User(ctx context.Context, id string) (User, error) {
	return User{}, errors.ErrUnsupported
}

// Get sends one GET for path, which may have a query, or for the URL of a next
// page, with the same waits and tries as any other request. Where Okta answers
// with another status than 2xx, Get returns both the answer and an [*Error].
// The answer's body is in memory; closing it is harmless and not needed.
func (c *Client) Get(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	return nil, errors.ErrUnsupported
}
