package doctor

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/dpopauth"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

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

// A failure of Okta has another remedy than one of the network.
func TestRemedyAtTheTokenEndpoint(t *testing.T) {
	for _, test := range []struct {
		err           error
		where, remedy string
	}{
		{&dpopauth.Error{Status: 503}, "", "wait"},
		{&dpopauth.Error{Status: 400, Code: "temporarily_unavailable"}, "", "wait"},
		{&dpopauth.Error{Op: "get token", Status: 400, Code: "invalid_request", Description: "Cannot supply multiple client credentials."}, org.OnHost, "changes requests"},
		{&dpopauth.Error{Status: 200, Err: dpopauth.ErrResponse}, org.OnHost, "responds in place of the org"},
	} {
		x := checker{probed: &probe{resp: &http.Response{}}, token: &tokenResult{err: test.err, cause: tokenCause(test.err)}}
		if f := checkTokenEndpoint(t.Context(), &x); f.Status != Failed || f.Where != test.where || !strings.Contains(f.Remedy, test.remedy) {
			t.Errorf("%v: %+v, want a remedy in %q with %q", test.err, f, test.where, test.remedy)
		}
	}
}

func invalid(part dpopauth.Part) error {
	return &dpopauth.Error{Status: 401, Code: "invalid_client", Part: part}
}

func TestClockBounds(t *testing.T) {
	for off, status := range map[time.Duration]string{
		0: OK, time.Second: OK, -time.Second: OK,
		10 * time.Second: Warning, -14 * time.Minute: Warning,
		16 * time.Minute: Failed, -20 * time.Minute: Failed,
	} {
		now := time.Now()
		x := checker{cfg: config.Default(), probed: &probe{sent: now, received: now,
			resp: &http.Response{Header: http.Header{"Date": {now.Add(off).UTC().Format(http.TimeFormat)}}}}}
		if f := checkClock(t.Context(), &x); f.Status != status || off > 2*time.Second && !strings.Contains(f.Seen, " behind ") ||
			off < -2*time.Second && !strings.Contains(f.Seen, " ahead of ") {
			t.Errorf("the org %v ahead: %+v, want %s", off, f, status)
		}
	}
	x := checker{probed: &probe{resp: &http.Response{}}}
	if f := checkClock(t.Context(), &x); f.Status != Warning {
		t.Errorf("an answer without a date: %+v", f)
	}
}

func TestFailedLookup(t *testing.T) {
	for where, err := range map[string]error{
		org.InConfig: &net.DNSError{Name: "acme.okta.com", IsNotFound: true, Server: "127.0.0.53:53"},
		org.OnHost:   &net.DNSError{Name: "acme.okta.com", IsTimeout: true, Server: "127.0.0.53:53"},
	} {
		m := &probe{err: &net.OpError{Op: "dial", Err: err}}
		m.step = m.failedStep()
		x := &checker{cfg: &config.Config{Okta: config.OktaConfig{OrgURL: "https://acme.okta.com"}}, probed: m}
		if f := checkDNS(t.Context(), x); f.Status != Failed || f.Where != where || strings.Contains(f.Seen, ":53") {
			t.Errorf("%v: %+v, want a remedy in %q", err, f, where)
		}
	}
}

func TestProxyURL(t *testing.T) {
	for value, want := range map[string]bool{
		"http://proxy:3128": true, "https://proxy": true, "socks5://10.0.0.1:1080": true, "proxy.example:3128": true, "http://u:p@proxy:1": true,
		"proxy:port": false, "http://": false, "ftp://proxy": false, "://": false, "http://:3128": false,
	} {
		if got := isProxyURL(value); got != want {
			t.Errorf("isProxyURL(%q) = %t, want %t", value, got, want)
		}
	}
}

func TestSpaceNeeded(t *testing.T) {
	x := &checker{cfg: config.Default(), counts: map[*snapshot.Resource]count{snapshot.Users: {900, true}, snapshot.Groups: {100, true}}}
	x.cfg.Store.Path = filepath.Join(t.TempDir(), "snapshots")
	daily, everything := reconcile.DefaultExport(), reconcile.DefaultExport()
	daily.Name, daily.Schedule, daily.Retain = "daily", "@daily", reconcile.Retain{Last: 30, Monthly: 70}
	everything.Name, everything.Schedule, everything.Retain = "all", "@every 12h", reconcile.Retain{Changes: 84} // keeps everything
	x.cfg.Exports = []reconcile.Export{daily, everything}
	size := int64(1000 * recordBytes)
	if one, more := x.spaceNeeded(); one != 2*size || more < (100+725)*size || more > (100+735)*size {
		t.Errorf("spaceNeeded() = %d, %d with %d per snapshot", one, more, size)
	}
	if f := checkSpace(t.Context(), x); f.Status != OK {
		t.Errorf("a small store: %+v", f)
	}
	x.counts[snapshot.Users] = count{1 << 50, true}
	if f := checkSpace(t.Context(), x); f.Status != Failed || f.Where != org.OnHost {
		t.Errorf("a snapshot larger than the disk: %+v", f)
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

// Without a configuration file, remedies use the names of the environment.
func TestRemedyNamesVariables(t *testing.T) {
	x := &checker{cfg: config.Default()}
	x.cfg.Okta.PrivateKeyFile = filepath.Join(t.TempDir(), "gone.pem")
	c := check{id: "client_key", run: checkClientKey}
	if f := x.check(t.Context(), c, nil); !strings.Contains(f.Remedy, "correct OKTA_CC_PRIVATE_KEY_FILE") {
		t.Errorf("without a file: %+v", f)
	}
	x.cfg.File = "oktasync.yaml"
	if f := x.check(t.Context(), c, nil); !strings.Contains(f.Remedy, "correct okta.private_key_file") {
		t.Errorf("with a file: %+v", f)
	}
	x.Key = x.cfg.Okta.PrivateKeyFile + ".new"
	if f := x.check(t.Context(), c, nil); f.Where != org.OnHost || !strings.Contains(f.Remedy, "correct --key") {
		t.Errorf("of a new key: %+v", f)
	}
}

// numbered returns users with the IDs 0, 1, 2 and so on, up to its length.
type numbered struct{ next, n int }

func (r *numbered) Next() (diff.Record, error) {
	if r.next == r.n {
		return diff.Record{}, io.EOF
	}
	r.next++
	return diff.Record{Key: fmt.Append(nil, r.next-1)}, nil
}

func (r *numbered) Close() error { return nil }

// The sampled users are from all parts of the snapshot.
func TestSampleIsSpread(t *testing.T) {
	for n, want := range map[int][3]int{0: {0}, 7: {7, 0, 6}, 205: {20, 0, 190}} {
		ids, err := spread(&numbered{n: n}, n)
		if err != nil || len(ids) != want[0] || n > 0 && (ids[0] != fmt.Sprint(want[1]) || ids[len(ids)-1] != fmt.Sprint(want[2])) {
			t.Errorf("of %d users: %q, %v", n, ids, err)
		}
	}
}
