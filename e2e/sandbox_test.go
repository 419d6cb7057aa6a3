package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// `oktasync sandbox` is an org that a configuration can be tried against, and
// whose people can be changed while it serves.
func TestSandboxCommandServesAnOrg(t *testing.T) {
	s := &site{dir: t.TempDir()}
	cmd := s.command(t.Context(), "sandbox", "--users", "40", "--dir", "org", "--listen", "127.0.0.1:0", "--fault", "nth=1,status=500", "--fault", "path=token,nth=1,reset")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, url, found := strings.Cut(strings.TrimSpace(line), " at ")
	if !found || !strings.HasPrefix(line, "sandbox org of 40 people at https://127.0.0.1:") {
		t.Fatalf("first line = %q", line)
	}
	s.must(t, 0, "apply", "--config", "org/oktasync.yaml")
	s.must(t, 0, "plan", "--config", "org/oktasync.yaml", "--detailed-exitcode")
	post(t, filepath.Join(s.dir, "org", "ca.pem"), url+"/sandbox/join?n=2", "")
	if r := s.must(t, 2, "plan", "--config", "org/oktasync.yaml", "--detailed-exitcode"); !strings.Contains(r.stdout, "Plan: 2 joined.") {
		t.Errorf("plan = %s", r.stdout)
	}
	jwk := s.must(t, 0, "init", "--new-key", "new.pem").stdout
	s.must(t, 1, "doctor", "--config", "org/oktasync.yaml", "--key", "new.pem")
	post(t, filepath.Join(s.dir, "org", "ca.pem"), url+"/sandbox/add-key?client=0oa1sandboxapp000001", jwk)
	s.must(t, 0, "doctor", "--config", "org/oktasync.yaml", "--key", "new.pem")
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("sandbox ended with %v", err)
	}
	for _, name := range []string{"client-key.pem", "oktasync.yaml"} {
		info, err := os.Stat(filepath.Join(s.dir, "org", name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info.Mode(), err)
		}
	}
}

func post(t *testing.T, caFile, url, body string) {
	t.Helper()
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("POST %s = %s", url, resp.Status)
	}
}

// While one apply reads, a second one of the same export is told who holds it.
func TestSecondApplyIsToldWhoHoldsTheExport(t *testing.T) {
	s := newTestSite(t, sandbox.Config{Users: 50, Seed: 20})
	s.org.Inject(sandbox.Fault{Stall: -1})
	reading := make(chan struct{}, 10)
	s.org.OnRequest(func(int, *http.Request) { reading <- struct{}{} })
	first := s.command(t.Context(), "apply")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	<-reading
	r := s.must(t, 1, "apply")
	if !strings.Contains(r.stderr, "all-users is locked by apply (process ") {
		t.Errorf("stderr = %q", r.stderr)
	}
	s.must(t, 0, "verify")
	first.Process.Signal(syscall.SIGINT)
	first.Wait()
	if status := first.ProcessState.ExitCode(); status != 1 {
		t.Errorf("interrupted apply ended with %d, want 1", status)
	}
	s.org.ClearFaults()
	s.must(t, 0, "apply")
	s.must(t, 0, "verify")
}
