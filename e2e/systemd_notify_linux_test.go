package e2e

import (
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// manager receives the messages of a daemon on the socket that NOTIFY_SOCKET
// names, like systemd.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T, path string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	check(t, err)
	t.Cleanup(func() { conn.Close() })
	return &manager{t, conn}
}

// next returns the next message, without those for the watchdog.
func (m *manager) next() (message string) {
	m.t.Helper()
	buf := make([]byte, 4096)
	for {
		m.conn.SetReadDeadline(time.Now().Add(patience))
		n, err := m.conn.Read(buf)
		check(m.t, err)
		if message = string(buf[:n]); !strings.HasPrefix(message, "WATCHDOG=1\n") {
			return message
		}
	}
}

// The daemon sends a message to systemd when it is ready, reloads, has reloaded
// or rejected a reload, and stops, each with a status text (sd_notify(3)).
func TestDaemonNotifiesSystemd(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 10, Seed: 42})
	m := newManager(t, s.path("notify"))
	cmd := s.command(t.Context(), "run")
	cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+m.conn.LocalAddr().String(), "WATCHDOG_USEC=30000000")
	d := s.startCommand(t, s.daemonConfig("    schedule: \"@yearly\"\n"), cmd)
	want := func(message string) string { // the next start of a job may not be known yet
		t.Helper()
		got := m.next()
		if !regexp.MustCompile(`^` + message + `\nSTATUS=1 export(; next (daemon\.verify|all-users) at \d{4}-\d\d-\d\dT00:00:00Z)?$`).MatchString(got) {
			t.Fatalf("message %q, want %q and a status", got, message)
		}
		return got
	}
	want(`READY=1`)
	d.reload(s, s.daemonConfig("    schedule: \"@yearly\"\n    timeout: 1h\n"))
	first := want(`RELOADING=1\nMONOTONIC_USEC=[1-9]\d*`)
	want(`READY=1`)
	if log := d.reload(s, "exprots: []\n"); !strings.Contains(log, "not reloaded") {
		t.Errorf("log = %s", log)
	}
	second := want(`RELOADING=1\nMONOTONIC_USEC=[1-9]\d*`)
	want(`READY=1`)
	if first == second {
		t.Errorf("both reloads began at the same time: %q", first)
	}
	d.signal(syscall.SIGTERM)
	want(`STOPPING=1`)
	d.wait("daemon stopped")
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("run ended with %v", err)
	}
}

// A reload that waits for its configuration doesn't delay the watchdog.
func TestDaemonFeedsWatchdogDuringReload(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 10, Seed: 43})
	m := newManager(t, s.path("notify"))
	cmd := s.command(t.Context(), "run")
	cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+m.conn.LocalAddr().String(), "WATCHDOG_USEC=300000")
	d := s.startCommand(t, s.daemonConfig(""), cmd)
	config := s.path("oktasync.yaml")
	check(t, os.Remove(config))
	check(t, syscall.Mkfifo(config, 0o600)) // the daemon waits five seconds for a writer
	d.signal(syscall.SIGHUP)
	for !strings.HasPrefix(m.next(), "RELOADING=1\n") {
	}
	buf := make([]byte, 4096)
	for range 3 {
		n, err := m.conn.Read(buf)
		check(t, err)
		if message := string(buf[:n]); !strings.HasPrefix(message, "WATCHDOG=1\n") {
			t.Fatalf("message %q during the reload", message)
		}
	}
	go func() { // the socket holds few messages
		for {
			if _, err := m.conn.Read(buf); err != nil {
				return
			}
		}
	}()
	d.wait("configuration not reloaded")
	d.stop(syscall.SIGTERM)
}
