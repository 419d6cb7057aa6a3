package dpopauth

import (
	"crypto/rand"
	"net/http"
	"time"

	"oktasync/dpopauth/keys"
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

// Prove makes a proof as RoundTrip does.
func Prove(k *keys.Key, url, ath, nonce string, now time.Time) (string, error) {
	return k.SignProof(proof{ID: rand.Text(), Method: http.MethodGet, URL: url, IssuedAt: now.Unix(), TokenHash: ath, Nonce: nonce})
}
