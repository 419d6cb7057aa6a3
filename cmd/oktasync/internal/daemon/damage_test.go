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
	"oktasync/cmd/oktasync/internal/web"
	"oktasync/reconcile/snapshot"
)

// verifying is a service that can verify a store of its own, with its log.
func verifying(t *testing.T, dir string) (*service, *bytes.Buffer) {
	t.Helper()
	store, err := snapshot.Init(dir, snapshot.Org{URL: "https://acme.okta.com"}, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	d := &daemon{log: slog.New(slog.NewTextHandler(&log, nil)), metrics: web.NewMetrics("", "", nil, nil, nil)}
	return &service{daemon: d, cfg: config.Default(), store: store}, &log
}

// What a verify found is not lost where a reconcile writes to the journal just
// then; who never lets go of it is not waited for.
func TestVerifyIsJournaledOnceTheJournalIsFree(t *testing.T) {
	for _, test := range []struct {
		held time.Duration
		want string
	}{{time.Minute, "2 problems"}, {time.Hour, ""}} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			s, log := verifying(t, dir)
			w, err := s.store.Writer("staff", snapshot.ThisProcess("apply"))
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(test.held, func() { w.Close() })
			began := time.Now()
			s.record(t.Context(), []string{"staff"}, map[string]int{"staff": 2})
			if took := time.Since(began); took > recordWait+time.Second {
				t.Errorf("held for %s, it took %s", test.held, took)
			}
			history, err := s.store.Journal("staff")
			if err != nil || history.LastVerified.Error != test.want {
				t.Errorf("held for %s, the journal has %+v, %v", test.held, history.LastVerified, err)
			}
			if said := log.String(); strings.Contains(said, "verify not journaled") != (test.want == "") {
				t.Errorf("held for %s, log = %q", test.held, said)
			}
			time.Sleep(test.held)
		})
	}
}

// However a verify ends, the log has a line of it.
func TestVerifyThatFailsIsLogged(t *testing.T) {
	dir := t.TempDir()
	s, log := verifying(t, filepath.Join(dir, "snapshots"))
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
