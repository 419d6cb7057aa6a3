package doctor

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/dpopauth"
	"oktasync/dpopauth/keys"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/sign"
)

// Options are the settings of a run of all checks.
type Options struct {
	// Load returns the configuration, and the log of its requests. It also
	// checks the files that only the daemon needs.
	Load  func() (*config.Config, *slog.Logger, error)
	Tool  snapshot.Tool
	Hint  func(error) string // returns the remedy for an error; "" if there is none
	Key   string             // a client key to check in place of okta.private_key_file; "" for none
	Users int                // number of people that the Admin Console shows; 0 if unknown
}

// A Finding is the result of a check, as in `doctor --json` (docs/doctor.md).
type Finding struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Seen   string `json:"seen"`
	Where  string `json:"where"`  // the place of the remedy; "" if there is none, or if only waiting helps
	Remedy string `json:"remedy"` // "" if nothing must change
}

// The statuses of a finding.
const (
	OK      = "ok"
	Warning = "warning"
	Failed  = "failed"
	Skipped = "skipped"
)

// Places contains the text for people for each place of a remedy.
var Places = map[string]string{
	org.InConfig: "in the configuration: ", org.InOkta: "in Okta's Admin Console: ", org.OnHost: "on this host: ",
}

func ok(format string, args ...any) Finding {
	return Finding{Status: OK, Seen: fmt.Sprintf(format, args...)}
}

func warning(where, remedy, format string, args ...any) Finding {
	return Finding{Status: Warning, Where: where, Remedy: remedy, Seen: fmt.Sprintf(format, args...)}
}

func failed(where, remedy, format string, args ...any) Finding {
	return Finding{Status: Failed, Where: where, Remedy: remedy, Seen: fmt.Sprintf(format, args...)}
}

func skipped(cause string) Finding {
	return Finding{Status: Skipped, Seen: "not checked: " + cause}
}

// failedWith returns a failed finding with the known remedy for err.
func failedWith(err error, fallback org.Remedy, format string, args ...any) Finding {
	r := org.RemedyFor(err)
	if r.Action == "" {
		r = fallback
	}
	return failed(r.Where, r.Action, format, args...)
}

// otherResponder is the remedy if the response is not from Okta.
var otherResponder = org.Remedy{Where: org.OnHost, Action: "find out what changes requests or responds in place of the org, such as a proxy"}

// A check is one line of doctor. It is skipped if a check that it needs, directly
// or indirectly, has failed.
type check struct {
	id    string
	needs []string
	run   func(context.Context, *checker) Finding
}

// checker is what the checks share: the options, and the results of earlier
// checks.
type checker struct {
	Options

	cfg       *config.Config
	log       *slog.Logger
	clientKey *keys.Key
	dpopKey   *keys.Key // nil: a key in memory
	base      *http.Transport

	probed *probe       // the first request
	token  *tokenResult // of the first token request
	pages  []*page      // the first page of each declared resource
	counts map[*snapshot.Resource]count
	signer *sign.Signer
}

// check runs a check, or returns why it is skipped.
func (x *checker) check(ctx context.Context, c check, causes map[string]string) Finding {
	for _, need := range c.needs {
		if cause := causes[need]; cause != "" {
			causes[c.id] = cause
			f := skipped(cause + " failed")
			f.ID = c.id
			return f
		}
	}
	f := c.run(ctx, x)
	f.ID = c.id
	if x.cfg != nil {
		f.Remedy = x.cfg.Rename(f.Remedy)
	}
	return f
}

func (x *checker) close() {
	if x.base != nil {
		x.base.CloseIdleConnections()
	}
}

const maxResponse = 16 << 20 // bytes

func readAll(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxResponse))
}

// A page is the response to one request for records of a resource.
type page struct {
	declared reconcile.Declared
	header   http.Header
	path     string // of the list
	records  int
	first    string // ID of the first record; "" if there is none
	next     string // URL of the next page; "": this is the last one
	err      error  // an *oktaclient.Error, or an error of the transport
	cause    string // the id of the check that reports err; "" if there is no error
}

// A tokenResult is the result of a token request.
type tokenResult struct {
	auth  *dpopauth.Transport
	err   error
	cause string  // the id of the check that reports err; "" if there is a token
	kid   *string // another kid that Okta accepts, "" for none; nil if unknown
}

// A probe is the first request to the org. It takes the same way as all others,
// including the proxy.
type probe struct {
	caErr  error    // of okta.ca_file
	proxy  *url.URL // nil: direct
	denial int      // the proxy's status for CONNECT if it isn't 200
	remote string   // the address of the connection

	sent, received time.Time
	resp           *http.Response // its body is in body
	body           []byte
	err            error
	step           string // the id of the check that reports err; "" if there is no error
}

// A count is the number of records of a resource that the app sees.
type count struct {
	n   int
	all bool // there are no others
}

// clean removes what a terminal could interpret from text of another party.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), 100)]
}
