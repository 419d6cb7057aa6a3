package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// stampingAuthority is openssl ts -reply behind a server. While it is down, it answers
// with status 503.
type stampingAuthority struct {
	url, ca string
	down    atomic.Bool
}

func newStampingAuthority(t *testing.T) *stampingAuthority {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tsa.cnf"), `[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical,CA:true
[usage]
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = config
[config]
serial = serial
default_policy = 1.2.3.4.1
digests = sha256
signer_digest = sha256
ess_cert_id_alg = sha256
`)
	openssl := func(args ...string) {
		t.Helper()
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("openssl %s: %v: %s", args[0], err, out)
		}
	}
	openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA", "-config", "tsa.cnf", "-extensions", "ca")
	openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Test TSA", "-config", "tsa.cnf")
	openssl("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "tsa.pem", "-extfile", "tsa.cnf", "-extensions", "usage")
	a := &stampingAuthority{ca: filepath.Join(dir, "ca.pem")}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(r.Body)
		if err != nil || a.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if err := os.WriteFile(filepath.Join(dir, "query"), query, 0o600); err != nil {
			t.Error(err)
		}
		openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-signer", "tsa.pem", "-inkey", "tsa.key", "-out", "reply")
		reply, err := os.ReadFile(filepath.Join(dir, "reply"))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		w.Write(reply)
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

// A snapshot has a time stamp over its signature, which openssl verifies too. Without
// an answer of the authority, the snapshot is published, and the next stamp covers it.
func TestTimestamps(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	a, other := newStampingAuthority(t), newStampingAuthority(t)
	s := newSite(t, sandbox.Config{Users: 20, Seed: 77})
	s.sh(t, "ssh-keygen -q -t ed25519 -N '' -f signing-key")
	s.configure(t, "", "store:\n", "store:\n  signing_key_file: signing-key\n  timestamp_url: "+a.url+"\n  timestamp_ca_file: "+a.ca+"\n")
	a.down.Store(true)
	if r := s.must(t, 0, "apply"); !strings.Contains(r.stdout, "time stamp  none: ") {
		t.Errorf("apply without the authority:\n%s", r.stdout)
	}
	first := s.sh(t, "readlink snapshots/all-users/latest")
	a.down.Store(false)
	s.must(t, 0, "apply")
	second := s.sh(t, "readlink snapshots/all-users/latest")
	s.sh(t, "openssl ts -verify -in snapshots/all-users/latest/manifest.json.tsr -data snapshots/all-users/latest/manifest.json.sig -CAfile "+a.ca)
	r := s.must(t, 0, "verify")
	for _, name := range []string{first, second} {
		if want := "all-users@" + strings.TrimSpace(name) + ": existed by "; !strings.Contains(r.stdout, want) {
			t.Errorf("verify doesn't print %q:\n%s", want, r.stdout)
		}
	}
	if r := s.must(t, 1, "verify", "--timestamp-ca", other.ca); !strings.Contains(r.stdout, "manifest.json.tsr: ") {
		t.Errorf("verify accepts another authority:\n%s", r.stdout)
	}
	for _, test := range []struct {
		args, want string
	}{
		{"report all-users", "manifest.json.tsr (RFC 3161) of "},
		{"report all-users --store snapshots", "manifest.json.tsr (RFC 3161); not checked, because no certificates of time-stamping authorities are configured"},
		{"report all-users@-1", "<dt>Time stamp</dt><dd>none</dd>"},
	} {
		if r := s.must(t, 0, strings.Fields(test.args)...); !strings.Contains(r.stdout, test.want) {
			t.Errorf("%s doesn't contain %q", test.args, test.want)
		}
	}
	s.sh(t, "sed -i 's|timestamp_ca_file: .*|timestamp_ca_file: "+other.ca+"|' oktasync.yaml")
	if r := s.must(t, 1, "report", "all-users"); !strings.Contains(r.stderr, "error: all-users@"+strings.TrimSpace(second)+": verify time stamp: ") || r.stdout != "" {
		t.Errorf("report accepts another authority:\n%s", r.stderr)
	}
}
