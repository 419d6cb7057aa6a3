package dpopauth

import (
	"crypto/rand"
	"net/http"
	"time"

	"oktasync/dpopauth/keys"
)

// The parsers of response headers.
var (
	NonceHeader      = nonceHeader
	DateHeader       = dateHeader
	RetryAfterHeader = retryAfterHeader
	RequestIDHeader  = requestIDHeader
	CleanText        = cleanText
	ErrorCode        = errorCode
)

// A Challenge is a challenge with exported fields.
type Challenge struct {
	Scheme string
	Params map[string]string
}

// ParseChallenges parses the lines of a WWW-Authenticate header.
func ParseChallenges(lines ...string) (all []Challenge) {
	for _, c := range parseChallenges(http.Header{"Www-Authenticate": lines}) {
		all = append(all, Challenge{c.scheme, c.params})
	}
	return all
}

// StepWall moves the wall clock of t by d.
func StepWall(t *Transport, d time.Duration) {
	wall := t.sender.local.wall
	t.sender.local.wall = func() time.Time { return wall().Add(d) }
}

// Suspend sets the monotonic clock of t back by d, as if the machine had been
// suspended during the last d.
func Suspend(t *Transport, d time.Duration) {
	mono := t.sender.local.mono
	t.sender.local.mono = func() time.Duration { return mono() - d }
}

// NewProof returns a proof for a GET of url.
func NewProof(k *keys.Key, url, ath, nonce string, now time.Time) (string, error) {
	return k.SignProof(proofClaims{ID: rand.Text(), Method: http.MethodGet, URL: url, IssuedAt: now.Unix(), TokenHash: ath, Nonce: nonce})
}
