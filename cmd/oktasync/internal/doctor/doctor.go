// Package doctor checks a live setup: configuration, keys, network, the app in
// Okta, its permissions, and the store. Each check has a finding, with a remedy
// if something must change.
//
// Only the command doctor uses it. Start reading at Run and checklist.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth/keys"
	"oktasync/reconcile/snapshot"
)

// Options are the settings of a run of all checks.
type Options struct {
	// Load returns the configuration, and the log of its requests. It also
	// checks the files that only the daemon needs.
	Load  func() (*config.Config, *slog.Logger, error)
	Tool  snapshot.Tool
	Hint  func(error) string // returns the remedy for an error; "" if there is none
	Key   string             // a client key to check in place of okta.private_key_file; "" for none
	Users int                // how many users the Admin Console shows; 0 if unknown
}

// Run runs all checks in the order of checklist, and calls report with each
// finding. It returns an error only if ctx ends.
func Run(ctx context.Context, o Options, report func(Finding)) error {
	x := &checker{Options: o}
	defer x.close()
	causes := map[string]string{} // the failed check that skips a check, by id
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

// A Finding is what came of a check: the shape of `doctor --json`, described in
// docs/doctor.md.
type Finding struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Seen   string `json:"seen"`
	Where  string `json:"where"`  // the remedy is to be done; "" where there is none, or only to wait
	Remedy string `json:"remedy"` // "" where nothing is to be done
}

// The statuses of a finding.
const (
	OK      = "ok"
	Warning = "warning"
	Failed  = "failed"
	Skipped = "skipped"
)

// Where a remedy is to be done.
const (
	inConfig = "config"
	inOkta   = "okta"
	onHost   = "host"
)

// Places are the same for people.
var Places = map[string]string{
	inConfig: "in the configuration: ", inOkta: "in Okta's Admin Console: ", onHost: "on this host: ",
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

// skipped is for a check that another one's answer leaves nothing to.
func skipped(cause string) Finding {
	return Finding{Status: Skipped, Seen: "not checked: " + cause}
}

// A check is one line of doctor. It is skipped where one that it needs, itself or
// by others, has failed.
type check struct {
	id    string
	needs []string
	run   func(context.Context, *checker) Finding
}

// Checks is every check, in the order in which one thing needs the other.
// The ids are stable: scripts go by them.
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

// checker is what the checks have in common: what doctor was asked, and what
// the checks before have found.
type checker struct {
	Options

	cfg       *config.Config
	log       *slog.Logger
	clientKey *keys.Key
	dpopKey   *keys.Key // nil: one in memory
	base      *http.Transport

	probed     *probe // the first request; see meet
	token      *tokenResult
	firstUsers *userPage // the first page of users
	users      userCount
	signer     *snapshot.Signer // nil: none
}

// check runs a check, or says why not.
func (x *checker) check(ctx context.Context, c check, causes map[string]string) Finding {
	for _, need := range c.needs {
		if cause := causes[need]; cause != "" {
			causes[c.id] = cause
			f := skipped(cause + " has to be right first")
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

// checkConfig reads the configuration.
func checkConfig(_ context.Context, x *checker) Finding {
	cfg, log, err := x.Load()
	if err != nil {
		return failed(inConfig, cmp.Or(x.Hint(err), "correct it; `oktasync validate` looks at it without a network"), "%v", err)
	}
	x.cfg, x.log = cfg, log
	return ok("%s is valid: %s", cmp.Or(cfg.File, "the environment"), term.Plural(len(cfg.Exports), "export"))
}

func (x *checker) close() {
	if x.base != nil {
		x.base.CloseIdleConnections()
	}
}

// readAll reads an answer's body, and no more of it than an answer can have.
func readAll(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
}

const maxAnswer = 16 << 20
