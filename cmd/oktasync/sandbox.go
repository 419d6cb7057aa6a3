package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth/keys"
	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
)

const sandboxClientID = "0oa1sandboxapp000001"

var (
	sandboxScopes      = []string{config.UsersScope, "okta.groups.read", "okta.apps.read", "okta.apiTokens.read", "okta.roles.read"}
	sandboxPermissions = []string{"okta.users.apitokens.read", "okta.iam.read"}
)

const sandboxLong = `Serves an Okta org of made-up people over TLS until a signal stops it. It has a
token endpoint, and an API for all resources. Both are as strict as Okta's. It writes
a matching configuration, client key and CA certificate to the folder --dir. The next
start writes the configuration again, so copy it before you edit it.

POST requests to paths below /sandbox/ change the org:

  join, move, touch, suspend, deactivate, reactivate, delete
                                         change ?n= people; touch: they sign in
  wipe, restore                          hide all objects, show them again
  add-key?client=                        add the public JWK in the body to the app
  remove-key?client=&kid=                remove a key of the app
  add-group?name=                        create a group
  add-app?label=                         create an app
  add-rule?name=&group=                  create an inactive group rule
  delete-group, delete-app, delete-rule?id=
                                         delete one
  activate-app, deactivate-app, activate-rule, deactivate-rule?id=
                                         change the status of one
  set-group, set-app, set-rule?id=&path= set an attribute to the JSON value in the body
  put-group, put-app                     add or replace the object in the body
  add-member, remove-member?group=&user= change the members of a group
  assign-user, unassign-user?app=&user=  change the users of an app
  assign-group, unassign-group?app=&group=
                                         change the groups of an app
  grant-role, revoke-role?user=&type=    change the admin roles of a user; with group= or
                                         client=, of a group or a service app
  set-role-targets?user=&type=&target=GROUP:00g…
                                         limit a role to groups, or to apps with
                                         target=APP:0oa…

--fault makes requests fail. These keys select the requests:

  path=PREFIX                  a prefix of the URL's path, such as
                               /api/v1/groups/{id}/users, or token for the token
                               endpoint; the default is the API
  nth=N                        the Nth request; the default is the first
  every=N, forever             also every Nth request after that one, or all after it

These keys select the failure:

  status=N, code=CODE          an error with this status, and this code of Okta
  retry-after=DURATION         with status=429: when the limit resets
  busy                         the 429 for too many concurrent requests
  html                         a page of a proxy
  redirect=URL                 a redirect
  next=DEFECT                  a wrong next link: loop (to its own page), other-host, or
                               empty (from the last page to an empty one)
  next=short                   pages have fewer objects than the limit
  broken-json                  the body ends within a value
  cut=N                        the connection breaks after N bytes of the body
  stall, stall=DURATION        no response, or a delay; after cut=N bytes if it is set
  reset, lose                  the connection breaks before or after the org serves the
                               request
  revoke-token, rotate-nonce   the token, or each nonce, becomes invalid before the org
                               serves the request
  no-nonce                     the response has no DPoP-Nonce
  bearer                       the token has the type Bearer`

