package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// TestSoak runs before a release, not in CI:
//
//	OKTASYNC_SOAK=10m go test ./e2e -run TestSoak -timeout 30m -v
//
// The daemon reconciles every second and reloads every five, with faults. At the
// end, it needs as much memory as in the second fifth of the time.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("OKTASYNC_SOAK"))
	if err != nil {
		t.Skip("runs with OKTASYNC_SOAK=10m")
	}
	s := newSite(t, sandbox.Config{Users: 400, Seed: 81, TokenLife: 20 * time.Second, NonceLife: 7 * time.Second})
	export := everySecond + "    retain: {last: 30}\n"
	d := s.start(t, export)
	d.wait("snapshot published")
	go func() { // the channel of log lines must not fill
		for range d.logs {
		}
	}()
	faults := []sandbox.Fault{
		{Nth: 2, Status: 503}, {Nth: 2, Reset: true}, {Nth: 1, CutAfter: 1000}, {Nth: 2, BrokenJSON: true},
		{Nth: 1, RevokeToken: true}, {Nth: 1, RotateNonce: true}, {Nth: 1, Status: 403, Code: "E0000006"},
		{Nth: 1, Lose: true}, {Path: "token", Nth: 1, Status: 500},
	}
	started := time.Now()
	var fifths [6]int64 // the minimum of each, because garbage collection makes it vary
	for i := 0; time.Since(started) < length; i++ {
		s.org.Inject(faults[i%len(faults)])
		s.org.Move(1)
		time.Sleep(time.Second)
		if i%5 == 0 {
			more := export
			if i%2 == 0 {
				more += "    timeout: 1h\n"
			}
			write(t, s.path("oktasync.yaml"), s.daemonConfig(more))
			d.signal(syscall.SIGHUP)
		}
		fifth := int(5 * time.Since(started) / length)
		if now := d.rss(); fifths[fifth] == 0 || now < fifths[fifth] {
			fifths[fifth] = now
		}
	}
	_, metrics := get(t, d.url+"/metrics")
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "oktasync_reconciles_total") || strings.HasPrefix(line, "go_goroutines") {
			t.Log(strings.TrimSpace(line))
		}
	}
	t.Logf("memory by fifths: %d", fifths)
	if warm, end := fifths[1], fifths[4]; end > warm+warm/10 {
		t.Errorf("memory grew from %d to %d bytes", warm, end)
	}
	d.signal(syscall.SIGTERM)
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("run ended with %v", err)
	}
	s.must(t, 0, "verify")
	s.noViolations(t)
}
