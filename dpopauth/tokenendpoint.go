package dpopauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"oktasync/dpopauth/keys"
)

const (
	attemptTimeout = 30 * time.Second // of one HTTP request
	maxRetryWait   = 30 * time.Second // also for Retry-After
)

// A tokenEndpoint requests access tokens: the client credentials grant (RFC 6749,
// section 4.4) with a client assertion (RFC 7523, section 2.2).
type tokenEndpoint struct {
	*sender
	clock     *clock // of the server
	url       string
	audience  string
	clientID  string
	clientKey *keys.Key
	scopes    []string
	optional  []string // of scopes: a token without these is accepted
	report    func(TokenRequest)
	stats     *stats
}

// A TokenRequest describes one HTTP request to the token endpoint.
type TokenRequest struct {
	Time      time.Time // when it was sent, by the local clock
	URL       string
	Status    int    // 0: no response
	Error     string // error code of OAuth or Okta, or empty
	RequestID string
	Granted   bool // the response contained a valid token
}

// A retry contains the cause for which a request may be sent again, if any, and
// the time to wait before.
type retry struct {
	cause retryCause
	after time.Duration
}

// incomplete returns err with the attempt's timeout, if that was the cause.
func incomplete(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no complete response within %v: %w", attemptTimeout, networkError(err))
	}
	return networkError(err)
}
