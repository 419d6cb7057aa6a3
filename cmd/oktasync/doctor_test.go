package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth"
	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile"
)

// examined is what doctor finds with a sandbox org in which something is odd,
// beyond what --misconfigured has; e2e/doctor_test.go tests those.
func examined(t *testing.T, change func(*sandboxSite), args ...string) map[string]finding {
	t.Helper()
	site, err := newSandboxSite(t.TempDir(), "127.0.0.1:0", sandbox.Config{Users: 50}, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { site.close() })
	change(site)
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "DIR", site.dir)
	}
	var out, errs bytes.Buffer
	run(t.Context(), append([]string{"doctor", "--json", "--config", site.config}, args...), &out, &errs)
	var list []finding
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		t.Fatalf("%v: %s%s", err, out.String(), errs.String())
	}
	found := map[string]finding{}
	for _, f := range list {
		found[f.ID] = f
	}
	if len(found) != len(checklist) {
		t.Errorf("findings = %d, want one for each of %d checks", len(found), len(checklist))
	}
	return found
}

func fault(text string) func(*sandboxSite) {
	return func(s *sandboxSite) {
		f, err := sandbox.ParseFault(text)
		if err != nil {
			panic(err)
		}
		s.org.Inject(f)
	}
}

// renamed gives the app's key another kid.
func renamed(s *sandboxSite) {
	app := sandboxApp(s.key, true)
	app.Keys[0].KID = "other"
	s.org.Register(app)
}

func TestDoctorOfOddAnswers(t *testing.T) {
	for _, test := range []struct{ fault, id, status, seen string }{
		{"path=/,redirect=https://elsewhere.example/x,forever", "org", checkFailed, "leads to https://elsewhere.example"},
		{"path=/.well-known,status=502", "org", checkFailed, "status 502"},
		{"path=/.well-known,status=404", "org", checkOK, "answers as Okta does"},
		{"path=/.well-known,lose", "org", checkFailed, "the connection broke"},
		{"path=token,html,status=200,forever", "token_endpoint", checkFailed, "malformed"},
		{"path=token,status=400,code=unauthorized_client,forever", "client_id", checkFailed, "is no service app"},
		{"path=token,status=400,code=invalid_dpop_proof,forever", "dpop", checkFailed, "refuses the proof"},
		{"path=token,status=400,code=invalid_scope,forever", "scopes", checkFailed, "none of those asked for"},
		{"path=token,rotate-nonce,forever", "nonce", checkFailed, "demands a nonce"},
		{"status=404,code=E0000008,forever", "api", checkFailed, "status 404 E0000008"},
		{"broken-json,forever", "api", checkFailed, "is no list of users"},
		{"cut=20,forever", "api", checkFailed, "broke off"},
		{"next=other-host,forever", "api", checkFailed, "another origin"},
		{"busy,forever", "rate_limit", checkFailed, "in flight"},
		{"html,status=403,forever", "network_zone", checkFailed, "the API refuses this address"},
	} {
		t.Run(test.fault, func(t *testing.T) {
			f := examined(t, fault(test.fault))[test.id]
			if f.Status != test.status || !strings.Contains(f.Seen, test.seen) || (f.Status == checkFailed) != (f.Remedy != "") {
				t.Errorf("finding = %+v, want %s with %q", f, test.status, test.seen)
			}
		})
	}
}

// A new key that is the app's only one goes by no kid, and by its thumbprint
// beside another.
func TestDoctorProvesANewKey(t *testing.T) {
	nothing := func(*sandboxSite) {}
	if f := examined(t, nothing, "--key", "DIR/client-key.pem")["key_known"]; f.Status != checkOK || !strings.Contains(f.Seen, "set okta.private_key_id to that") {
		t.Errorf("a key with a name: %+v", f)
	}
	if f := examined(t, renamed, "--key", "DIR/client-key.pem")["key_known"]; f.Status != checkOK || !strings.Contains(f.Seen, "has no other") {
		t.Errorf("the app's only key, by another name: %+v", f)
	}
	if f := examined(t, nothing, "--key", "DIR/ca.pem")["client_key"]; f.Status != checkFailed {
		t.Errorf("no key at all: %+v", f)
	}
	if f := examined(t, func(s *sandboxSite) { s.org.Register(sandbox.ClientApp{ID: sandboxClientID, Keys: otherKeys()}) }, "--key", "DIR/client-key.pem")["key_known"]; f.Status != checkFailed || !strings.Contains(f.Remedy, "validate --public-jwk --key ") {
		t.Errorf("a key that the app lacks: %+v", f)
	}
}

