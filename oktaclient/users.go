package oktaclient

import (
	"context"
	"crypto/x509"
	"time"
)

// Query says which users a reading is of.
type Query struct {
	IncludeDeprovisioned bool   // Okta's plain list leaves these out
	Search               string // an Okta search expression; "": everyone

	// Borders, if not nil, returns moments of lastUpdated, ascending, between
	// each two of which there were about so many users when the org was last
	// read, and not more. It is called where users are read in parallel. Without
	// it, or with borders that no longer fit, the reading finds out by itself.
	Borders func(users int) ([]time.Time, error)

	// Settling, if not nil, is called when everyone has been read, and before
	// each time that those are read again who have changed meanwhile.
	Settling func()
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
//
// The same id can come again, to User or to Outside: of all its copies the one
// with the newest LastUpdated counts, and of equal ones the one that came last.
type Sink interface {
	// User is called with each copy of a user that the query is of.
	User(User) error

	// Outside is called with each copy of a user that the query is not of, or
	// no longer.
	Outside(User) error

	// Request is called with each attempt, after its users.
	Request(Request) error
}

// Reading sums up a finished reading.
type Reading struct {
	Started, Finished time.Time // by Okta's clock, to about a second

	// Offset is how far our clock was ahead of Okta's: ours less Offset is
	// Okta's. It is 0 where Okta's Date headers, which know only whole
	// seconds, leave that possible.
	Offset time.Duration

	Requests int // every attempt
	Rows     int // users in all answers: calls of Sink.User and Sink.Outside

	// Settled says that a last pass found nothing changed since the start.
	Settled bool

	// PeerCertificates is the chain that the org showed; nil without TLS.
	PeerCertificates []*x509.Certificate
}

// Users reads every user that q is of into sink, and then whoever changed in
// the meantime. With a concurrency of 1 it reads Okta's lists one after the
// other, with more it reads spans of lastUpdated side by side. The reading
// comes with an error too, and says how far it came.
func (c *Client) Users(ctx context.Context, q Query, sink Sink) (Reading, error) {
	r := c.newReading(q, sink)
	read := r.serial
	if c.cfg.Concurrency > 1 {
		read = r.parallel
	}
	err := read(ctx)
	if err == nil {
		err = r.settle(ctx)
	}
	return r.sum(), err
}
