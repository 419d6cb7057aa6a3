package reconcile_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile"
	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// An org changes while it is read. Each record of the read was true during the
// read, no record is missing, and a read of an org at rest equals the org.
func TestReadOfAChangingOrg(t *testing.T) {
	seeds := uint64(20)
	switch {
	case os.Getenv("OKTASYNC_LONG_TESTS") == "1":
		seeds = 300
	case raceDetector: // ten times slower
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
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
	first  bool // the org changes from the first read on
	export reconcile.Export
	r      *reconcile.Reconciler
	store  *snapshot.Store

	mu      sync.Mutex           // guards settled
	settled map[string]time.Time // start of the last settling pass, by resource
	project map[string]*canonjson.Projector

	people, groups []string             // ids before the changes
	changes        map[string][]version // of each record that changed since, oldest first
	changed        []string             // ids of these
}

// version is a record from a time on. Its json is nil if it doesn't exist.
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
	w := &world{T: t, random: random, first: seed%4 >= 2, changes: map[string][]version{}, settled: map[string]time.Time{}}
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
		Concurrency: 1 + random.IntN(8), PageSize: size,
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
	w.export.Users.Attributes = reconcile.Attributes{Exclude: []string{"_links"}} // responses by id have more links
	w.export.Users.Guard = reconcile.UserGuard{MaxRemoved: snapshot.Percent(100), MaxDeactivated: snapshot.Percent(100)}
	w.export.Groups = &reconcile.Resource{
		Attributes: reconcile.Attributes{Exclude: []string{"_links", "lastMembershipUpdated"}}, // which changes without lastUpdated
		Guard:      reconcile.Guard{MaxRemoved: snapshot.Percent(100)},
	}
	w.project = map[string]*canonjson.Projector{}
	for _, d := range w.export.Resources() {
		w.project[d.Resource.Name] = d.Attributes.Projector(d.Resource.Always())
	}
	w.export.Users.IncludeDeprovisioned = random.IntN(2) == 0
	w.export.Users.Search = []string{"", active, sales}[random.IntN(3)]
	w.export.Formats = []string{snapshot.FormatNDJSON}
	w.r = reconcile.New(reconcile.Config{Store: w.store, Source: smallPages{client, w, size}, Org: of, Tool: snapshot.Tool{Name: "oktasync"}})
	return w
}

// smallPages adapts the borders to the client's page size, and records when the
// last settling pass began.
type smallPages struct {
	*oktaclient.Client
	w    *world
	size int
}

func (s smallPages) Read(ctx context.Context, q oktaclient.Query, sink oktaclient.Sink) (oktaclient.ReadResult, error) {
	if q.Stats { // the list of control totals doesn't settle
		return s.Client.Read(ctx, q, sink)
	}
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
	copies := &copies{Sink: sink, seen: map[[2]string]bool{}}
	onPhase := q.OnPhase
	q.OnPhase = func(p oktaclient.Phase) {
		if p == oktaclient.PhaseSettle {
			s.w.mu.Lock()
			s.w.settled[q.Resource.Name] = time.Now()
			s.w.mu.Unlock()
			copies.last = nil
		}
		onPhase(p)
	}
	result, err := s.Client.Read(ctx, q, copies)
	if err == nil && result.Settled && len(copies.last) > 0 {
		s.w.Errorf("%s settled in a pass that found changes: %v", q.Resource.Name, copies.last)
	}
	return result, err
}

// copies records which copies of records a read passed first, and of these the
// ones in the last settling pass.
type copies struct {
	oktaclient.Sink
	seen map[[2]string]bool // by id and lastUpdated
	last [][2]string
}

func (c *copies) add(r oktaclient.Record) {
	if copy := [2]string{r.ID, r.LastUpdated}; !c.seen[copy] {
		c.seen[copy] = true
		c.last = append(c.last, copy)
	}
}

func (c *copies) Record(r oktaclient.Record) error {
	c.add(r)
	return c.Sink.Record(r)
}

func (c *copies) Outside(r oktaclient.Record) error {
	c.add(r)
	return c.Sink.Outside(r)
}

// run reads the org at rest, then while it changes, then at rest again; or
// while it changes from the first.
func (w *world) run() {
	for id := range w.app.org.UsersJSON() {
		w.people = append(w.people, id)
	}
	for n := range 100 {
		w.app.org.AddGroup(fmt.Sprint("Group ", n), "")
	}
	for id := range w.app.org.GroupsJSON() {
		w.groups = append(w.groups, id)
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
	finished, last := time.Now(), maps.Clone(w.settled)
	stop()
	changing.Wait()
	time.Sleep(2 * time.Second)
	rest := w.reconcile()
	if !rest.Manifest.Read.Settled {
		w.Error("a read of an org at rest did not settle")
	}
	at := w.equals(rest)
	w.check(w.records(s), at, started, last, finished)
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

// change changes a record every few milliseconds.
func (w *world) change(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(2+random.IntN(60)) * time.Millisecond)
		org := w.app.org
		switch op := sandbox.Ops()[random.IntN(len(sandbox.Ops()))]; {
		case random.IntN(4) == 0:
			w.changeGroup(random, w.groups[random.IntN(len(w.groups))])
		case op == sandbox.Touch: // doesn't change lastUpdated
			w.note(nil, org.Join(1)...)
		default:
			id := w.people[random.IntN(len(w.people))]
			if random.IntN(2) == 0 && len(w.changed) > 0 {
				id = w.changed[random.IntN(len(w.changed))]
			}
			before := w.now(id)
			if org.Change(op, id) == nil {
				w.note(before, id)
			}
		}
	}
}

