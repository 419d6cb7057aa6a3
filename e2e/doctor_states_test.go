package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth/keys"
	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile/snapshot/sign"
)

// misconfiguration is a site with one fault, and the finding of doctor.
type misconfiguration struct {
	org    func(*sandbox.Config)
	change func(*badSite) // after the good files are written
	want   diagnosis
}

// diagnosis is the one finding that isn't ok: parts of its texts.
type diagnosis struct{ status, id, seen, where, remedy string }

var misconfigurations = map[string]misconfiguration{
	"unknown-key-in-config": {nil, func(s *badSite) { s.edit("store:\n", "stoer:\n") },
		diagnosis{"failed", "config", "unknown key stoer; did you mean store?", "config", "`oktasync validate`"}},
	"console-url": {nil, func(s *badSite) { s.edit(s.server.URL, "https://acme-admin.okta.com") },
		diagnosis{"failed", "config", "okta.org_url: is the Admin Console; did you mean https://acme.okta.com?", "config", "correct this error"}},
	"hook-missing": {nil, func(s *badSite) { s.edit("listen: \"\"\n", "listen: \"\"\n  notify: [{url_file: hook.url}]\n") },
		diagnosis{"failed", "config", "hook.url", "config", "`oktasync validate`"}},
	"key-missing": {nil, func(s *badSite) { s.edit("client-key.pem", "key.pem") },
		diagnosis{"failed", "client_key", "there is no ", "config", "okta.private_key_file"}},
	"key-open": {nil, func(s *badSite) { s.chmod("client-key.pem", 0o644) },
		diagnosis{"failed", "client_key", "other users have access to ", "host", "chmod 600 "}},
	"key-group": {nil, func(s *badSite) { s.chmod("client-key.pem", 0o640) },
		diagnosis{"warning", "client_key", "the group has access to it", "host", "chmod 600 "}},
	"key-ed25519": {nil, (*badSite).useEd25519Key,
		diagnosis{"failed", "client_key", "EdDSA", "config", "P-256 or RSA private key"}},
	"same-key-twice": {nil, func(s *badSite) { s.edit("mode: required", "mode: required\n    private_key_file: client-key.pem") },
		diagnosis{"failed", "dpop_key", "is the client key", "config", "okta.dpop.private_key_file"}},
	"proxy-no-address": {nil, func(s *badSite) { s.useProxy("proxy.acme.example:port") },
		diagnosis{"failed", "proxy", "HTTPS_PROXY is not the URL of a proxy", "host", "set HTTPS_PROXY"}},
	"proxy-down": {nil, func(s *badSite) { s.useProxy(s.closedAddress()) },
		diagnosis{"failed", "proxy", "can't be reached: connection refused", "host", "correct HTTPS_PROXY"}},
	"proxy-password": {nil, func(s *badSite) { s.useRefusingProxy(http.StatusProxyAuthRequired) },
		diagnosis{"failed", "proxy", "status 407", "host", "password for the proxy to HTTPS_PROXY"}},
	"proxy-denies": {nil, func(s *badSite) { s.useRefusingProxy(http.StatusForbidden) },
		diagnosis{"failed", "proxy", "refuses to connect to acme.okta.example: status 403", "host", "administrator of the proxy"}},
	"unknown-host": {nil, func(s *badSite) { s.edit(s.server.URL, "https://acme..okta.com") },
		diagnosis{"failed", "dns", "there is no host acme..okta.com", "config", "okta.org_url"}},
	"nothing-listens": {nil, func(s *badSite) { s.edit(s.server.URL, strings.Replace(s.closedAddress(), "http:", "https:", 1)) },
		diagnosis{"failed", "tcp", "connection refused", "host", "firewall"}},
	"intercepting-proxy": {func(c *sandbox.Config) { c.Certificate.Issuer = "Acme Web Gateway CA" },
		func(s *badSite) { s.edit("  ca_file: ca.pem\n", "") },
		diagnosis{"failed", "tls", `from "Acme Web Gateway CA"`, "config", "okta.ca_file"}},
	"wrong-certificate": {func(c *sandbox.Config) { c.Certificate.Host = "portal.acme.example" }, nil,
		diagnosis{"failed", "tls", "is for portal.acme.example, ", "config", "okta.org_url"}},
	"expired-certificate": {func(c *sandbox.Config) { c.Certificate.Until = time.Now().AddDate(0, 0, -3) }, nil,
		diagnosis{"failed", "tls", "expired", "host", "check this machine's clock"}},
	"no-tls": {nil, (*badSite).serveWithoutTLS,
		diagnosis{"failed", "tls", "doesn't use TLS", "config", "port in okta.org_url"}},
	"ca-file-empty": {nil, func(s *badSite) { s.write("ca.pem", "") },
		diagnosis{"failed", "tls", "contains no PEM certificate", "config", "okta.ca_file"}},
	"clock-wrong": {func(c *sandbox.Config) { c.ClockOffset = time.Hour }, nil,
		diagnosis{"failed", "clock", "behind the org's", "host", "timedatectl"}},
	"clock-slow": {func(c *sandbox.Config) { c.ClockOffset = 3 * time.Minute }, nil,
		diagnosis{"warning", "clock", "behind the org's", "host", "timedatectl"}},
	"other-address": {nil, func(s *badSite) { s.edit("//127.0.0.1:", "//localhost:") },
		diagnosis{"failed", "org", "the org's address is https://127.0.0.1:", "config", "set okta.org_url to https://127.0.0.1:"}},
	"not-okta": {nil, func(s *badSite) { s.fault("path=/,html,status=404,forever") },
		diagnosis{"failed", "org", "is not an Okta org", "config", "okta.org_url"}},
	"okta-down": {nil, func(s *badSite) { s.fault("path=token,status=503,forever") },
		diagnosis{"failed", "token_endpoint", "503", "", "status.okta.com"}},
	"blocked-zone": {nil, func(s *badSite) { s.fault("path=/,html,status=403,forever") },
		diagnosis{"failed", "network_zone", "answers every request from this address with 403", "okta", "Security > Networks"}},
	"outside-zone": {nil, func(s *badSite) { s.fault("path=token,status=403,code=access_denied,forever") },
		diagnosis{"failed", "network_zone", "the token endpoint rejects this address", "okta", "network zone of the app"}},
	"outside-zone-api": {nil, func(s *badSite) { s.fault("status=403,code=access_denied,forever") },
		diagnosis{"failed", "network_zone", "the API rejects this address", "okta", "network zone of the app"}},
	"unknown-client": {nil, func(s *badSite) { s.edit(clientID, "0oa1sandboxapp000002") },
		diagnosis{"failed", "client_id", "the org has no app 0oa1sandboxapp000002", "config", "okta.client_id"}},
	"unknown-key": {nil, func(s *badSite) { s.app(func(a *sandbox.ClientApp) { a.Keys = []sandbox.PublicKey{s.otherKey()} }) },
		diagnosis{"failed", "key_known", "does not have the key with thumbprint", "okta", "oktasync validate --public-jwk"}},
	"kid-missing": {nil, func(s *badSite) { s.app(func(a *sandbox.ClientApp) { a.Keys = append(a.Keys, s.otherKey()) }) },
		diagnosis{"failed", "key_known", "the app has several keys, so each client assertion needs the kid of its key, and okta.private_key_id isn't set", "config", "set okta.private_key_id to "}},
	"kid-wrong": {nil, func(s *badSite) { s.edit("  ca_file:", "  private_key_id: key-2\n  ca_file:") },
		diagnosis{"failed", "key_known", "not with kid key-2", "config", "correct okta.private_key_id"}},
	"dpop-not-required": {nil, func(s *badSite) { s.app(func(a *sandbox.ClientApp) { a.RequireDPoP = false }) },
		diagnosis{"failed", "dpop", "required here, but not in the app", "okta", "Proof of possession"}},
	"dpop-off-here": {nil, func(s *badSite) { s.edit("mode: required", "mode: off") },
		diagnosis{"failed", "dpop", "required in the app, but off here", "config", "set okta.dpop.mode to required"}},
	"dpop-off": {nil, func(s *badSite) {
		s.edit("mode: required", "mode: off")
		s.app(func(a *sandbox.ClientApp) { a.RequireDPoP = false })
	}, diagnosis{"warning", "dpop", "off here and in the app", "okta", "Proof of possession"}},
	"nonce-lost": {nil, func(s *badSite) { s.fault("path=token,no-nonce,forever") },
		diagnosis{"failed", "nonce", "requires a nonce", "host", "DPoP-Nonce"}},
	"no-scope": {nil, func(s *badSite) { s.app(func(a *sandbox.ClientApp) { a.Scopes = nil }) },
		diagnosis{"failed", "scopes", "no requested scope is granted: okta.users.read; reading users needs the scope okta.users.read and the admin role Read-only Administrator", "okta", "grant okta.users.read"}},
	"scope-not-granted": {nil, func(s *badSite) { s.edit("  ca_file:", "  scopes: [okta.users.read, okta.groups.read]\n  ca_file:") },
		diagnosis{"failed", "scopes", "requested, but not granted: okta.groups.read", "config", "remove okta.groups.read from okta.scopes"}},
	"too-many-scopes": {nil, func(s *badSite) {
		s.app(func(a *sandbox.ClientApp) {
			a.Scopes = append(a.Scopes, "okta.users.manage", "okta.apps.read", "okta.apiTokens.manage")
		})
	}, diagnosis{"warning", "extra_scopes", "not needed: okta.apiTokens.manage okta.apps.read okta.users.manage", "okta", "revoke them"}},
	"api-down": {nil, func(s *badSite) { s.fault("status=503,forever") },
		diagnosis{"failed", "api", "503 E0000100", "", "status.okta.com"}},
	"limit-used-up": {nil, func(s *badSite) { s.useLimit(1_000_000) },
		diagnosis{"failed", "rate_limit", " are left until ", "okta", "Reports > Rate limits"}},
	"limit-shared": {nil, func(s *badSite) { s.useLimit(560) },
		diagnosis{"warning", "rate_limit", "only 39 of 300 requests per minute to /api/v1/users are left until ", "okta", "Reports > Rate limits"}},
	"no-role": {nil, func(s *badSite) { s.role(sandbox.RoleNone) },
		diagnosis{"failed", "role", "status 200 and an empty list", "okta", "Read-only Administrator"}},
	"role-forbidden": {nil, func(s *badSite) { s.role(sandbox.RoleForbidden) },
		diagnosis{"failed", "role", "the app has no admin role for users: okta: 403 E0000006", "okta", "Read-only Administrator"}},
	"role-limited": {nil, func(s *badSite) {
		s.must(s.T, 0, "apply") // a snapshot with all users
		s.role(sandbox.RoleGroup("Engineering"))
	}, diagnosis{"failed", "role", "the app's role is limited", "okta", "Read-only Administrator to the app, not limited"}},
	"role-half": {nil, func(s *badSite) {
		s.edit("@daily\"\n", "@daily\"\n    users: {}\n    groups: {}\n    group_members: {}\n")
		s.app(func(a *sandbox.ClientApp) { a.Role, a.Scopes = sandbox.RoleHalf, usersAndGroups })
		s.must(s.T, 0, "apply")
	}, diagnosis{"warning", "role", "Okta counts other members than the app sees", "okta", "Read-only Administrator to the app, not limited"}},
	"limit-low": {func(c *sandbox.Config) { c.RateLimit = sandbox.Limits(10) },
		func(s *badSite) { s.edit("@daily\"\n", "@daily\"\n    timeout: 30s\n") },
		diagnosis{"failed", "reading", "the timeout of all-users allows 30s\nall-users: up to 2m for ", "config", "set the timeout of all-users to 4m"}},
	"schedule-short": {func(c *sandbox.Config) { c.RateLimit, c.Users = sandbox.Limits(10), 2000 },
		func(s *badSite) { s.edit("@daily\"\n", "@every 1m\"\n    retain: {last: 1}\n") },
		diagnosis{"failed", "reading", "the schedule of all-users allows 1m\nall-users: up to ", "config", "set the schedule of all-users to "}},
	"scope-of-groups": {nil, func(s *badSite) {
		s.edit("@daily\"\n", "@daily\"\n    groups: {}\n    group_members: {}\n")
		s.app(func(a *sandbox.ClientApp) { a.Scopes = append(a.Scopes, "okta.apps.read") })
	}, diagnosis{"failed", "scopes", "reading groups and group_members needs the scope okta.groups.read and the admin role Read-only Administrator", "okta", "grant okta.groups.read"}},
	"scope-of-api-tokens": {nil, func(s *badSite) {
		s.edit("@daily\"\n", "@daily\"\n    users: {}\n    api_tokens: {}\n")
		s.app(func(a *sandbox.ClientApp) { a.Permissions = []string{"okta.users.apitokens.read"} })
	}, diagnosis{"failed", "scopes", "not granted: okta.apiTokens.read; reading api_tokens needs the scope okta.apiTokens.read and a custom role with okta.users.apitokens.read", "okta", "grant okta.apiTokens.read"}},
	"role-of-api-tokens": {nil, func(s *badSite) {
		s.edit("@daily\"\n", "@daily\"\n    users: {}\n    api_tokens: {}\n")
		s.app(func(a *sandbox.ClientApp) { a.Scopes = append(a.Scopes, "okta.apiTokens.read") })
	}, diagnosis{"failed", "role", " users; the app has no admin role for api_tokens: okta: 403 E0000006", "okta", "create a custom role with the permission okta.users.apitokens.read"}},
	"scope-of-role-assignments": {nil, func(s *badSite) {
		s.edit("@daily\"\n", "@daily\"\n    users: {}\n    role_assignments: {}\n")
		s.app(func(a *sandbox.ClientApp) {
			a.Scopes, a.Permissions = []string{"okta.users.read", "okta.groups.read", "okta.roles.read"}, []string{"okta.iam.read"}
		})
	}, diagnosis{"failed", "scopes", "not granted: okta.apps.read; reading role_assignments needs the scopes okta.roles.read, okta.users.read, okta.groups.read and okta.apps.read and a custom role with okta.iam.read", "okta", "grant okta.apps.read (the app > Okta API Scopes)"}},
	"role-of-role-assignments": {nil, func(s *badSite) {
		s.edit("@daily\"\n", "@daily\"\n    users: {}\n    role_assignments: {}\n")
		s.app(func(a *sandbox.ClientApp) {
			a.Scopes = []string{"okta.users.read", "okta.groups.read", "okta.apps.read", "okta.roles.read"}
		})
	}, diagnosis{"failed", "role", " users; the app has no admin role for role_assignments: okta: 403 E0000006", "okta", "create a custom role with the permission okta.iam.read, and a resource set of all Identity and Access Management resources"}},
	"roles-of-administrators": {nil, func(s *badSite) {
		s.edit("@daily\"\n", "@daily\"\n    users: {}\n    api_tokens: {}\n    role_assignments: {}\n")
		s.app(func(a *sandbox.ClientApp) {
			a.Scopes = []string{"okta.users.read", "okta.groups.read", "okta.apps.read", "okta.roles.read", "okta.apiTokens.read"}
		})
	}, diagnosis{"failed", "role", " users; the app has no admin role for api_tokens and role_assignments: okta: 403 E0000006", "okta",
		"create a custom role with the permissions okta.users.apitokens.read and okta.iam.read, and a resource set of all users and all Identity and Access Management resources"}},
	"role-of-factors": {nil, func(s *badSite) {
		s.edit("@daily\"\n", "@daily\"\n    users: {}\n    factors: {}\n")
		s.fault("path=/api/v1/users/{id}/factors,status=403,code=E0000006,forever")
	}, diagnosis{"failed", "role", "the app has no admin role for factors: okta: 403 E0000006", "okta", "Read-only Administrator"}},
	"timeout-of-factors": {func(c *sandbox.Config) { c.RateLimit, c.Users = sandbox.Limits(100), 2000 },
		func(s *badSite) { s.edit("@daily\"\n", "@daily\"\n    timeout: 10m\n    users: {}\n    factors: {}\n") },
		diagnosis{"failed", "reading", "the timeout of all-users allows 10m\nall-users: up to ", "config", "set the timeout of all-users to "}},
	"store-on-a-file": {nil, func(s *badSite) { s.edit("path: snapshots", "path: ca.pem/snapshots") },
		diagnosis{"failed", "store", "not a directory", "config", "store.path"}},
	"store-of-another-org": {nil, func(s *badSite) {
		s.write("snapshots/oktasync.json", `{"format":"oktasync.store/2","org":{"url":"https://other.okta.com"},"store_id":"00"}`+"\n")
	}, diagnosis{"failed", "store", "belongs to https://other.okta.com, not to https://127.0.0.1:", "config", "another store.path"}},
	"store-among-files": {nil, func(s *badSite) { s.write("snapshots/notes.txt", "") },
		diagnosis{"failed", "store", "no store, but other files (notes.txt)", "config", "store.path"}},
	"no-such-group": {nil, func(s *badSite) { s.storeSetting("group: nosuchgroup") },
		diagnosis{"failed", "store", "there is no group nosuchgroup", "config", "store.group"}},
	"too-little-space": {nil, func(s *badSite) { s.edit("@daily\"\n", "@daily\"\n    retain: {last: 2000000000}\n") },
		diagnosis{"warning", "space", "for what retain keeps", "config", "keep fewer snapshots with retain"}},
	"signing-key-missing": {nil, func(s *badSite) { s.storeSetting("signing_key_file: signing-key") },
		diagnosis{"failed", "signing_key", "there is no ", "config", "store.signing_key_file"}},
	"signing-key-open": {nil, func(s *badSite) {
		s.signingKey("signing-key")
		s.chmod("signing-key", 0o640)
	}, diagnosis{"failed", "signing_key", "mode 0640", "host", "chmod 600 "}},
	"signing-key-in-store": {nil, func(s *badSite) {
		check(s, os.Mkdir(s.path("snapshots"), 0o700))
		s.signingKey("snapshots/.signing-key")
	}, diagnosis{"failed", "signing_key", "is in the store", "config", "move the key out of the store"}},
	"signer-not-allowed": {nil, func(s *badSite) {
		other, err := sign.NewKey(s.path("other-key"))
		check(s, err)
		s.write("allowed_signers", other.AllowedSigner("archive@acme.example")+"\n")
		s.signingKey("signing-key")
		s.storeSetting("allowed_signers_file: allowed_signers")
	}, diagnosis{"failed", "allowed_signers", "by a key that is not among the allowed signers", "host", "ask the auditor to add a line"}},
}