func TestTokenCause(t *testing.T) {
	for cause, errs := range map[string][]error{
		"": {nil},
		causeEndpoint: {errors.New("x"), &dpopauth.Error{Status: 503}, &dpopauth.Error{Err: io.EOF}, invalid(dpopauth.PartAudience), invalid(dpopauth.PartTime),
			invalid(dpopauth.PartReplay), invalid(dpopauth.PartMissing)},
		causeZone:   {&dpopauth.Error{Status: 403}, &dpopauth.Error{Status: 400, Code: "access_denied"}},
		causeClient: {invalid(dpopauth.PartClient), invalid(dpopauth.PartMethod), &dpopauth.Error{Code: "unauthorized_client"}},
		causeKey:    {invalid(dpopauth.PartKey)},
		causeDPoP:   {&dpopauth.Error{Status: 200, Err: dpopauth.ErrTokenType}, &dpopauth.Error{Code: "invalid_dpop_proof"}},
		causeNonce:  {&dpopauth.Error{Code: "use_dpop_nonce", Err: fmt.Errorf("%w, x", dpopauth.ErrNonce)}},
		causeScopes: {&dpopauth.Error{Err: &dpopauth.ScopeError{}}, &dpopauth.Error{Code: "consent_required"}},
	} {
		for _, err := range errs {
			if got := tokenCause(err); got != cause {
				t.Errorf("tokenCause(%#v) = %q, want %q", err, got, cause)
			}
		}
	}
}

// What Okta's trouble is and what something on the way is are told apart.
func TestRemedyAtTheTokenEndpoint(t *testing.T) {
	for _, test := range []struct {
		err           error
		where, remedy string
	}{
		{&dpopauth.Error{Status: 503}, "", "wait"},
		{&dpopauth.Error{Status: 400, Code: "temporarily_unavailable"}, "", "wait"},
		{&dpopauth.Error{Status: 400, Code: "invalid_request", Description: "Cannot supply multiple client credentials."}, onHost, "it changes requests"},
		{&dpopauth.Error{Status: 200, Err: dpopauth.ErrResponse}, onHost, "answers in the org's place"},
	} {
		x := examination{met: &meeting{resp: &http.Response{}}, admitted: &admission{err: test.err, cause: tokenCause(test.err)}}
		if f := checkTokenEndpoint(t.Context(), &x); f.Status != checkFailed || f.Where != test.where || !strings.Contains(f.Remedy, test.remedy) {
			t.Errorf("%v: %+v, want a remedy in %q with %q", test.err, f, test.where, test.remedy)
		}
	}
}

func invalid(part dpopauth.Part) error {
	return &dpopauth.Error{Status: 401, Code: "invalid_client", Part: part}
}

func TestClockBounds(t *testing.T) {
	for off, status := range map[time.Duration]string{
		0: checkOK, time.Second: checkOK, -time.Second: checkOK,
		10 * time.Second: checkWarning, -14 * time.Minute: checkWarning,
		16 * time.Minute: checkFailed, -20 * time.Minute: checkFailed,
	} {
		now := time.Now()
		x := examination{cfg: config.Default(), met: &meeting{sent: now, received: now,
			resp: &http.Response{Header: http.Header{"Date": {now.Add(off).UTC().Format(http.TimeFormat)}}}}}
		if f := checkClock(t.Context(), &x); f.Status != status || off > 2*time.Second && !strings.Contains(f.Seen, " behind ") ||
			off < -2*time.Second && !strings.Contains(f.Seen, " ahead of ") {
			t.Errorf("the org %v ahead: %+v, want %s", off, f, status)
		}
	}
	x := examination{met: &meeting{resp: &http.Response{}}}
	if f := checkClock(t.Context(), &x); f.Status != checkWarning {
		t.Errorf("an answer without a date: %+v", f)
	}
}

func TestLookupText(t *testing.T) {
	x := func(err error) finding {
		return checkDNS(t.Context(), &examination{cfg: &config.Config{Okta: config.OktaConfig{OrgURL: "https://acme.okta.com"}}, met: &meeting{lookup: err, addresses: 1}})
	}
	for where, err := range map[string]error{
		inConfig: &net.DNSError{Name: "acme.okta.com", IsNotFound: true, Server: "127.0.0.53:53"},
		onHost:   &net.DNSError{Name: "acme.okta.com", IsTimeout: true, Server: "127.0.0.53:53"},
		"":       nil,
	} {
		if f := x(err); f.Where != where || strings.Contains(f.Seen, ":53") {
			t.Errorf("%v: %+v, want a remedy in %q", err, f, where)
		}
	}
}

func TestIsProxy(t *testing.T) {
	for value, want := range map[string]bool{
		"http://proxy:3128": true, "https://proxy": true, "socks5://10.0.0.1:1080": true, "proxy.example:3128": true, "http://u:p@proxy:1": true,
		"proxy:port": false, "http://": false, "ftp://proxy": false, "://": false, "http://:3128": false,
	} {
		if got := isProxy(value); got != want {
			t.Errorf("isProxy(%q) = %t, want %t", value, got, want)
		}
	}
}