func (a *app) sandboxCommand() *cobra.Command {
	var (
		dir, listen string
		cfg         = sandbox.Config{Control: true, CachePages: true}
		limit       int
		app         sandbox.ClientApp
		noDPoP      bool
		faults      []string
	)
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve a sandbox org for tests of a configuration",
		Long:  sandboxLong,
		Example: `  oktasync sandbox --users 5000 --dir ./sandbox
  oktasync sandbox --fault nth=3,status=500 --fault every=10,reset
  oktasync plan --config ./sandbox/oktasync.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return fmt.Errorf("--rate-limit %d: must not be negative", limit)
			}
			app.RequireDPoP = !noDPoP
			if limit > 0 {
				cfg.RateLimit = sandbox.Limits(limit)
			}
			return a.serveSandbox(cmd.Context(), dir, listen, cfg, app, faults)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "sandbox", "folder `DIR` for configuration, key and CA certificate")
	f.StringVar(&listen, "listen", "127.0.0.1:8443", "loopback `ADDRESS` to listen on; port 0 picks a free port")
	f.IntVar(&cfg.Users, "users", 1000, "the number of people at the start")
	f.IntVar(&cfg.Deprovisioned, "deprovisioned", 0, "the number of deprovisioned people (default 5 %)")
	f.IntVar(&cfg.Groups, "groups", 0, "the number of groups at the start (default 13, which is the minimum)")
	f.IntVar(&cfg.Memberships, "memberships", 0, "the number of memberships at the start, without those of the group \"Everyone\" (default a few per group)")
	f.IntVar(&cfg.Apps, "apps", 0, "the number of apps at the start (default 12)")
	f.IntVar(&cfg.Assignments, "assignments", 0, "the number of assignments of people to apps at the start (default a few per app)")
	f.Int64Var(&cfg.Seed, "seed", 1, "seed of the people: the same seed creates the same people")
	f.DurationVar(&cfg.Latency, "latency", 0, "delay of each response")
	f.DurationVar(&cfg.TokenLife, "token-life", time.Hour, "lifetime of a token")
	f.DurationVar(&cfg.ClockOffset, "clock-offset", 0, "the org's clock minus this machine's clock")
	f.DurationVar(&cfg.IndexLag, "index-lag", 0, "time until lists show a change")
	f.DurationVar(&cfg.MemberLag, "member-lag", 0, "longest time until the members of a group show a change (Okta: 3s)")
	f.DurationVar(&cfg.StampLag, "stamp-lag", 0, "longest time until lastMembershipUpdated of a group shows a change (Okta: 10s)")
	f.IntVar(&cfg.NonceEvery, "nonce-every", 0, "replace the nonce of the token endpoint after this many uses")
	f.IntVar(&cfg.APINonceEvery, "api-nonce-every", 0, "require nonces at the API, and replace each after this many uses")
	f.IntVar(&limit, "rate-limit", 0, "requests per minute and bucket (default Okta's workforce limits)")
	f.StringArrayVar(&faults, "fault", nil, "make requests fail as `FAULT` describes, such as nth=3,status=500; can be repeated")
	f.StringSliceVar(&app.Scopes, "scopes", sandboxScopes, "`SCOPES` that are granted to the app")
	f.StringSliceVar(&app.Permissions, "permissions", sandboxPermissions, "`PERMISSIONS` of the app's custom role")
	f.BoolVar(&noDPoP, "no-dpop", false, "the app does not require DPoP")
	return cmd
}

func (a *app) serveSandbox(ctx context.Context, dir, listen string, cfg sandbox.Config, app sandbox.ClientApp, faults []string) error {
	if host, _, err := net.SplitHostPort(listen); err != nil || !oktaclient.IsLoopback(host) {
		return fmt.Errorf("--listen %s: must be a loopback address such as 127.0.0.1:8443: any client can change the sandbox", term.Word(listen))
	}
	if problem := config.ListenProblem(listen, false); problem != "" {
		return fmt.Errorf("--listen: %s", problem)
	}
	if cfg.Groups < 0 || cfg.Memberships < 0 || cfg.Apps < 0 || cfg.Assignments < 0 {
		return fmt.Errorf("--groups %d --memberships %d --apps %d --assignments %d: must not be negative", cfg.Groups, cfg.Memberships, cfg.Apps, cfg.Assignments)
	}
	if cfg.Users < 0 || cfg.Deprovisioned > cfg.Users {
		return fmt.Errorf("--users %d --deprovisioned %d: --users must not be negative, and --deprovisioned must be at most --users", cfg.Users, cfg.Deprovisioned)
	}
	site, err := newSandboxSite(dir, listen, cfg, app)
	if err != nil {
		return err
	}
	defer site.close()
	for _, text := range faults {
		fault, err := sandbox.ParseFault(text)
		if err != nil {
			return fmt.Errorf("--%w", err)
		}
		site.org.Inject(fault)
	}
	fmt.Fprintf(a.stdout, "sandbox org of %d people at %s\n", cfg.Users, site.server.URL)
	fmt.Fprintf(a.stdout, "try it:  %s\n", "oktasync plan --config "+term.ShellWord(site.config))
	fmt.Fprintf(a.stdout, "change:  curl --cacert %s -X POST '%s/sandbox/join?n=2'\n", term.ShellWord(filepath.Join(site.dir, "ca.pem")), site.server.URL)
	<-ctx.Done()
	return nil
}

// sandboxSite is a running sandbox org, and the folder with the configuration,
// key and CA certificate of its client.
type sandboxSite struct {
	org    *sandbox.Org
	server *sandbox.Server
	key    *keys.Key
	dir    string
	config string // the configuration file
}

// newSandboxSite serves an org with app. It sets the app's ID and key.
func newSandboxSite(dir, listen string, cfg sandbox.Config, app sandbox.ClientApp) (*sandboxSite, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	key, err := sandboxKey(filepath.Join(dir, "client-key.pem"))
	if err != nil {
		return nil, err
	}
	app.ID, app.Keys = sandboxClientID, []sandbox.PublicKey{{KID: key.Thumbprint(), Key: key.Public()}}
	cfg.Clients = []sandbox.ClientApp{app}
	site := &sandboxSite{org: sandbox.NewOrg(cfg), key: key, dir: dir, config: filepath.Join(dir, config.DefaultFile)}
	if site.server, err = sandbox.NewServer(site.org, listen); errors.Is(err, syscall.EADDRINUSE) {
		return nil, config.WithHint(fmt.Errorf("--listen %s: the port is in use", listen), "port 0 picks a free port: --listen 127.0.0.1:0")
	}
	if err != nil {
		return nil, err
	}
	if err := site.write(dir, app.RequireDPoP); err != nil {
		return nil, errors.Join(err, site.close())
	}
	return site, nil
}

func (s *sandboxSite) close() error { return s.server.Close() }

// sandboxKey loads the client key of an earlier start, or creates one.
func sandboxKey(path string) (*keys.Key, error) {
	key, err := keys.Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = keys.Generate(); err != nil {
		return nil, err
	}
	return key, key.WriteFile(path)
}

// sandboxConfig is the configuration of the sandbox's client.
const sandboxConfig = `# Made by oktasync for the sandbox org.
okta:
  org_url: %s
  client_id: %s
  private_key_file: client-key.pem
  ca_file: ca.pem
  dpop:
    mode: %s
store:
  path: snapshots
exports:
  - name: all-users
    schedule: "@daily"
daemon:
  listen: ""
`

func (s *sandboxSite) write(dir string, dpop bool) error {
	mode := config.DPoPRequired
	if !dpop {
		mode = config.DPoPOff
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), s.server.CAPEM(), 0o600); err != nil {
		return err
	}
	text := fmt.Sprintf(sandboxConfig, s.server.URL, sandboxClientID, mode)
	return os.WriteFile(s.config, []byte(text), 0o600)
}

// makeDir creates the folder --dir.
func makeDir(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		return fmt.Errorf("--dir %s: can't be created: %s: %w", dir, path.Path, path.Err)
	}
	return err
}
