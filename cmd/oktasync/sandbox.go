package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth/keys"
	"oktasync/oktaclient/sandbox"
)

const sandboxClientID = "0oa1sandboxapp000001"

func (a *app) sandboxCommand() *cobra.Command {
	var (
		dir, listen string
		cfg         = sandbox.Config{Control: true, CachePages: true}
		limit       int
		noDPoP      bool
		faults      []string
		wrong       string
	)
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve the sandbox org, for trying a configuration against",
		Long: `Serves an Okta org of made-up people over TLS until it is told to stop: a token
endpoint and a users API as strict as Okta's. The folder given by --dir gets a
configuration, a client key and the CA certificate to go with it.

People can be changed while it serves, by POST to /sandbox/join, move, touch,
suspend, deactivate, reactivate, delete (each with ?n=), wipe and restore; and the
app's keys, by add-key?client= with a public JWK, and remove-key?client=&kid=.

--fault makes requests fail: which ones by nth, every or forever, under path (the
API, or token for the token endpoint), and how by status, code, cut, stall,
lose, reset, broken-json, html, revoke-token, rotate-nonce, busy, bearer, or next.
Each can be given several times.

--misconfigured has something be wrong with the configuration, the network, the
app or the store, for oktasync doctor to find:
` + term.Wrap(strings.SplitAfter(strings.Join(misconfigurationNames(), ", "), " "), 80),
		Example: `  oktasync sandbox --users 5000 --dir ./sandbox
  oktasync sandbox --fault nth=3,status=500 --fault every=10,reset
  oktasync sandbox --misconfigured no-role
  oktasync plan --config ./sandbox/oktasync.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return fmt.Errorf("--rate-limit %d: must not be negative", limit)
			}
			if limit > 0 {
				cfg.RateLimit = sandbox.Limits(limit)
			}
			if wrong != "" && !cmd.Flags().Changed("dir") {
				dir = "" // one that no other state has left anything in
			}
			return a.serveSandbox(cmd.Context(), dir, listen, cfg, !noDPoP, faults, wrong)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "sandbox", "`folder` for configuration, key and CA certificate; a new one with --misconfigured")
	f.StringVar(&listen, "listen", "127.0.0.1:8443", "loopback `address` to serve on; port 0 picks one")
	f.IntVar(&cfg.Users, "users", 1000, "how many people the org begins with")
	f.IntVar(&cfg.Deprovisioned, "deprovisioned", 0, "how many of them are deprovisioned (default 5 %)")
	f.Int64Var(&cfg.Seed, "seed", 1, "the same seed makes the same people")
	f.DurationVar(&cfg.Latency, "latency", 0, "added to every request")
	f.DurationVar(&cfg.TokenLife, "token-life", time.Hour, "how long a token is good")
	f.DurationVar(&cfg.ClockOffset, "clock-offset", 0, "how far the org's clock is ahead")
	f.DurationVar(&cfg.IndexLag, "index-lag", 0, "how late lists see a change")
	f.IntVar(&cfg.NonceEvery, "nonce-every", 0, "a new nonce at the token endpoint after that many uses")
	f.IntVar(&cfg.APINonceEvery, "api-nonce-every", 0, "the API demands nonces, new after that many uses")
	f.IntVar(&limit, "rate-limit", 0, "requests a minute and bucket (default Okta's workforce limits)")
	f.StringArrayVar(&faults, "fault", nil, "make requests fail, as in `nth=3,status=500`")
	f.StringVar(&wrong, "misconfigured", "", "what is to be wrong: a `STATE` of those above")
	f.BoolVar(&noDPoP, "no-dpop", false, "the app does not require DPoP")
	return cmd
}

func (a *app) serveSandbox(ctx context.Context, dir, listen string, cfg sandbox.Config, dpop bool, faults []string, wrong string) error {
	if host, _, err := net.SplitHostPort(listen); err != nil || !config.IsLoopback(host) {
		return fmt.Errorf("--listen %s: must be a loopback address such as 127.0.0.1:8443: whoever reaches the sandbox can change it", term.Word(listen))
	}
	if problem := config.ListenProblem(listen, false); problem != "" {
		return fmt.Errorf("--listen: %s", problem)
	}
	if cfg.Users < 0 || cfg.Deprovisioned > cfg.Users {
		return fmt.Errorf("--users %d --deprovisioned %d: there can't be more deprovisioned users than users, or fewer than none", cfg.Users, cfg.Deprovisioned)
	}
	site, err := newMisconfiguredSite(ctx, dir, listen, cfg, dpop, wrong)
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
	try := "plan"
	if wrong != "" {
		try = "doctor"
	}
	fmt.Fprintf(a.stdout, "sandbox org of %d people at %s\n", cfg.Users, site.server.URL)
	fmt.Fprintf(a.stdout, "try it:  %s\n", strings.Join(append(site.env, "oktasync", try, "--config", term.ShellWord(site.config)), " "))
	fmt.Fprintf(a.stdout, "change:  curl --cacert %s -X POST '%s/sandbox/join?n=2'\n", term.ShellWord(filepath.Join(site.dir, "ca.pem")), site.server.URL)
	<-ctx.Done()
	return nil
}

// sandboxSite is a sandbox org that is being served, and the folder with what a
// client of it needs.
type sandboxSite struct {
	org     *sandbox.Org
	server  *sandbox.Server
	key     *keys.Key
	dir     string
	config  string      // the configuration file
	env     []string    // what the environment of a client has to be, as NAME=value
	closers []io.Closer // what else is served
}

func newSandboxSite(dir, listen string, cfg sandbox.Config, dpop bool) (*sandboxSite, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	key, err := sandboxKey(filepath.Join(dir, "client-key.pem"))
	if err != nil {
		return nil, err
	}
	cfg.Clients = []sandbox.ClientApp{sandboxApp(key, dpop)}
	site := &sandboxSite{org: sandbox.NewOrg(cfg), key: key, dir: dir, config: filepath.Join(dir, config.DefaultFile)}
	if site.server, err = sandbox.NewServer(site.org, listen); errors.Is(err, syscall.EADDRINUSE) {
		return nil, config.WithHint(fmt.Errorf("--listen %s: something listens there already", listen), "with port 0, as in 127.0.0.1:0, a free one is found")
	}
	if err != nil {
		return nil, err
	}
	if err := site.write(dir, dpop); err != nil {
		return nil, errors.Join(err, site.close())
	}
	return site, nil
}

// sandboxApp is the app as it should be.
func sandboxApp(key *keys.Key, dpop bool) sandbox.ClientApp {
	return sandbox.ClientApp{
		ID:          sandboxClientID,
		Keys:        []sandbox.PublicKey{{KID: key.Thumbprint(), Key: key.Public()}},
		RequireDPoP: dpop,
		Scopes:      []string{config.UsersScope},
	}
}

func (s *sandboxSite) close() error {
	err := s.server.Close()
	for _, c := range s.closers {
		err = errors.Join(err, c.Close())
	}
	return err
}

// sandboxKey loads the client key of an earlier start, or makes one.
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

// sandboxConfig is a configuration that needs nothing else.
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
