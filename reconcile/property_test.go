package reconcile_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// Whatever happens in an org while it is read, and however it is read: the
// reading is true, and an org at rest is equalled.
func TestReadingOfAnOrgThatChanges(t *testing.T) {
	seeds := uint64(20)
	switch {
	case os.Getenv("OKTASYNC_LONG_TESTS") == "1":
		seeds = 300
	case raceDetector: // ten times slower
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel() // while one waits for the disk, another goes on
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) { newWorld(t, seed, dir).run() })
		})
	}
}

// world is an org that changes, and an export of it.
type world struct {
	*testing.T
	random *rand.Rand
	app    *app
	lag    time.Duration
	first  bool // the org changes from the first reading on
	export reconcile.Export
	r      *reconcile.Reconciler
	store  *snapshot.Store
	passes passes

	project *canonjson.Projector

	people  []string             // who was there at first
	changes map[string][]version // of each user who changed since, oldest first
	changed []string             // ids of these
}

// version is what a user was from then on; nil: deleted, or not there yet.
type version struct {
	from time.Time
	json []byte
}

const (
	active = `status eq "ACTIVE"`
	sales  = `profile.department eq "Sales"`
)

func newWorld(t *testing.T, seed uint64, dir string) *world {
	random := rand.New(rand.NewPCG(seed, 4))
	w := &world{T: t, random: random, first: seed%4 >= 2, changes: map[string][]version{}}
	if seed%2 == 1 {
		w.lag = time.Duration(random.IntN(1000)) * time.Millisecond
	}
	w.app = newApp(t, sandbox.Config{
		Users: 5000, Seed: int64(seed), Epoch: time.Date(1999, 6, 1, 0, 0, 0, 0, time.UTC), Imported: []float64{0, 0.6}[random.IntN(2)],
		Latency: time.Duration(1+random.IntN(100)) * time.Millisecond, IndexLag: w.lag, RateLimit: sandbox.Limits(1 << 20),
		OffsetCursors: random.IntN(2) == 0, ClockOffset: time.Duration(random.IntN(3)-1) * time.Hour,
	})
	size := 7 + random.IntN(194)
	client, err := oktaclient.New(oktaclient.Config{
		OrgURL: w.app.org.URL(), HTTPClient: &http.Client{Transport: w.app}, RateLimitShare: 1,
		Concurrency: 1 + random.IntN(8), PageSize: size, Logger: slog.New(&w.passes),
	})
	if err != nil {
		t.Fatal(err)
	}
	of := snapshot.Org{URL: w.app.org.URL()}
	if w.store, err = snapshot.Init(filepath.Join(dir, "snapshots"), of, snapshot.Options{}); err != nil {
		t.Fatal(err)
	}
	w.export = reconcile.DefaultExport()
	w.export.Name = "people"
	w.export.Users.Attributes = reconcile.Attributes{Exclude: []string{"_links"}} // by id there are more of them
	w.project = canonjson.Attributes{Exclude: w.export.Users.Attributes.Exclude}.Projector(snapshot.Users.Always())
	w.export.Users.Guard = reconcile.UserGuard{MaxRemoved: snapshot.Percent(100), MaxDeactivated: snapshot.Percent(100)}
	w.export.Users.IncludeDeprovisioned = random.IntN(2) == 0
	w.export.Users.Search = []string{"", active, sales}[random.IntN(3)]
	w.export.Formats = []string{snapshot.FormatNDJSON}
	w.r = reconcile.New(reconcile.Config{Store: w.store, Source: smallPages{client, w, size}, Org: of, Tool: snapshot.Tool{Name: "oktasync"}})
	return w
}

// smallPages makes the borders of the newest snapshot fit the client's pages.
type smallPages struct {
	*oktaclient.Client
	w    *world
	size int
}

func (s smallPages) Read(ctx context.Context, q oktaclient.Query, sink oktaclient.Sink) (oktaclient.ReadResult, error) {
	if q.Borders != nil {
		newest, err := s.w.store.Latest(s.w.export.Name)
		if err == nil {
			q.Borders, err = reconcile.BordersOf(newest, s.size)
		}
		if err != nil {
			return oktaclient.ReadResult{}, err
		}
		q.KnownBefore = q.Borders[len(q.Borders)-1]
	}
	return s.Client.Read(ctx, q, sink)
}

// passes is a log handler that remembers when the last settling pass began.
type passes struct {
	mu   sync.Mutex
	last time.Time
}

func (p *passes) Enabled(context.Context, slog.Level) bool { return true }
func (p *passes) WithAttrs([]slog.Attr) slog.Handler       { return p }
func (p *passes) WithGroup(string) slog.Handler            { return p }
func (p *passes) Handle(_ context.Context, r slog.Record) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Message == "settling" {
		p.last = time.Now()
	}
	return nil
}

// run reads the org at rest, then while it changes, then at rest again; or
// while it changes from the first.
func (w *world) run() {
	for id := range w.app.org.UsersJSON() {
		w.people = append(w.people, id)
	}
	if !w.first {
		w.reconcile()
		w.people = append(w.people, w.app.org.Join(w.random.IntN(300))...)
		time.Sleep(20 * time.Minute)
	}

	ctx, stop := context.WithCancel(w.Context())
	var changing sync.WaitGroup
	random := rand.New(rand.NewPCG(w.random.Uint64(), 5))
	changing.Go(func() { w.change(ctx, random) })
	time.Sleep(time.Duration(w.random.IntN(2000)) * time.Millisecond)
	started := time.Now()
	s := w.reconcile()
	finished, last := time.Now(), w.passes.last
	stop()
	changing.Wait()
	time.Sleep(2 * time.Second)
	rest := w.reconcile()
	if !rest.Manifest.Read.Settled {
		w.Error("a reading of an org at rest did not settle")
	}
	at := w.equals(rest)
	w.check(w.users(s), at, started, last, finished)
	if v := w.app.org.Stats().Violations; len(v) > 0 {
		w.Errorf("violations: %v", v)
	}
	if w.Failed() {
		q := w.export.Users
		w.Logf("search %q, deprovisioned %t, lag %v", q.Search, q.IncludeDeprovisioned, w.lag)
	}
}

