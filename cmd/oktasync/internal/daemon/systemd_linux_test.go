package daemon

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/scheduler"
)

// systemd is notified when stopping begins, not when the last reconcile ends.
func TestStoppingIsNotifiedDuringAReconcile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)

	every, err := scheduler.Parse("@every 1h", nil)
	if err != nil {
		t.Fatal(err)
	}
	begun, notified := make(chan struct{}), make(chan struct{})
	job := scheduler.Job{Name: "staff", Schedule: every, Run: func(ctx context.Context) error {
		close(begun)
		<-notified // also after ctx ends
		return ctx.Err()
	}}
	d := &daemon{log: slog.New(slog.DiscardHandler), scheduler: scheduler.New(job)}
	d.current.Store(&service{daemon: d, cfg: config.Default(), jobs: []scheduler.Job{job}})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		d.work(ctx, nil)
		close(ended)
	}()
	<-begun
	stop()
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	close(notified)
	if got := string(buf[:n]); err != nil || !strings.HasPrefix(got, "STOPPING=1\nSTATUS=0 exports; reconciling staff; next staff at ") {
		t.Errorf("notified %q, %v", got, err)
	}
	<-ended
}

func TestWatchdogInterval(t *testing.T) {
	for usec, want := range map[string]time.Duration{"": 15 * time.Second, "60000000": 20 * time.Second, "3000000": time.Second, "soon": 15 * time.Second} {
		t.Setenv("WATCHDOG_USEC", usec)
		if got := watchdogInterval(); got != want {
			t.Errorf("interval with WATCHDOG_USEC=%q = %s, want %s", usec, got, want)
		}
	}
}
