// Package doctor checks a live setup: configuration, keys, network, the app in
// Okta, its permissions, and the store. Each check has a finding, with a remedy
// if something must change.
//
// Only the command doctor uses it. Start reading at Run and Checks. The files:
// checker.go (common code), keys.go, network.go (from proxy to clock), probe.go (the
// connection), okta.go (the org), token.go (the app), scopes.go, api.go and role.go (its
// permissions), duration.go (the time of a read), store.go.
package doctor

import (
	"cmp"
	"context"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
)

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

// checkConfig loads the configuration.
func checkConfig(_ context.Context, x *checker) Finding {
	cfg, log, err := x.Load()
	if err != nil {
		return failed(org.InConfig, cmp.Or(x.Hint(err), "correct this error; `oktasync validate` checks the configuration without a network"), "%v", err)
	}
	x.cfg, x.log = cfg, log
	return ok("%s is valid: %s", cmp.Or(cfg.File, "the environment"), term.Plural(len(cfg.Exports), "export"))
}
