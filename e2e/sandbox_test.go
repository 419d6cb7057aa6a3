package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// `oktasync sandbox` serves an org and writes a configuration for it. Its users and
// keys can be changed over HTTP.
func TestSandboxCommand(t *testing.T) {
	s := &site{dir: t.TempDir()}
	cmd, url := s.startSandbox(t, "--fault", "nth=1,status=500", "--fault", "path=token,nth=1,reset")
	s.must(t, 0, "apply", "--config", "org/oktasync.yaml")
	s.must(t, 0, "plan", "--config", "org/oktasync.yaml", "--detailed-exitcode")
	post(t, s.path("org/ca.pem"), url+"/sandbox/join?n=2", "")
	if r := s.must(t, 2, "plan", "--config", "org/oktasync.yaml", "--detailed-exitcode"); !strings.Contains(r.stdout, "Plan: 2 joined.") {
		t.Errorf("plan = %s", r.stdout)
	}
	jwk := s.must(t, 0, "init", "--new-key", "new.pem").stdout
	s.must(t, 1, "doctor", "--config", "org/oktasync.yaml", "--key", "new.pem")
	post(t, s.path("org/ca.pem"), url+"/sandbox/add-key?client=0oa1sandboxapp000001", jwk)
	s.must(t, 0, "doctor", "--config", "org/oktasync.yaml", "--key", "new.pem")
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the sandbox ended with %v", err)
	}
	for _, name := range []string{"client-key.pem", "oktasync.yaml"} {
		info, err := os.Stat(s.path("org", name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info.Mode(), err)
		}
	}
}

// `oktasync sandbox --scopes` grants only these scopes.
func TestSandboxGrantsScopes(t *testing.T) {
	s := &site{dir: t.TempDir()}
	s.startSandbox(t, "--scopes", "okta.groups.read")
	if r := s.must(t, 1, "plan", "--config", "org/oktasync.yaml"); !strings.Contains(r.stderr, "consent_required") {
		t.Errorf("plan = %s", r.stderr)
	}
	config := read(t, s.path("org/oktasync.yaml"))
	write(t, s.path("org/oktasync.yaml"), strings.Replace(config, "@daily\"\n", "@daily\"\n    groups: {}\n", 1))
	s.must(t, 0, "plan", "--config", "org/oktasync.yaml")
}

// Flags of `oktasync sandbox` set the number of objects and edges, which its controls
// change.
func TestSandboxFlagsSetTheSizeOfTheOrg(t *testing.T) {
	s := &site{dir: t.TempDir()}
	_, url := s.startSandbox(t, "--groups", "20", "--memberships", "150", "--apps", "15", "--assignments", "120")
	client := clientFor(t, s.path("org/ca.pem"))
	lines := func(kind string) []string {
		resp, err := client.Get(url + "/sandbox/" + kind)
		check(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		check(t, err)
		return strings.Split(strings.TrimSpace(string(body)), "\n")
	}
	for kind, want := range map[string]int{"groups": 20, "group_members": 150 + 40, "apps": 15, "app_users": 120} {
		if got := len(lines(kind)); got != want {
			t.Errorf("%s: %d, want %d", kind, got, want)
		}
	}
	var edge struct{ Parent, Child string }
	check(t, json.Unmarshal([]byte(lines("app_groups")[0]), &edge))
	post(t, s.path("org/ca.pem"), url+"/sandbox/unassign-group?app="+edge.Parent+"&group="+edge.Child, "")
	for _, line := range lines("app_groups") {
		if strings.Contains(line, edge.Parent) && strings.Contains(line, edge.Child) {
			t.Errorf("after unassign-group: %s", line)
		}
	}
}

// startSandbox starts `oktasync sandbox`, and returns the URL of its org.
func (s *site) startSandbox(t *testing.T, args ...string) (cmd *exec.Cmd, url string) {
	t.Helper()
	cmd = s.command(t.Context(), append([]string{"sandbox", "--users", "40", "--dir", "org", "--listen", "127.0.0.1:0"}, args...)...)
	stdout, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	check(t, err)
	_, url, found := strings.Cut(strings.TrimSpace(line), " at ")
	if !found || !strings.HasPrefix(line, "sandbox org of 40 people at https://127.0.0.1:") {
		t.Fatalf("first line = %q", line)
	}
	return cmd, url
}

// clientFor returns a client that accepts certificates of the CA in a file.
func clientFor(t *testing.T, caFile string) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(read(t, caFile)))
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

func post(t *testing.T, caFile, url, body string) {
	t.Helper()
	resp, err := clientFor(t, caFile).Post(url, "application/json", strings.NewReader(body))
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("POST %s = %s", url, resp.Status)
	}
}
