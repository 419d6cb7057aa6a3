package e2e

import (
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// manager is what a daemon under systemd tells of itself: the socket that
// NOTIFY_SOCKET names.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T, path string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t, conn}
}

// next returns the next message but for the watchdog's.
func (m *manager) next() (message string) {
	m.t.Helper()
	buf := make([]byte, 4096)
	for {
		m.conn.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := m.conn.Read(buf)
		if err != nil {
			m.t.Fatal(err)
		}
		if message = string(buf[:n]); !strings.HasPrefix(message, "WATCHDOG=1\n") {
			return message
		}
	}
}

// Whoever starts the daemon as systemd does is told when it is ready, reloads,
// has done so, also in vain, and stops, each with a line for people (sd_notify(3)).
func TestRunReloadAndSignalAreToldToSystemd(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 10, Seed: 42})
	m := newManager(t, filepath.Join(s.dir, "notify"))
	cmd := s.command(t.Context(), "run")
	cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+m.conn.LocalAddr().String(), "WATCHDOG_USEC=30000000")
	d := s.startCommand(t, s.daemonConfig("    schedule: \"@yearly\"\n"), cmd)
	want := func(message string) string { // what is next, the scheduler may not know yet
		t.Helper()
		got := m.next()
		if !regexp.MustCompile(`^` + message + `\nSTATUS=1 export(; next daemon\.verify at \d{4}-\d\d-\d\dT00:00:00Z)?$`).MatchString(got) {
			t.Fatalf("told %q, want %q and a status", got, message)
		}
		return got
	}
	want(`READY=1`)
	d.reload(s, s.daemonConfig("    schedule: \"@yearly\"\n    timeout: 1h\n"))
	first := want(`RELOADING=1\nMONOTONIC_USEC=[1-9]\d*`)
	want(`READY=1`)
	if said := d.reload(s, "exprots: []\n"); !strings.Contains(said, "not reloaded") {
		t.Errorf("log = %s", said)
	}
	second := want(`RELOADING=1\nMONOTONIC_USEC=[1-9]\d*`)
	want(`READY=1`)
	if first == second {
		t.Errorf("both reloads began at the same time: %q", first)
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	want(`STOPPING=1`)
	d.wait("daemon stopped")
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("run ended with %v", err)
	}
}
