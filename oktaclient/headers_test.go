package oktaclient_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
)

func TestLimitEnd(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		limit    oktaclient.Limit
		requests int
		want     time.Duration
	}{
		{oktaclient.Limit{}, 1000, 0}, // no response yet
		{oktaclient.Limit{Limit: 300, Share: 150, Used: 50, Reset: now.Add(20 * time.Second)}, 100, 0},
		{oktaclient.Limit{Limit: 300, Share: 150, Used: 50, Reset: now.Add(20 * time.Second)}, 101, 20 * time.Second},
		{oktaclient.Limit{Limit: 300, Share: 150, Used: 50, Reset: now.Add(20 * time.Second)}, 250, 20 * time.Second},
		{oktaclient.Limit{Limit: 300, Share: 150, Used: 50, Reset: now.Add(20 * time.Second)}, 251, 80 * time.Second},
		{oktaclient.Limit{Limit: 300, Share: 150, Used: 160, Reset: now.Add(20 * time.Second)}, 151, 80 * time.Second},
		{oktaclient.Limit{Limit: 300, Share: 150, Used: 150, Reset: now}, 150, 0}, // a window without requests
		{oktaclient.Limit{Limit: 300, Share: 150, Used: 150, Reset: now}, 151, time.Minute},
	} {
		if got := test.limit.End(test.requests, now).Sub(now); got != test.want {
			t.Errorf("%+v: End(%d) is in %v, want %v", test.limit, test.requests, got, test.want)
		}
	}
}

// waits is a log handler that stores the records of delayed requests.
type waits struct {
	mu    sync.Mutex
	lines []slog.Record
}

func (w *waits) Enabled(context.Context, slog.Level) bool { return true }
func (w *waits) WithAttrs([]slog.Attr) slog.Handler       { return w }
func (w *waits) WithGroup(string) slog.Handler            { return w }
func (w *waits) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.Message == "requests delayed" {
		w.lines = append(w.lines, r)
	}
	return nil
}

// The client logs one record for each window that requests wait for. It is a
// warning if other clients have used up three windows in a row.
func TestWaitsAreLoggedOncePerWindow(t *testing.T) {
	for _, test := range []struct {
		name     string
		others   int // of the limit of 300, at the start of each window
		requests int
		windows  int
		first    slog.Level // of the first two windows
		later    slog.Level
		reason   string
	}{
		{"share used", 0, 450, 2, slog.LevelDebug, slog.LevelDebug, "the next window: the share of this window is used"},
		{"used by others", 200, 60, 6, slog.LevelInfo, slog.LevelWarn, "the next window: other clients have used this window"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, lines := newLimits(1, 300, okay), &waits{}
				for w := range 20 {
					l.others[w] = test.others
				}
				c := newClient(t, "http://127.0.0.1", &http.Client{Transport: inProcess{l}}, func(cfg *oktaclient.Config) {
					cfg.RateLimitShare, cfg.Concurrency, cfg.Logger = 0.5, 8, slog.New(lines)
				})
				if err := readers(t.Context(), c, test.requests, 8); err != nil {
					t.Fatal(err)
				}
				if got := len(lines.lines); got < test.windows || got > test.windows+1 {
					t.Errorf("%d lines, want one for each of %d windows", got, test.windows)
				}
				for i, r := range lines.lines {
					got := map[string]slog.Value{}
					r.Attrs(func(a slog.Attr) bool { got[a.Key] = a.Value; return true })
					until := got["next"].Time()
					want := test.first
					if l.window(until) > 2 {
						want = test.later
					}
					if r.Level != want || got["reason"].String() != test.reason || got["waiting"].Int64() < 1 || got["path"].String() != "/api/v1/users" {
						t.Errorf("line %d = %v %v", i, r.Level, got)
					}
					if w := l.window(until); until.Sub(l.begun.Add(time.Duration(w)*time.Minute)) > 3*time.Second {
						t.Errorf("line %d: next = %v, want the start of a window", i, until)
					}
				}
			})
		})
	}
}

func TestBuckets(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v1/users":                               "users",
		"/api/v1/users/00u1":                          "users/*",
		"/api/v1/users/00u1/factors":                  "users",
		"/api/v1/users/00u1/roles/ra1/targets/groups": "users",
		"/api/v1/groups":                              "groups",
		"/api/v1/groups/00g1":                         "groups/*",
		"/api/v1/groups/00g1/users":                   "groups",
		"/api/v1/groups/rules":                        "groups",
		"/api/v1/groups/rules/0pr1":                   "groups",
		"/api/v1/apps":                                "apps",
		"/api/v1/apps/0oa1":                           "apps/*",
		"/api/v1/apps/0oa1/users":                     "apps",
		"/api/v1/apps/0oa1/groups/00g1":               "apps",
		"/oauth2/v1/clients/0oa1/roles":               "clients",
		"/api/v1/iam/resource-sets/iam1/bindings":     "iam",
		"/api/v1/logs":                                "logs",
		"/api/v1/devices":                             "devices",
		"/api/v1/devices/guo1/users":                  "devices/*/users",
		"/api/v1/authenticators/aut1":                 "authenticators/*",
	} {
		if got := oktaclient.BucketOf(path); got != want {
			t.Errorf("bucketOf(%q) = %q, want %q", path, got, want)
		}
	}
}
