package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// link forwards connections from its own port to a server, and can be cut.
type link struct {
	t    *testing.T
	to   string
	port string

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

func newLink(t *testing.T, url string) *link {
	t.Helper()
	l := &link{t: t, to: strings.TrimPrefix(url, "https://"), port: "0"}
	l.up()
	_, l.port, _ = net.SplitHostPort(l.listener.Addr().String())
	t.Cleanup(l.down)
	return l
}

// up accepts connections, always at the same port.
func (l *link) up() {
	l.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:"+l.port)
	check(l.t, err)
	l.listener = listener
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", l.to)
			if err != nil {
				near.Close()
				continue
			}
			l.mu.Lock()
			l.conns = append(l.conns, near, far)
			l.mu.Unlock()
			go func() { io.Copy(near, far); near.Close() }()
			go func() { io.Copy(far, near); far.Close() }()
		}
	}()
}

// cut closes all connections.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		conn.Close()
	}
	l.conns = nil
}

// down closes all connections and accepts no new ones.
func (l *link) down() {
	l.listener.Close()
	l.cut()
}

const hosts = "127.0.0.1 localhost\n"

// startIsolated starts the daemon in a mount namespace: its store is a small disk,
// and the site's files hosts and resolv.conf replace those in /etc.
func (s *site) startIsolated(t *testing.T, config string) *daemon {
	t.Helper()
	needsMounts(t)
	write(t, s.path("hosts"), hosts)
	write(t, s.path("resolv.conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n") // no server listens there
	check(t, os.Mkdir(s.path("snapshots"), 0o700))
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", `mount --make-rprivate / &&
mount -t tmpfs -o size=4m,mode=0700 tmpfs snapshots &&
mount --bind hosts /etc/hosts && mount --bind resolv.conf /etc/resolv.conf && exec "$0" run`, program())
	cmd.Dir = s.dir
	return s.startCommand(t, config, cmd)
}

// One resource after the other is lost while the daemon runs: Okta, DNS, disk
// space, the key, the right time. /fresh, the metrics, the log and a message
// report each loss. The daemon recovers without a restart.
func TestDaemonRecovers(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 100, Seed: 101})
	messages := s.newHook(t)
	okta := newLink(t, s.server.URL)
	s.server.URL = "https://localhost:" + okta.port // a name, so that DNS is used
	s.org.SetURL(s.server.URL)
	d := s.startIsolated(t, s.daemonConfig(everySecond+"    timeout: 10s\n    retry: {most: 0}\n    snapshot: on_change\n",
		"notify: [{url_file: hook.url, on: [failed, recovered]}]"))
	d.wait("snapshot published")
	store := filepath.Join("/proc", fmt.Sprint(d.cmd.Process.Pid), "root", s.dir, "snapshots")
	var stop context.CancelFunc
	for _, test := range []struct {
		name         string
		lose, regain func()
		err          string
		warning      string // in the log, while the reconcile retries until its timeout
	}{
		{"Okta", okta.down, okta.up, "read users: ", "connection refused"},
		{"DNS", func() {
			write(t, s.path("hosts"), "127.0.0.1 elsewhere\n")
			var ctx context.Context
			ctx, stop = context.WithCancel(t.Context())
			go func() { // cut open connections, and those to an address that is still cached
				for ; ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
					okta.cut()
				}
			}()
		}, func() { stop(); write(t, s.path("hosts"), hosts) }, "read users: ", "localhost"},
		{"disk space", func() { fillDisk(t, filepath.Join(store, ".filler")) },
			func() { check(t, os.Remove(filepath.Join(store, ".filler"))) }, "no space left on device", ""},
		{"key file", func() { check(t, os.Rename(s.path("client-key.pem"), s.path("away.pem"))) },
			func() { check(t, os.Rename(s.path("away.pem"), s.path("client-key.pem"))) }, "okta.private_key_file: ", ""},
		{"clock", func() { s.org.SetClockOffset(time.Hour) }, func() { s.org.SetClockOffset(0) }, "clock", ""},
	} {
		if test.warning != "" && !all() {
			continue // takes the export's timeout
		}
		test.lose()
		if test.warning != "" {
			d.wait(test.warning)
		}
		if m := wantMessage(t, messages, "failed", ""); !strings.Contains(m.Error, test.err) {
			t.Errorf("%s: message = %+v", test.name, m)
		}
		for !strings.Contains(d.wait(`"level":"ERROR","msg":"reconcile failed"`), test.err) {
			// a line of the previous loss
		}
		d.wantPage("/fresh", http.StatusServiceUnavailable, "all-users: failing since ")
		d.wantPage("/metrics", http.StatusOK, `oktasync_export_state{export="all-users",state="failing"} 1`)
		d.wantPage("/", http.StatusOK)
		test.regain()
		wantMessage(t, messages, "recovered", "")
		d.wantPage("/fresh", http.StatusOK)
	}
	s.org.Join(1)
	d.wait("snapshot published")
	s.must(t, 0, "verify", "--store", store)
	d.stop(syscall.SIGTERM)
}

// fillDisk writes a file until the disk is full, to the last byte.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	check(t, err)
	defer f.Close()
	for _, size := range []int{1 << 16, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
}
