package daemon

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/reconcile/snapshot"
)

// newVerifier returns a service that can verify a new store, and its log.
func newVerifier(t *testing.T, dir string) (*service, *bytes.Buffer) {
	t.Helper()
	store, err := snapshot.Init(dir, snapshot.Org{URL: "https://acme.okta.com"}, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	d := newDaemon(Options{}, slog.New(slog.NewTextHandler(&log, nil)))
	return &service{daemon: d, cfg: config.Default(), store: store}, &log
}

// If a reconcile has locked the journal, the result of a verify is journaled later, but
// not after recordWait.
func TestVerifyWaitsForTheJournal(t *testing.T) {
	for _, test := range []struct {
		locked time.Duration
		want   string
	}{{time.Minute, "2 problems"}, {time.Hour, ""}} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			s, log := newVerifier(t, dir)
			w, err := s.store.Writer(t.Context(), "staff", snapshot.ThisProcess("apply"))
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(test.locked, func() { w.Close() })
			began := time.Now()
			s.record(t.Context(), []string{"staff"}, map[string]int{"staff": 2})
			if took := time.Since(began); took > recordWait+time.Second {
				t.Errorf("locked for %s: record took %s", test.locked, took)
			}
			history, err := s.store.Journal("staff")
			if err != nil || history.LastVerified.Error != test.want {
				t.Errorf("locked for %s: the journal contains %+v, %v", test.locked, history.LastVerified, err)
			}
			if got := log.String(); strings.Contains(got, "verify not journaled") != (test.want == "") {
				t.Errorf("locked for %s: log = %q", test.locked, got)
			}
			time.Sleep(test.locked)
		})
	}
}

// Each verify ends with a line in the log.
func TestVerifyIsLogged(t *testing.T) {
	dir := t.TempDir()
	s, log := newVerifier(t, filepath.Join(dir, "snapshots"))
	if err := s.verify(t.Context()); err != nil || !strings.Contains(log.String(), `level=INFO msg="store verified" snapshots=0 problems=0`) {
		t.Errorf("%v, log = %q", err, log)
	}
	log.Reset()
	s.cfg.Store.AllowedSignersFile = filepath.Join(dir, "nowhere")
	if err := s.verify(t.Context()); err == nil || !strings.Contains(log.String(), `level=ERROR msg="verify failed"`) {
		t.Errorf("without signers: %v, log = %q", err, log)
	}
	s.cfg.Store.AllowedSignersFile = ""
	log.Reset()
	if err := os.RemoveAll(s.store.Dir()); err != nil {
		t.Fatal(err)
	}
	if err := s.verify(t.Context()); err == nil || !strings.Contains(log.String(), `level=ERROR msg="verify failed"`) {
		t.Errorf("without a store: %v, log = %q", err, log)
	}
	log.Reset()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := s.verify(ctx); err == nil || !strings.Contains(log.String(), `level=WARN msg="verify cancelled"`) || strings.Contains(log.String(), "ERROR") {
		t.Errorf("cancelled: %v, log = %q", err, log)
	}
}