// badSite is a site that a misconfiguration changes.
type badSite struct {
	*site
	*testing.T
	proxy string // HTTPS_PROXY of doctor
}

func newBadSite(t *testing.T, m misconfiguration) *badSite {
	t.Helper()
	cfg := sandbox.Config{Users: 300, Seed: 1, RateLimit: sandbox.WorkforceLimits()}
	if m.org != nil {
		m.org(&cfg)
	}
	s := &badSite{site: newSite(t, cfg), T: t}
	s.write("oktasync.yaml", fmt.Sprintf(`okta:
  org_url: %s
  client_id: %s
  private_key_file: client-key.pem
  ca_file: ca.pem
  dpop:
    mode: required
store:
  path: snapshots
exports:
  - name: all-users
    schedule: "@daily"
daemon:
  listen: ""
`, s.server.URL, clientID))
	s.app(func(*sandbox.ClientApp) {})
	if m.change != nil {
		m.change(s)
	}
	return s
}

func (s *badSite) write(name, text string) {
	s.Helper()
	check(s, os.MkdirAll(filepath.Dir(s.path(name)), 0o700))
	write(s, s.path(name), text)
}

func (s *badSite) chmod(name string, mode os.FileMode) { check(s, os.Chmod(s.path(name), mode)) }

// edit replaces a part of the configuration.
func (s *badSite) edit(old, new string) {
	s.Helper()
	data := read(s, s.path("oktasync.yaml"))
	text := strings.Replace(data, old, new, 1)
	if text == data {
		s.Fatalf("the configuration has no %q", old)
	}
	s.write("oktasync.yaml", text)
}