func (w *world) reconcile() *snapshot.Snapshot {
	w.Helper()
	result, err := w.r.Reconcile(w.Context(), w.export, snapshot.Run{Trigger: "test"})
	if err != nil {
		w.Fatal(err)
	}
	return result.Snapshot
}

// change changes somebody every few milliseconds.
func (w *world) change(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(2+random.IntN(60)) * time.Millisecond)
		org := w.app.org
		switch op := sandbox.Ops()[random.IntN(len(sandbox.Ops()))]; {
		case op == sandbox.Touch: // would change nobody's lastUpdated
			w.note(nil, org.Join(1)...)
		case random.IntN(2) == 0 && len(w.changed) > 0:
			id := w.changed[random.IntN(len(w.changed))]
			before, _ := org.User(id)
			if org.Change(op, id) == nil {
				w.note(before, id)
			}
		default:
			id := w.people[random.IntN(len(w.people))]
			before, _ := org.User(id)
			if org.Change(op, id) == nil {
				w.note(before, id)
			}
		}
	}
}

// note remembers what users have become, and what one was before.
func (w *world) note(before []byte, ids ...string) {
	for _, id := range ids {
		if w.changes[id] == nil {
			w.changes[id] = []version{{time.Time{}, before}}
			w.changed = append(w.changed, id)
		}
		now, _ := w.app.org.User(id)
		w.changes[id] = append(w.changes[id], version{time.Now(), now})
	}
}

// of is whether the export is of a user.
func (w *world) of(json []byte) bool {
	part := map[string]string{"": "", active: `"status":"ACTIVE"`, sales: `"department":"Sales"`}[w.export.Users.Search]
	return json != nil && bytes.Contains(json, []byte(part)) &&
		(w.export.Users.IncludeDeprovisioned || !bytes.Contains(json, []byte(`"status":"DEPROVISIONED"`)))
}

// users are those of a snapshot.
func (w *world) users(s *snapshot.Snapshot) map[string]string {
	reader, err := s.Records(snapshot.Users)
	if err != nil {
		w.Fatal(err)
	}
	defer reader.Close()
	users := map[string]string{}
	for {
		u, err := reader.Next()
		if err == io.EOF {
			return users
		} else if err != nil {
			w.Fatal(err)
		}
		users[string(u.Key)] = string(u.JSON)
	}
}

// canonical is a user as a snapshot holds them.
func (w *world) canonical(json []byte) string {
	text, err := canonjson.Canonical(nil, json)
	if err == nil {
		text, err = w.project.Project(nil, text)
	}
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// equals wants the snapshot to be exactly what the org has now, and returns its
// users.
func (w *world) equals(s *snapshot.Snapshot) map[string]string {
	w.Helper()
	got, want := w.users(s), 0
	for id, json := range w.app.org.UsersJSON() {
		if !w.of(json) {
			continue
		}
		if want++; got[id] != w.canonical(json) {
			w.Errorf("at rest, user %s = %.60q, want %.60q", id, got[id], json)
		}
	}
	if len(got) != want {
		w.Errorf("at rest, %d users, want %d", len(got), want)
	}
	return got
}

// check holds what was read of the changing org against what happened in it,
// and for whom nothing did against what was read at rest.
func (w *world) check(got, rest map[string]string, started, last, finished time.Time) {
	for id, text := range got {
		if w.changes[id] == nil {
			continue
		}
		if !slices.ContainsFunc(w.between(id, started.Add(-w.lag), finished), func(json []byte) bool { return w.of(json) && w.canonical(json) == text }) {
			w.Errorf("user %s = %s was never true", id, text)
		}
	}
	for _, id := range w.people {
		if w.changes[id] == nil && got[id] != rest[id] {
			w.Errorf("user %s, who did not change, = %.60q, want %.60q", id, got[id], rest[id])
		}
	}
	for _, id := range w.changed {
		always := !slices.ContainsFunc(w.between(id, started.Add(-w.lag), finished), func(json []byte) bool { return !w.of(json) })
		if always && got[id] == "" {
			w.Errorf("user %s is missing", id)
		}
		since := w.between(id, last.Add(-w.lag), finished)
		if len(since) > 1 || since[0] == nil {
			continue // changed after the last pass, or deleted: no list tells of that
		}
		if w.of(since[0]) != (got[id] != "") || w.of(since[0]) && w.canonical(since[0]) != got[id] {
			w.Errorf("user %s = %.60q, and has been %.60q since before the last pass", id, got[id], since[0])
		}
	}
}

// between returns what a user was from one time to another.
func (w *world) between(id string, from, to time.Time) (all [][]byte) {
	versions := w.changes[id]
	for i, v := range versions {
		if v.from.After(to) || i+1 < len(versions) && versions[i+1].from.Before(from) {
			continue
		}
		all = append(all, v.json)
	}
	return all
}