func TestSpaceNeeded(t *testing.T) {
	x := &examination{cfg: config.Default(), users: userCount{n: 1000}}
	x.cfg.Store.Path = filepath.Join(t.TempDir(), "snapshots")
	daily, monthly := reconcile.DefaultExport(), reconcile.DefaultExport()
	daily.Name, daily.Schedule, daily.Retain = "daily", "@daily", reconcile.Retain{Last: 30, Monthly: 70}
	monthly.Name, monthly.Schedule = "all", "@every 12h"
	x.cfg.Exports = []reconcile.Export{daily, monthly}
	size := int64(1000 * userBytes)
	if n := x.need(); n.one != 2*size || n.declared != 100*size || n.yearly < 725*size || n.yearly > 735*size {
		t.Errorf("need = %+v, with %d a snapshot", n, size)
	}
	if f := checkSpace(t.Context(), x); f.Status != checkOK {
		t.Errorf("a small store: %+v", f)
	}
	x.users.n = 1 << 50
	if f := checkSpace(t.Context(), x); f.Status != checkFailed || f.Where != onHost {
		t.Errorf("a snapshot larger than the disk: %+v", f)
	}
}

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		3 * time.Minute: "3m", 90 * time.Second: "1m30s", time.Hour: "1h", 150 * time.Minute: "2h30m", 30 * time.Second: "30s", 0: "0s",
		20 * time.Minute: "20m", 10 * time.Hour: "10h", 10*time.Minute + 10*time.Second: "10m10s",
	} {
		if got := term.Duration(d); got != want {
			t.Errorf("durationText(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestWithin(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "snapshots")
	if err := os.MkdirAll(filepath.Join(store, "all"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(store, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		filepath.Join(store, "all"): true, filepath.Join(dir, "link", "all"): true, dir: false, filepath.Join(dir, "snapshots-key"): false,
	} {
		if got := within(path, store); got != want {
			t.Errorf("within(%s) = %t, want %t", path, got, want)
		}
	}
}

// Whoever has only a walk-through's .env is told of its names.
func TestRemedyInTheNamesOfTheEnvironment(t *testing.T) {
	x := &examination{cfg: config.Default()}
	x.cfg.Okta.PrivateKeyFile = filepath.Join(t.TempDir(), "gone.pem")
	c := check{id: "client_key", run: checkClientKey}
	if f := x.examine(t.Context(), c, nil); !strings.Contains(f.Remedy, "correct OKTA_CC_PRIVATE_KEY_FILE") {
		t.Errorf("without a file: %+v", f)
	}
	x.cfg.File = "oktasync.yaml"
	if f := x.examine(t.Context(), c, nil); !strings.Contains(f.Remedy, "correct okta.private_key_file") {
		t.Errorf("with a file: %+v", f)
	}
	x.newKey = x.cfg.Okta.PrivateKeyFile + ".new"
	if f := x.examine(t.Context(), c, nil); f.Where != onHost || !strings.Contains(f.Remedy, "correct --key") {
		t.Errorf("of a new key: %+v", f)
	}
}

// The people who are looked for are from all over the snapshot.
func TestSampleIsSpread(t *testing.T) {
	site, err := newSandboxSite(t.TempDir(), "127.0.0.1:0", sandbox.Config{Users: 205}, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { site.close() })
	var out, errs bytes.Buffer
	if status := run(t.Context(), []string{"apply", "--config", site.config}, &out, &errs); status != exitDone {
		t.Fatal(errs.String())
	}
	x := examination{}
	if x.cfg, err = config.Load(config.Options{File: site.config, Getenv: func(string) (string, bool) { return "", false }}); err != nil {
		t.Fatal(err)
	}
	users, err := x.newest().Users()
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	var want []string
	for i := range 200 {
		u, err := users.Next()
		if err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			want = append(want, string(u.ID))
		}
	}
	if ids, _ := x.sample(); !slices.Equal(ids, want) {
		t.Errorf("sample = %q, want %q", ids, want)
	}
}

// Whoever stops doctor is not told that something is wrong.
func TestDoctorIsStopped(t *testing.T) {
	site, err := newSandboxSite(t.TempDir(), "127.0.0.1:0", sandbox.Config{Users: 5}, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { site.close() })
	fault("stall,forever")(site)
	ctx, stop := context.WithCancel(t.Context())
	site.org.OnRequest(func(int, *http.Request) { stop() })
	var out, errs bytes.Buffer
	if status := run(ctx, []string{"doctor", "--config", site.config}, &out, &errs); status != exitFailed || strings.Contains(out.String(), "FAILED") ||
		errs.String() != "oktasync: error: stopped by a signal before it was done\n" {
		t.Errorf("status %d:\n%s%s", status, out.String(), errs.String())
	}
}
