package daemon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/dpopauth/keys"
	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// The daemon runs for a simulated day: 40 exports every 15 minutes, with an org whose
// requests often fail. Each due run happens once, a failed run is retried before the
// next, and the numbers of goroutines and of bytes on the heap don't grow after the first
// hour. The short form is 6 exports for 2 hours.
func TestDayOfTheDaemon(t *testing.T) {
	exports, length := 6, 2*time.Hour
	if os.Getenv("OKTASYNC_LONG_TESTS") == "1" {
		exports, length = 40, 24*time.Hour
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		org, key := simulatedOrg(t)
		d := simulatedDaemon(t, dir, org, key, exports)
		began := time.Now() // midnight
		var hour usage
		time.AfterFunc(time.Hour+13*time.Minute, func() { hour = measure() })
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(length-2*time.Minute, func() {
			if end := measure(); end.goroutines > hour.goroutines || end.heap > hour.heap+hour.heap/10+1<<20 {
				t.Errorf("at the end %+v, after an hour %+v", end, hour)
			} else {
				t.Logf("after an hour %+v, at the end %+v", hour, end)
			}
			stop()
		})
		for hour := range int(length / time.Hour) {
			time.AfterFunc(time.Duration(hour)*time.Hour+time.Minute, func() { org.Join(1) })
		}
		d.scheduler.Run(ctx)
		s := d.current.Load()
		failed, runs := 0, int(length/(15*time.Minute))-1
		for _, export := range s.cfg.Exports {
			failed += meetsEachDueTime(t, dir, export.Name, began, runs)
		}
		t.Logf("%d runs of %d exports; %d failed and were retried", runs, exports, failed)
		if failed == 0 {
			t.Error("no run failed")
		}
		if v := org.Stats().Violations; len(v) > 0 {
			t.Errorf("violations: %q", v)
		}
		if err := s.verify(t.Context()); err != nil {
			t.Error(err)
		}
		for _, h := range s.cfg.Exports {
			if got := s.health(h); got.State == StateDamaged {
				t.Errorf("%s is %s", h.Name, got)
			}
		}
	})
}

// simulatedOrg returns an org in this process. Some requests fail once, and some fail
// each time within a reconcile.
func simulatedOrg(t *testing.T) (*sandbox.Org, *keys.Key) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.New(private)
	if err != nil {
		t.Fatal(err)
	}
	org := sandbox.NewOrg(sandbox.Config{
		Users: 30, Seed: 111, Latency: 200 * time.Millisecond, RateLimit: sandbox.Limits(100_000), NonceEvery: 50, APINonceEvery: 30,
		Clients: []sandbox.ClientApp{{ID: "0oa1", Keys: []sandbox.PublicKey{{Key: private.Public()}}, RequireDPoP: true, Scopes: []string{config.UsersScope}}},
	})
	for _, fault := range []sandbox.Fault{
		{Nth: 17, Every: 41, Status: 503}, {Nth: 29, Every: 67, Reset: true}, {Nth: 31, Every: 89, CutAfter: 500},
		{Nth: 37, Every: 101, RevokeToken: true}, {Path: "token", Nth: 2, Every: 5, Status: 500},
		{Nth: 23, Every: 43, Status: 403, Code: "E0000006"}, // not retried within a reconcile
	} {
		org.Inject(fault)
	}
	return org, key
}

// simulatedDaemon returns the daemon that Run creates, without its network.
func simulatedDaemon(t *testing.T, dir string, sim *sandbox.Org, key *keys.Key, exports int) *daemon {
	t.Helper()
	cfg := config.Default()
	cfg.Okta.OrgURL, cfg.Okta.ClientID, cfg.Okta.RateLimitShare = sim.URL(), "0oa1", 1
	cfg.Store.Path, cfg.Daemon.Verify = dir, ""
	for i := range exports {
		export := reconcile.DefaultExport()
		export.Name, export.Schedule, export.Snapshot = fmt.Sprintf("export-%02d", i), "*/15 * * * *", reconcile.OnChange
		export.Retry = reconcile.Retry{Most: 1, FirstWait: 5 * time.Minute}
		cfg.Exports = append(cfg.Exports, export)
	}
	d := newDaemon(Options{Tool: snapshot.Tool{Name: "oktasync"}}, slog.New(slog.DiscardHandler))
	s := &service{daemon: d, cfg: cfg, schedules: make(map[string]scheduler.Schedule), since: make(map[string]time.Time)}
	var err error
	if s.org, err = org.New(cfg, d.Tool, d.log, sim.Transport(), key, nil); err == nil {
		err = s.org.Join(cfg, d.log, nil)
	}
	if err == nil {
		s.store, err = org.OpenStore(cfg, &d.witness)
	}
	if err == nil {
		err = s.schedule(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.reconciler = s.org.Reconciler(cfg, s.store, d.log, nil)
	d.use(s)
	return d
}

// meetsEachDueTime checks that an export's journal contains one start for each due time,
// one retry after each failure, and no other start. It returns the number of failures.
func meetsEachDueTime(t *testing.T, dir, export string, began time.Time, runs int) (failed int) {
	t.Helper()
	journal, err := os.ReadFile(filepath.Join(dir, export, "journal.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var regular, retries int
	retry := false
	for line := range strings.Lines(string(journal)) {
		e, err := snapshot.ParseEvent([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		since := e.Time.Sub(began)
		switch {
		case e.Event == snapshot.EventStarted && since%(15*time.Minute) < time.Second:
			regular++
			if want := time.Duration(regular) * 15 * time.Minute; since.Truncate(time.Second) != want {
				t.Errorf("%s: start %d is after %s, want %s", export, regular, since, want)
			}
			retry = true
		case e.Event == snapshot.EventStarted:
			retries++
			if !retry {
				t.Errorf("%s: a start after %s, which isn't scheduled", export, since)
			}
			retry = false
		case e.Event == snapshot.EventFailed && retry:
			failed++
		case e.Event == snapshot.EventPublished || e.Event == snapshot.EventUnchanged:
			retry = false
		}
	}
	if regular != runs || retries != failed {
		t.Errorf("%s: %d starts, want %d; %d retries of %d failed runs", export, regular, runs, retries, failed)
	}
	return failed
}

// usage is the number of goroutines and of bytes on the heap.
type usage struct {
	goroutines int
	heap       uint64
}

func measure() usage {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{runtime.NumGoroutine(), m.HeapAlloc}
}