func (s *badSite) storeSetting(line string) {
	s.edit("path: snapshots\n", "path: snapshots\n  "+line+"\n")
}

func (s *badSite) signingKey(name string) {
	_, err := sign.NewKey(s.path(name))
	check(s, err)
	s.storeSetting("signing_key_file: " + name)
}

func (s *badSite) fault(text string) {
	f, err := sandbox.ParseFault(text)
	check(s, err)
	s.org.Inject(f)
}

// app registers the app with a change.
func (s *badSite) app(change func(*sandbox.ClientApp)) { check(s, s.register(change)) }

// register replaces the app of the org.
func (s *site) register(change func(*sandbox.ClientApp)) error {
	key, err := keys.Load(s.path("client-key.pem"))
	if err != nil {
		return err
	}
	app := sandbox.ClientApp{ID: clientID, RequireDPoP: true, Scopes: []string{"okta.users.read"},
		Keys: []sandbox.PublicKey{{KID: key.Thumbprint(), Key: key.Public()}}}
	change(&app)
	s.org.Register(app)
	return nil
}

func (s *badSite) role(role string) { s.app(func(a *sandbox.ClientApp) { a.Role = role }) }

func (s *badSite) otherKey() sandbox.PublicKey {
	key, err := keys.Generate()
	check(s, err)
	return sandbox.PublicKey{KID: "another", Key: key.Public()}
}

