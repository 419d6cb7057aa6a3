package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/oktaclient/sandbox"
)

// A misconfiguration is one thing that is wrong with the setup that `oktasync
// sandbox` serves, for doctor to find. docs/doctor.md lists them all.
type misconfiguration struct {
	name string
	org  func(*sandbox.Config) // may be nil
	site func(*mishap) error   // once the good one is written; may be nil
}

// misconfigurations are in doctor's order.
var misconfigurations = []misconfiguration{
	{"unknown-key-in-config", nil, func(m *mishap) error { return m.edit("store:\n", "stoer:\n") }},
	{"console-url", nil, func(m *mishap) error { return m.edit(m.server.URL, "https://acme-admin.okta.com") }},
	{"hook-missing", nil, func(m *mishap) error {
		return m.edit("listen: \"\"\n", "listen: \"\"\n  notify: [{url_file: hook.url}]\n")
	}},
	{"key-missing", nil, func(m *mishap) error { return m.edit("client-key.pem", "key.pem") }},
	{"key-open", nil, func(m *mishap) error { return os.Chmod(m.path("client-key.pem"), 0o644) }},
	{"key-group", nil, func(m *mishap) error { return os.Chmod(m.path("client-key.pem"), 0o640) }},
	{"key-ed25519", nil, (*mishap).edwardsKey},
	{"same-key-twice", nil, func(m *mishap) error {
		return m.edit("mode: required", "mode: required\n    private_key_file: client-key.pem")
	}},
	{"proxy-no-address", nil, func(m *mishap) error { return m.proxied("proxy.acme.example:port") }},
	{"proxy-down", nil, func(m *mishap) error { return m.unreachable(m.proxied) }},
	{"proxy-password", nil, func(m *mishap) error { return m.refusingProxy(http.StatusProxyAuthRequired) }},
	{"proxy-denies", nil, func(m *mishap) error { return m.refusingProxy(http.StatusForbidden) }},
	{"unknown-host", nil, func(m *mishap) error { return m.edit(m.server.URL, "https://acme..okta.com") }},
	{"nothing-listens", nil, func(m *mishap) error {
		return m.unreachable(func(address string) error {
			return m.edit(m.server.URL, strings.Replace(address, "http:", "https:", 1))
		})
	}},
	{"intercepting-proxy", func(c *sandbox.Config) { c.Certificate.Issuer = "Acme Web Gateway CA" }, func(m *mishap) error {
		return m.edit("  ca_file: ca.pem\n", "")
	}},
	{"wrong-certificate", func(c *sandbox.Config) { c.Certificate.Host = "portal.acme.example" }, nil},
	{"expired-certificate", func(c *sandbox.Config) { c.Certificate.Until = time.Now().AddDate(0, 0, -3) }, nil},
	{"no-tls", nil, (*mishap).withoutTLS},
	{"ca-file-empty", nil, func(m *mishap) error { return os.WriteFile(m.path("ca.pem"), nil, 0o600) }},
	{"clock-wrong", func(c *sandbox.Config) { c.ClockOffset = time.Hour }, nil},
	{"clock-slow", func(c *sandbox.Config) { c.ClockOffset = 3 * time.Minute }, nil},
	{"other-address", nil, func(m *mishap) error { return m.edit("//127.0.0.1:", "//localhost:") }},
	{"not-okta", nil, func(m *mishap) error { return m.fault("path=/,html,status=404,forever") }},
	{"okta-down", nil, func(m *mishap) error { return m.fault("path=token,status=503,forever") }},
	{"blocked-zone", nil, func(m *mishap) error { return m.fault("path=/,html,status=403,forever") }},
	{"outside-zone", nil, func(m *mishap) error { return m.fault("path=token,status=403,code=access_denied,forever") }},
	{"outside-zone-api", nil, func(m *mishap) error { return m.fault("status=403,code=access_denied,forever") }},
	{"unknown-client", nil, func(m *mishap) error { return m.edit(sandboxClientID, "0oa1sandboxapp000002") }},
	{"unknown-key", nil, func(m *mishap) error { return m.app(func(app *sandbox.ClientApp) { app.Keys = otherKeys() }) }},
	{"kid-missing", nil, func(m *mishap) error {
		return m.app(func(app *sandbox.ClientApp) {
			app.Keys = append(app.Keys, otherKeys()...)
		})
	}},
	{"kid-wrong", nil, func(m *mishap) error { return m.edit("  ca_file:", "  private_key_id: key-2\n  ca_file:") }},
	{"dpop-not-required", nil, func(m *mishap) error { return m.app(func(app *sandbox.ClientApp) { app.RequireDPoP = false }) }},
	{"dpop-off-here", nil, func(m *mishap) error { return m.edit("mode: required", "mode: off") }},
	{"dpop-off", nil, func(m *mishap) error {
		return errors.Join(m.edit("mode: required", "mode: off"), m.app(func(app *sandbox.ClientApp) { app.RequireDPoP = false }))
	}},
	{"nonce-lost", nil, func(m *mishap) error { return m.fault("path=token,no-nonce,forever") }},
	{"no-scope", nil, func(m *mishap) error { return m.app(func(app *sandbox.ClientApp) { app.Scopes = nil }) }},
	{"scope-not-granted", nil, func(m *mishap) error {
		return m.edit("  ca_file:", "  scopes: [okta.users.read, okta.groups.read]\n  ca_file:")
	}},
	{"too-many-scopes", nil, func(m *mishap) error {
		return m.app(func(app *sandbox.ClientApp) { app.Scopes = append(app.Scopes, "okta.users.manage", "okta.apps.read") })
	}},
	{"api-down", nil, func(m *mishap) error { return m.fault("status=503,forever") }},
	{"limit-used-up", nil, func(m *mishap) error { return m.othersTake(1_000_000) }},
	{"limit-shared", nil, func(m *mishap) error { return m.othersTake(560) }},
	{"no-role", nil, func(m *mishap) error { return m.role(sandbox.RoleNone) }},
	{"role-forbidden", nil, func(m *mishap) error { return m.role(sandbox.RoleForbidden) }},
	{"role-limited", nil, (*mishap).limitedRole},
	{"limit-low", func(c *sandbox.Config) { c.RateLimit = sandbox.Limits(10) }, func(m *mishap) error {
		return m.edit("@daily\"\n", "@daily\"\n    timeout: 30s\n")
	}},
	{"store-on-a-file", nil, func(m *mishap) error { return m.edit("path: snapshots", "path: ca.pem/snapshots") }},
	{"store-of-another-org", nil, func(m *mishap) error {
		return m.write("snapshots/oktasync.json", `{"format":"oktasync.store/1","org":{"url":"https://other.okta.com"},"store_id":"00"}`+"\n")
	}},
	{"store-among-files", nil, func(m *mishap) error { return m.write("snapshots/notes.txt", "") }},
	{"no-such-group", nil, func(m *mishap) error { return m.storeSetting("group: nosuchgroup") }},
	{"too-little-space", nil, func(m *mishap) error {
		return m.edit("@daily\"\n", "@daily\"\n    retain: {last: 2000000000}\n")
	}},
	{"signing-key-missing", nil, func(m *mishap) error { return m.storeSetting("signing_key_file: signing-key") }},
	{"signing-key-open", nil, func(m *mishap) error {
		return errors.Join(m.signingKey("signing-key"), os.Chmod(m.path("signing-key"), 0o640))
	}},
	{"signing-key-in-store", nil, func(m *mishap) error {
		return errors.Join(os.Mkdir(m.path("snapshots"), 0o700), m.signingKey("snapshots/.signing-key"))
	}},
	{"signer-not-allowed", nil, (*mishap).otherSigner},
}

