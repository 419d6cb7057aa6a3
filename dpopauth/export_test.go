package dpopauth

import (
	"crypto"
	"encoding/json"
	"net/http"
	"time"
)

// StepWall sets the wall clock of t's machine by d, as NTP or a person does.
func StepWall(t *Transport, d time.Duration) {
	wall := t.wire.clock.wall
	t.wire.clock.wall = func() time.Time { return wall().Add(d) }
}

// Suspend makes up for d in which t's machine slept: its monotonic clock stood
// still.
func Suspend(t *Transport, d time.Duration) {
	mono := t.wire.clock.mono
	t.wire.clock.mono = func() time.Duration { return mono() - d }
}

// Challenge is a challenge as the parser sees it.
type Challenge struct {
	Scheme string
	Params map[string]string
}

func ParseChallenges(h http.Header) []Challenge {
	var all []Challenge
	for _, c := range challenges(h) {
		all = append(all, Challenge{c.scheme, c.params})
	}
	return all
}

func NonceOf(h http.Header) string { return nonceOf(h) }

func RetryAfter(h http.Header, now time.Time) time.Duration { return retryAfter(h, now) }

func DateOf(r *http.Response) (time.Time, bool) { return dateOf(r) }

func Life(raw json.RawMessage) (time.Duration, error) { return lifeOf(raw) }

func Clean(s string, n int) string { return clean(s, n) }

func Members(data []byte) (map[string]json.RawMessage, error) { return members(data) }

// Thumbprint is the thumbprint of a public key whose private one nobody has.
func Thumbprint(pub crypto.PublicKey) (string, error) {
	jwk, err := publicJWK(pub)
	return hash(jwk), err
}

// Prove makes a proof as RoundTrip does.
func Prove(k *Key, url, ath, nonce string, now time.Time) (string, error) {
	return proof{method: http.MethodGet, htu: url, issued: now, ath: ath, nonce: nonce}.sign(k.m)
}
