// Package oktaclient reads resources of an Okta org, such as users and groups. It
// sends only GET requests, through an [http.Client] that authenticates them.
//
// Package reconcile and the commands of oktasync use it. Start reading at
// [Client.Read]; a [Resource] is a kind of object to read. The files: query.go and
// sink.go (the input and the output of a read), list.go (pages), spans.go (parallel
// reads), parents.go (a list for each group or app), roles.go (administrators), settle.go
// (changes during a read), find.go (proof of removal), request.go and retry.go (one
// request), governor.go (rate limits).
//
// # Pages and retries
//
// A read follows Okta's Link headers. It reads and checks a whole page before it
// passes the records to the sink, so that a retried page yields no record twice. It
// retries transient failures, within bounds: a 429, a 5xx, a reset, a truncated
// body or an HTML page of a proxy. Any other failure ends the read with an
// [*Error]. The JSON of a record is not changed.
//
// # Completeness
//
// Okta has no snapshot isolation: records change while pages are read, and lists
// come from an index that lags by about a second. The result of a read is
// therefore correct for each record separately, at some moment between its start
// and its end. After the lists of users or groups, the client reads the changed records
// again, until such a pass shows no new change, or up to 10 times. If pages may have
// skipped a record, one more pass reads the records that were updated after
// [Query].KnownBefore, in ranges of lastUpdated that fit on one page each. Okta can't
// list the changes of other resources than users and groups. For such a resource, the
// caller repeats the reads of all records that may have changed.
//
// A read can't detect the following:
//
//   - A record that was read and then deleted stays in the result. The next read
//     doesn't return it, and [Client.Find] proves that it doesn't exist.
//   - A record that no earlier read contains can be missing, if deletions are the
//     only changes during the read.
//   - A change that doesn't change lastUpdated, such as a sign-in or a change of a
//     group's members, may be missing. A change of the last second may be missing too.
package oktaclient

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Config configures a [Client]. OrgURL and HTTPClient are required. The zero value
// of each other field means its default.
type Config struct {
	// OrgURL is the origin of the org: "https://acme.okta.com". Plain http is valid
	// only for a loopback host. The client sends no request to another origin.
	OrgURL string

	// HTTPClient authenticates the requests. The client uses a copy that follows no
	// redirects: Okta's API has none, and a redirect could send a token elsewhere.
	//
	// The client retries after an error of the transport, unless a certificate
	// can't be verified. The error can have a method Retryable() bool that decides
	// this. It can also have a method Response() (status int, code, requestID string)
	// that describes a response that the transport doesn't return.
	HTTPClient *http.Client

	Concurrency    int     // most requests in flight; 0: 1
	RateLimitShare float64 // of the limits in Okta's headers, 0 < share <= 1; 0: 0.5
	PageSize       int     // most records per page; 0: the most that the resource allows

	// Governor limits the requests of this client and of all others that have the
	// same one, by its own settings. nil: a new one, with Concurrency and
	// RateLimitShare.
	Governor *Governor

	Tries    int           // most attempts after transient failures; 0: 5
	BaseWait time.Duration // longest wait before the second attempt, doubled for each further one; 0: 1s
	Stall    time.Duration // longest time without progress of a response; 0: 1m
	IndexLag time.Duration // longest delay of changes in lists by search or filter; 0: 1s

	// ClockOffset returns how far Okta's clock is ahead of the local clock, such
	// as [oktasync/dpopauth.Status].Offset. Each read calls it once, after the
	// first response. nil: the offset is 0.
	ClockOffset func() time.Duration

	Logger    *slog.Logger // nil: no log
	UserAgent string       // "": "oktasync"
}

// Client reads one org. Its methods may be called concurrently.
type Client struct {
	cfg      Config
	org      *url.URL
	http     *http.Client
	log      *slog.Logger
	governor *Governor
	failures failureLog
	pages    sync.Pool // of *page
}

// New checks cfg and returns a client.
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
		failures: failureLog{warned: make(map[string]failureWarning)}}, nil
}

// parseOrgURL checks that raw is an origin to which a token may be sent.
func parseOrgURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("org URL: %w", errors.Unwrap(err))
	}
	switch {
	case u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("org URL must be an origin like https://acme.okta.com")
	case u.Scheme == "http" && !IsLoopback(u.Hostname()):
		return nil, fmt.Errorf("org URL %s: plain http is for loopback hosts only", u.Host)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("org URL %s: scheme must be https", u.Host)
	}
	if org, ok := OfAdminConsole(u.Hostname()); ok {
		return nil, fmt.Errorf("org URL %s is the Admin Console; the org is %s", u.Host, org)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// adminConsole matches the host of the Admin Console of an org in one of Okta's
// domains.
var adminConsole = regexp.MustCompile(`(?i)^([^.]+)-admin\.((?:okta|oktapreview|okta-emea|okta-gov|trexcloud)\.com|okta\.mil)$`)

// OfAdminConsole returns the host of the org whose Admin Console has the given
// host, and false for any other host.
func OfAdminConsole(host string) (org string, ok bool) {
	m := adminConsole.FindStringSubmatch(host)
	if m == nil {
		return "", false
	}
	return strings.ToLower(m[1] + "." + m[2]), true
}

// IsLoopback reports whether host, a name or an address without a port, is this
// machine's own.
func IsLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}