// useLimit lets other clients make n requests in the window of doctor's first one.
func (s *badSite) useLimit(n int) {
	s.org.OnRequest(func(number int, _ *http.Request) {
		if number == 1 {
			s.org.TakeRateLimit("/api/v1/users", n)
		}
	})
}

func (s *badSite) useEd25519Key() {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	check(s, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	check(s, err)
	s.write("ed25519.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	s.edit("client-key.pem", "ed25519.pem")
}

// useProxy moves the org to an address that needs a proxy; a loopback address
// never does.
func (s *badSite) useProxy(address string) {
	s.proxy = address
	s.edit(s.server.URL, "https://acme.okta.example")
}

// closedAddress returns the URL of a port that nothing listens on.
func (s *badSite) closedAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(s, err)
	check(s, l.Close())
	return "http://" + l.Addr().String()
}

func (s *badSite) useRefusingProxy(status int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(s, err)
	proxy := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
	})}
	go proxy.Serve(l)
	s.Cleanup(func() { proxy.Close() })
	s.useProxy("http://" + l.Addr().String())
}

func (s *badSite) serveWithoutTLS() {
	plain, err := sandbox.NewPlainServer(s.org, "127.0.0.1:0")
	check(s, err)
	s.Cleanup(func() { plain.Close() })
	s.edit(s.server.URL, strings.Replace(plain.URL, "http:", "https:", 1))
}
