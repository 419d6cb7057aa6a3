package dpopauth

import (
	"crypto/rand"
	"time"
)

const (
	assertionLife = 5 * time.Minute  // Okta takes up to an hour
	backdating    = 30 * time.Second // Okta takes no iat in its future
)

// An assertion is what a client assertion claims (RFC 7523, section 3). Every
// request needs its own, since a server takes an id only once.
type assertion struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	ID       string `json:"jti"`
	IssuedAt int64  `json:"iat"`
	Expiry   int64  `json:"exp"`
}

func newAssertion(clientID, audience string, now time.Time) assertion {
	return assertion{
		Issuer: clientID, Subject: clientID, Audience: audience, ID: rand.Text(),
		IssuedAt: now.Add(-backdating).Unix(), Expiry: now.Add(assertionLife).Unix(),
	}
}
