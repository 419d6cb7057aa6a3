// Package oktaclient reads the users of an Okta org through an [http.Client]
// that it is given and that authenticates; it sends nothing but GET.
//
// A list is read page by page along Okta's Link headers. A page is read whole,
// checked whole and only then handed on, so that a page that had to be asked
// for twice yields no user twice. What may pass (a 429, a 5xx, a reset, a body
// cut short, HTML from the edge) is waited out or tried again within bounds;
// anything else ends the reading with an [*Error] that names Okta's code, the
// request id and the page, and never an answer's body.
//
// A user's JSON is kept byte for byte: custom attributes, the text of numbers,
// members and statuses that nobody has heard of yet.
//
// # What a reading is worth
//
// Okta has no snapshot isolation: people change while pages are read, and the
// lists come from an index that lags by up to about a second. A [ReadResult] is
// as between its start and its finish, and a user may come more than once; the
// caller keeps the newest. What changed meanwhile is read again at the end,
// until nothing new shows up. Where Okta's cursors count users instead of naming
// one, somebody who leaves a list moves another past its next page; so where
// lists had several pages and somebody changed, those whom the caller does not
// know from a reading before are read once more in single pages. What no list
// tells stays unknown:
//
//   - Who was read and then deleted stays in the reading. The next one misses
//     them, and [Client.Find] proves it.
//   - Where nothing changes but that people are deleted, nobody is read once more,
//     and one whom the caller does not know can be missing.
//   - A change that does not move lastUpdated, such as a sign-in, may be seen or
//     not, and so may one in the last second.
package oktaclient

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Config says which org to read, and how. OrgURL and HTTPClient are required;
// every other field's zero value stands for the default given with it.
type Config struct {
	// OrgURL is the org's API: "https://acme.okta.com". Plain http is taken
	// only on a loopback host. Nothing is ever requested from another origin.
	OrgURL string

	// HTTPClient authenticates the requests. It is copied, and the copy follows
	// no redirects: Okta's API has none, and a token must not travel along one.
	//
	// The client retries after an error of the transport, unless a certificate
	// can't be verified. The error can have a method Retryable() bool that decides
	// this, and HTTPStatus() int with the status of a response that the transport
	// doesn't return.
	HTTPClient *http.Client

	Concurrency    int     // most requests in flight; 0: 1
	RateLimitShare float64 // of what Okta's headers show, 0 < share <= 1; 0: 0.5
	PageSize       int     // most records per page; 0: the most that the resource allows

	// Governor limits the requests of this client and of all others that have the
	// same one, by its own settings. nil: a new one, with Concurrency and
	// RateLimitShare.
	Governor *Governor

	Tries    int           // most tries of a page that fails in passing; 0: 5
	BaseWait time.Duration // longest wait before the second try, doubled for each further one; 0: 1s
	Stall    time.Duration // longest time in which an answer makes no progress; 0: 1m
	IndexLag time.Duration // longest time in which lists by search or filter show no change; 0: 1s

	// ClockOffset returns how far Okta's clock is ahead of the local clock, such
	// as [oktasync/dpopauth.Status].Offset. Each read calls it once, after the
	// first response. nil: no offset is known.
	ClockOffset func() time.Duration

	Logger    *slog.Logger // nil: nothing is logged
	UserAgent string       // "": "oktasync"
}

// Client reads one org. It may be used by several goroutines at once.
type Client struct {
	cfg      Config
	org      *url.URL
	http     *http.Client
	log      *slog.Logger
	governor *Governor
	memory   sync.Pool // of *page
}

// New returns a client for the org of cfg.
func New(cfg Config) (*Client, error) {
	org, err := parseOrgURL(cfg.OrgURL)
	if err != nil {
		return nil, err
	}
	switch {
	case cfg.HTTPClient == nil:
		return nil, errors.New("no HTTP client to authenticate requests")
	case cfg.RateLimitShare < 0 || cfg.RateLimitShare > 1:
		return nil, fmt.Errorf("rate limit share %v is not between 0 and 1", cfg.RateLimitShare)
	case cfg.PageSize < 0:
		return nil, fmt.Errorf("page size %d is negative", cfg.PageSize)
	case cfg.Concurrency < 0 || cfg.Tries < 0 || cfg.BaseWait < 0 || cfg.Stall < 0 || cfg.IndexLag < 0:
		return nil, errors.New("concurrency, tries, base wait, stall and index lag must not be negative")
	}
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 1)
	cfg.RateLimitShare = cmp.Or(cfg.RateLimitShare, 0.5)
	cfg.Tries = cmp.Or(cfg.Tries, 5)
	cfg.BaseWait = cmp.Or(cfg.BaseWait, time.Second)
	cfg.Stall = cmp.Or(cfg.Stall, time.Minute)
	cfg.IndexLag = cmp.Or(cfg.IndexLag, time.Second)
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "oktasync")
	if cfg.Governor == nil {
		cfg.Governor = NewGovernor(cfg.RateLimitShare, cfg.Concurrency)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	client := *cfg.HTTPClient
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{cfg: cfg, org: org, http: &client, log: cfg.Logger, governor: cfg.Governor,
		memory: sync.Pool{New: func() any { return new(page) }}}, nil
}

// Get sends one GET for path, which may have a query, or for the URL of a next
// page, with the same waits and tries as any other request. Where Okta answers
// with another status than 2xx, Get returns both the answer and an [*Error].
// The answer's body is in memory; closing it is harmless and not needed.
func (c *Client) Get(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	u, err := c.org.Parse(path)
	if err != nil {
		return nil, fmt.Errorf("path: %w", errors.Unwrap(err))
	}
	if !sameOrigin(u, c.org) {
		return nil, fmt.Errorf("path leads to another origin than %s", c.org)
	}
	u.Fragment = ""
	a, err := c.send(ctx, &call{url: u, header: header})
	if a == nil || a.resp == nil {
		return nil, err
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Err != nil || err != nil && !ok {
		return nil, err // the answer is not whole
	}
	a.resp.Body = io.NopCloser(bytes.NewReader(a.body))
	a.resp.Request = &http.Request{Method: http.MethodGet, URL: u}
	return a.resp, err
}

// parseOrgURL checks that raw is an origin that a token may be sent to.
func parseOrgURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("org URL: %w", errors.Unwrap(err))
	}
	switch {
	case u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("org URL must be an origin like https://acme.okta.com")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("org URL %s: plain http is for loopback hosts only", u.Host)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("org URL %s: scheme must be https", u.Host)
	case adminConsole.MatchString(u.Hostname()):
		return nil, fmt.Errorf("org URL %s is the admin console's; leave out -admin", u.Host)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// adminConsole matches the address that administrators copy from their browser.
var adminConsole = regexp.MustCompile(`(?i)^[^.]+-admin\.(okta|oktapreview|okta-emea|okta-gov|trexcloud)\.com$`)

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