// misconfigurationNames are for --help and for near misses.
func misconfigurationNames() []string {
	names := make([]string, len(misconfigurations))
	for i, m := range misconfigurations {
		names[i] = m.name
	}
	return names
}

func findMisconfiguration(name string) (misconfiguration, error) {
	names := misconfigurationNames()
	at := slices.Index(names, name)
	if at < 0 {
		return misconfiguration{}, fmt.Errorf("--misconfigured %s: no such state; %s", term.Word(name), term.Suggestion(name, names))
	}
	return misconfigurations[at], nil
}

// newMisconfiguredSite is newSandboxSite with what is named going wrong; "":
// nothing.
func newMisconfiguredSite(ctx context.Context, dir, listen string, cfg sandbox.Config, dpop bool, name string) (*sandboxSite, error) {
	if name == "" {
		return newSandboxSite(dir, listen, cfg, dpop)
	}
	wrong, err := findMisconfiguration(name)
	if err != nil {
		return nil, err
	}
	if dir, err = freshDir(dir, name); err != nil {
		return nil, err
	}
	if wrong.org != nil {
		wrong.org(&cfg)
	}
	site, err := newSandboxSite(dir, listen, cfg, dpop)
	if err != nil {
		return nil, err
	}
	if wrong.site != nil {
		if err := wrong.site(&mishap{site, func(args ...string) int { return run(ctx, args, io.Discard, io.Discard) }}); err != nil {
			return nil, errors.Join(fmt.Errorf("--misconfigured %s: %w", name, err), site.close())
		}
	}
	return site, nil
}
