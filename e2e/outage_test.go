package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// startApart is startWith in a mount namespace of its own: the store is a small
// disk, and hosts and resolv.conf of the site's folder stand for the machine's.
func (s *site) startApart(t *testing.T, config string) *daemon {
	t.Helper()
	needs(t, "unshare")
	if err := exec.Command("unshare", "-m", "true").Run(); err != nil {
		t.Skipf("no mounts for this user: %v", err)
	}
	write(t, filepath.Join(s.dir, "hosts"), []byte(hosts))
	write(t, filepath.Join(s.dir, "resolv.conf"), []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")) // nobody is there
	if err := os.Mkdir(filepath.Join(s.dir, "snapshots"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "apart"), []byte(`mount --make-rprivate / && mount -t tmpfs -o size=4m,mode=0700 tmpfs snapshots &&
mount --bind hosts /etc/hosts && mount --bind resolv.conf /etc/resolv.conf && exec "$0" run`))
	cmd := s.command(t.Context())
	cmd.Path, cmd.Args = lookPath(t, "unshare"), []string{"unshare", "-m", "sh", "-c", `. ./apart`, cmd.Path}
	return s.startCommand(t, config, cmd)
}

const hosts = "127.0.0.1 localhost\n"

func lookPath(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Okta, DNS, disk space and the key are taken away one after the other, and
// Okta's clock is set wrong, while the daemon runs: each shows in /fresh, the
// metrics, the log and a message, and is over once it is given back, without a
// restart.
func TestWhatIsTakenAwayShowsAndHeals(t *testing.T) {
	t.Parallel()
	hook, messages := newHook(t)
	s := newTestSite(t, sandbox.Config{Users: 100, Seed: 101})
	okta := newLine(t, s.server.URL)
	s.server.URL = "https://localhost:" + okta.port // a name to be looked up
	s.org.SetURL(s.server.URL)
	write(t, filepath.Join(s.dir, "hook.url"), []byte(hook))
	d := s.startApart(t, strings.Replace(s.daemonConfig(everySecond+"    timeout: 3s\n    retry: {most: 0}\n    snapshot: on_change\n"),
		"daemon:\n", "daemon:\n  notify: [{url_file: hook.url, on: [failed, recovered]}]\n", 1))
	d.wait("snapshot published")
	store := filepath.Join("/proc", fmt.Sprint(d.cmd.Process.Pid), "root", s.dir, "snapshots")
	key, away := filepath.Join(s.dir, "client-key.pem"), filepath.Join(s.dir, "away.pem")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var stop context.CancelFunc
	for _, test := range []struct {
		name       string
		take, give func()
		says       string // why it failed
		warns      string // what comes in the log before, while it is tried again; "": nothing
	}{
		{"Okta", okta.down, okta.up, "read users: ", "connection refused"},
		{"DNS", func() {
			write(t, filepath.Join(s.dir, "hosts"), []byte("127.0.0.1 elsewhere\n"))
			var ctx context.Context
			ctx, stop = context.WithCancel(t.Context())
			go func() { // what is open would do, and hosts are remembered for a while
				for ; ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
					okta.cut()
				}
			}()
		},
			func() { stop(); write(t, filepath.Join(s.dir, "hosts"), []byte(hosts)) }, "read users: ", "localhost"},
		{"disk space", func() { fill(t, filepath.Join(store, ".filler")) },
			func() { must(os.Remove(filepath.Join(store, ".filler"))) }, "no space left on device", ""},
		{"the key file", func() { must(os.Rename(key, away)) }, func() { must(os.Rename(away, key)) }, "okta.private_key_file: ", ""},
		{"Okta's clock", func() { s.org.SetClockOffset(time.Hour) }, func() { s.org.SetClockOffset(0) }, "clock", ""},
	} {
		if test.warns != "" && !long() { // it takes the export's timeout
			continue
		}
		test.take()
		if test.warns != "" {
			d.wait(test.warns)
		}
		m := <-messages
		if m.Event != "failed" || !strings.Contains(m.Error, test.says) {
			t.Errorf("%s: told of %+v", test.name, m)
		}
		for !strings.Contains(d.wait(`"level":"ERROR","msg":"reconcile failed"`), test.says) {
			// that was of what was taken before
		}
		if status, body := get(t, d.url+"/fresh"); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "all-users: failing since ") {
			t.Errorf("%s: /fresh = %d %q", test.name, status, body)
		}
		_, metrics := get(t, d.url+"/metrics")
		if !strings.Contains(metrics, `oktasync_export_state{export="all-users",state="failing"} 1`) {
			t.Errorf("%s: no metric shows it", test.name)
		}
		if status, _ := get(t, d.url+"/"); status != http.StatusOK {
			t.Errorf("%s: the page answers %d", test.name, status)
		}
		test.give()
		if m := <-messages; m.Event != "recovered" {
			t.Errorf("%s: told of %+v, want recovered", test.name, m)
		}
		if status, body := get(t, d.url+"/fresh"); status != http.StatusOK {
			t.Errorf("%s: /fresh afterwards = %d %q", test.name, status, body)
		}
	}
	s.org.Join(1)
	d.wait("snapshot published")
	verify := s.command(t.Context(), "verify", "--store", store)
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
	d.stop(syscall.SIGTERM)
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 16, 1} { // to the last byte
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
}