// changeGroup changes the group with this id, or adds one.
func (w *world) changeGroup(random *rand.Rand, id string) {
	org, before := w.app.org, w.now(id)
	switch random.IntN(3) {
	case 0:
		w.note(nil, org.AddGroup(fmt.Sprint("Team ", random.IntN(1000)), ""))
	case 1:
		if org.SetGroup(id, "profile.name", fmt.Appendf(nil, `"Renamed %d"`, random.IntN(1000))) == nil {
			w.note(before, id)
		}
	case 2:
		if org.DeleteGroup(id) == nil {
			w.note(before, id)
		}
	}
}

// now returns a record as the org has it, or nil.
func (w *world) now(id string) []byte {
	get := w.app.org.User
	if isGroup(id) {
		get = w.app.org.Group
	}
	json, _ := get(id)
	return json
}

func isGroup(id string) bool { return strings.HasPrefix(id, "00g") }

// note records the current versions of records, and the one before the first
// change.
func (w *world) note(before []byte, ids ...string) {
	for _, id := range ids {
		if w.changes[id] == nil {
			w.changes[id] = []version{{time.Time{}, before}}
			w.changed = append(w.changed, id)
		}
		w.changes[id] = append(w.changes[id], version{time.Now(), w.now(id)})
	}
}

// selects reports whether the export contains a version of a record.
func (w *world) selects(id string, json []byte) bool {
	if isGroup(id) {
		return json != nil
	}
	part := map[string]string{"": "", active: `"status":"ACTIVE"`, sales: `"department":"Sales"`}[w.export.Users.Search]
	return json != nil && bytes.Contains(json, []byte(part)) &&
		(w.export.Users.IncludeDeprovisioned || !bytes.Contains(json, []byte(`"status":"DEPROVISIONED"`)))
}

// records returns the JSON of all records of a snapshot.
func (w *world) records(s *snapshot.Snapshot) map[string]string {
	all := map[string]string{}
	for _, r := range s.Recorded() {
		records, err := s.Records(r)
		maps.Copy(all, recordtest.ReadAll(w, records, err))
	}
	return all
}

// canonical returns a version of a record as a snapshot contains it.
func (w *world) canonical(id string, json []byte) string {
	name := "users"
	if isGroup(id) {
		name = "groups"
	}
	text, err := w.project[name].Project(nil, recordtest.Canonical(w, string(json)))
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// equals checks that the snapshot equals the org, and returns its records.
func (w *world) equals(s *snapshot.Snapshot) map[string]string {
	w.Helper()
	got, want := w.records(s), 0
	for _, records := range []iter.Seq2[string, []byte]{w.app.org.UsersJSON(), w.app.org.GroupsJSON()} {
		for id, json := range records {
			if !w.selects(id, json) {
				continue
			}
			if want++; got[id] != w.canonical(id, json) {
				w.Errorf("at rest, %s = %.60q, want %.60q", id, got[id], json)
			}
		}
	}
	if len(got) != want {
		w.Errorf("at rest, %d records, want %d", len(got), want)
	}
	return got
}

// check compares the read of the changing org with the changes, and the records
// that didn't change with the read at rest.
func (w *world) check(got, rest map[string]string, started time.Time, last map[string]time.Time, finished time.Time) {
	for id, text := range got {
		if w.changes[id] == nil {
			continue
		}
		if !slices.ContainsFunc(w.between(id, started.Add(-w.lag), finished), func(json []byte) bool { return w.selects(id, json) && w.canonical(id, json) == text }) {
			w.Errorf("%s = %s was never true", id, text)
		}
	}
	for _, id := range slices.Concat(w.people, w.groups) {
		if w.changes[id] == nil && got[id] != rest[id] {
			w.Errorf("%s, which did not change, = %.60q, want %.60q", id, got[id], rest[id])
		}
	}
	for _, id := range w.changed {
		always := !slices.ContainsFunc(w.between(id, started.Add(-w.lag), finished), func(json []byte) bool { return !w.selects(id, json) })
		if always && got[id] == "" {
			w.Errorf("%s is missing", id)
		}
		settled := last["users"]
		if isGroup(id) {
			settled = last["groups"]
		}
		since := w.between(id, settled.Add(-w.lag), finished)
		if len(since) > 1 || since[0] == nil {
			continue // changed after the last pass, or deleted, which no list shows
		}
		if w.selects(id, since[0]) != (got[id] != "") || w.selects(id, since[0]) && w.canonical(id, since[0]) != got[id] {
			w.Errorf("%s = %.60q, and has been %.60q since before the last pass", id, got[id], since[0])
		}
	}
}

// between returns the versions of a record from one time to another.
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
