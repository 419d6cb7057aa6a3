// Package doctor checks a live setup: configuration, keys, network, the app in
// Okta, its permissions, and the store. Each check has a finding, with a remedy
// if something must change.
//
// Only the command doctor uses it. Start reading at Run and Checks. The files:
// keys.go, network.go (from proxy to clock), okta.go (the org), token.go (the app),
// api.go (its permissions), store.go.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth/keys"
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

// Run runs all checks in the order of Checks, and calls report with each finding.
// It returns an error only if ctx ends.
func Run(ctx context.Context, o Options, report func(Finding)) error {
	x := &checker{Options: o}
	defer x.close()
	causes := map[string]string{} // the failed check because of which a check is skipped, by id
	for _, c := range Checks {
		f := x.check(ctx, c, causes)
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.Status == Failed {
			causes[c.id] = c.id
		}
		report(f)
	}
	return nil
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

// Checks contains every check, in the order of their dependencies. The ids are
// stable, because scripts use them.
var Checks = []check{
	{"config", nil, checkConfig},
	{"client_key", []string{"config"}, checkClientKey},
	{"dpop_key", []string{"config", "client_key"}, checkDPoPKey},
	{"proxy", []string{"config"}, checkProxy},
	{"dns", []string{"proxy"}, checkDNS},
	{"tcp", []string{"dns"}, checkTCP},
	{"tls", []string{"tcp"}, checkTLS},
	{"clock", []string{"tls"}, checkClock},
	{"org", []string{"clock"}, checkOrg},
	{"token_endpoint", []string{"org", "client_key", "dpop_key"}, checkTokenEndpoint},
	{"network_zone", []string{"token_endpoint"}, checkNetworkZone},
	{"client_id", []string{"network_zone"}, checkClientID},
	{"key_known", []string{"client_id"}, checkKeyKnown},
	{"dpop", []string{"key_known"}, checkDPoP},
	{"nonce", []string{"dpop"}, checkNonce},
	{"scopes", []string{"nonce"}, checkScopes},
	{"extra_scopes", []string{"scopes"}, checkExtraScopes},
	{"api", []string{"scopes"}, checkAPI},
	{"rate_limit", []string{"api"}, checkRateLimit},
	{"role", []string{"rate_limit"}, checkRole},
	{"reading", []string{"role"}, checkReading},
	{"store", []string{"config"}, checkStore},
	{"space", []string{"store"}, checkSpace},
	{"signing_key", []string{"config"}, checkSigningKey},
	{"allowed_signers", []string{"signing_key"}, checkAllowedSigners},
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

// checkConfig loads the configuration.
func checkConfig(_ context.Context, x *checker) Finding {
	cfg, log, err := x.Load()
	if err != nil {
		return failed(org.InConfig, cmp.Or(x.Hint(err), "correct it; `oktasync validate` checks it without a network"), "%v", err)
	}
	x.cfg, x.log = cfg, log
	return ok("%s is valid: %s", cmp.Or(cfg.File, "the environment"), term.Plural(len(cfg.Exports), "export"))
}

func (x *checker) close() {
	if x.base != nil {
		x.base.CloseIdleConnections()
	}
}

const maxResponse = 16 << 20 // bytes

// readAll reads and closes the body of a response.
func readAll(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxResponse))
}
