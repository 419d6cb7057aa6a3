package reconcile_test

import (
	"context"
	"fmt"
	"iter"
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
	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
)

// Groups, apps and their edges change while they are read, and Okta shows changes of
// members late. Each edge of the snapshot existed during the read, no edge is missing
// that existed all the time, and a snapshot of an org at rest equals the org, also if the
// members of unchanged groups are carried.
func TestAccessOfAChangingOrg(t *testing.T) {
	seeds := uint64(20)
	switch {
	case os.Getenv("OKTASYNC_ALL_TESTS") == "1", os.Getenv("OKTASYNC_LONG_TESTS") == "1":
		seeds = 200
	case raceDetector: // ten times slower
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) { newAccessWorld(t, seed, dir, func(*sandbox.Config) {}).run() })
		})
	}
}

// accessWorld is an org that changes, and an export of all its resources.
type accessWorld struct {
	*testing.T
	random *rand.Rand
	org    *sandbox.Org
	offset time.Duration // of the org's clock
	export reconcile.Export
	r      *reconcile.Reconciler
	store  *snapshot.Store

	users, groups, apps, rules []string
	touched                    map[string]bool // ids of the objects that changed
	carried                    int             // members that were carried, in all snapshots
}

func newAccessWorld(t *testing.T, seed uint64, dir string, change func(*sandbox.Config)) *accessWorld {
	random := rand.New(rand.NewPCG(seed, 6))
	w := &accessWorld{T: t, random: random, offset: time.Duration(random.IntN(3)-1) * time.Hour, touched: map[string]bool{}}
	cfg := sandbox.Config{
		Users: 200, Seed: int64(seed), Epoch: time.Date(1999, 6, 1, 0, 0, 0, 0, time.UTC), RateLimit: sandbox.Limits(1 << 20),
		Latency: time.Duration(1+random.IntN(100)) * time.Millisecond, ClockOffset: w.offset, TokenLife: 1000 * time.Hour,
	}
	if seed%2 == 1 {
		cfg.IndexLag = time.Duration(random.IntN(1000)) * time.Millisecond
		cfg.MemberLag, cfg.StampLag = 3*time.Second, 10*time.Second
	}
	change(&cfg)
	app := newApp(t, cfg)
	w.org = app.org
	client, err := oktaclient.New(oktaclient.Config{
		OrgURL: w.org.URL(), HTTPClient: &http.Client{Transport: app}, RateLimitShare: 1, Concurrency: 1 + random.IntN(8), PageSize: 7 + random.IntN(194),
		ClockOffset: func() time.Duration { return w.offset },
	})
	if err != nil {
		t.Fatal(err)
	}
	of := snapshot.Org{URL: w.org.URL()}
	if w.store, err = snapshot.Init(filepath.Join(dir, "snapshots"), of, snapshot.Options{}); err != nil {
		t.Fatal(err)
	}
	w.export = reconcile.DefaultExport()
	w.export.Name = "access"
	w.export.Users.Attributes = reconcile.Attributes{Include: []string{"profile.login"}}
	w.export.Users.Guard = reconcile.UserGuard{MaxRemoved: snapshot.Percent(100), MaxDeactivated: snapshot.Percent(100)}
	declareAll(&w.export)
	for _, r := range []*reconcile.Resource{w.export.Groups, w.export.GroupRules, w.export.Apps, w.export.AppUsers, w.export.AppGroups} {
		r.Guard = reconcile.Guard{MaxRemoved: snapshot.Percent(100)}
		r.Attributes = reconcile.Attributes{Exclude: []string{"_links", "lastMembershipUpdated"}}
	}
	w.export.GroupMembers.Guard = w.export.Groups.Guard
	if seed < 20 && seed%4 > 1 || seed%12 == 3 { // each takes as long as ten others
		w.export.GroupMembers.Refresh = snapshot.RefreshIncremental
		w.export.GroupMembers.Full = time.Duration(1+random.IntN(48)) * time.Hour
	}
	w.r = reconcile.New(reconcile.Config{Store: w.store, Source: client, Org: of, Tool: snapshot.Tool{Name: "oktasync"}})
	return w
}

// run reads the org at rest, then while it changes, then at rest again. It does that more
// often if members can be carried.
func (w *accessWorld) run() {
	for ids, objects := range map[*[]string]iter.Seq2[string, []byte]{
		&w.users: w.org.UsersJSON(), &w.groups: w.org.GroupsJSON(), &w.apps: w.org.AppsJSON(), &w.rules: w.org.RulesJSON(),
	} {
		for id := range objects {
			*ids = append(*ids, id)
		}
		slices.Sort(*ids)
	}
	if w.random.IntN(3) > 0 {
		w.reconcile()
		time.Sleep(20 * time.Minute)
	}
	w.readWhileChanging()
	w.readAtRest()
	if w.export.GroupMembers.Refresh == snapshot.RefreshIncremental {
		for range 5 {
			time.Sleep(time.Duration(w.random.IntN(40)) * time.Minute)
			w.readWhileChanging()
			time.Sleep(time.Duration(w.random.IntN(2)*20) * time.Minute)
			w.readAtRest()
		}
		if w.carried == 0 {
			w.Error("no members were carried")
		}
	}
	if v := w.org.Stats().Violations; len(v) > 0 {
		w.Errorf("violations: %v", v)
	}
	storetest.CheckOK(w.T, w.store)
}

func (w *accessWorld) readWhileChanging() {
	before := w.objects()
	clear(w.touched)
	ctx, stop := context.WithCancel(w.Context())
	var changing sync.WaitGroup
	random := rand.New(rand.NewPCG(w.random.Uint64(), 7))
	changing.Go(func() { w.change(ctx, random) })
	time.Sleep(time.Duration(w.random.IntN(20)) * time.Second)
	from := w.now()
	s := w.reconcile()
	to := w.now()
	stop()
	changing.Wait()
	w.check(s, before, from, to)
	if c := s.Manifest.Control; c == nil || !c.Reconciled {
		w.Errorf("the changes don't explain the control totals %+v", c)
	}
}

func (w *accessWorld) readAtRest() {
	time.Sleep(time.Minute)
	s := w.reconcile()
	if !s.Manifest.Read.Settled {
		w.Error("a read of an org at rest did not settle")
	}
	if c := s.Manifest.Control; c == nil || !c.Reconciled || c.Everyone == nil || len(c.Groups.Different) > 0 {
		w.Errorf("the control totals of an org at rest are %+v", c)
	}
	w.equals(s)
}

// now returns the time of the org's clock.
func (w *accessWorld) now() time.Time { return time.Now().Add(w.offset) }

func (w *accessWorld) reconcile() *snapshot.Snapshot {
	w.Helper()
	result, err := w.r.Reconcile(w.Context(), w.export, snapshot.Run{Trigger: "test"})
	if err != nil {
		w.Fatal(err)
	}
	w.carried += result.Snapshot.Manifest.Resources["group_members"].Carried
	return result.Snapshot
}

// change changes an object or an edge every few milliseconds.
func (w *accessWorld) change(ctx context.Context, random *rand.Rand) {
	pick := func(ids []string) string { return ids[random.IntN(len(ids))] }
	for ctx.Err() == nil {
		time.Sleep(time.Duration(2+random.IntN(120)) * time.Millisecond)
		user, group, app, rule := pick(w.users), pick(w.groups), pick(w.apps), pick(w.rules)
		touched := ""
		switch random.IntN(16) { // an error means that the object was deleted
		case 0, 1, 2:
			_ = w.org.AddMember(group, user)
		case 3, 4, 5:
			if edges := w.org.EdgesOf(sandbox.GroupMembers, group); len(edges) > 0 {
				user = edges[random.IntN(len(edges))].Child
			}
			_ = w.org.RemoveMember(group, user)
		case 6, 7:
			_ = w.org.AssignUser(app, user, "")
		case 8:
			_ = w.org.UnassignUser(app, user)
		case 9:
			_ = w.org.AssignGroup(app, group, random.IntN(10))
		case 10:
			_ = w.org.UnassignGroup(app, group)
		case 11:
			w.users = append(w.users, w.org.Join(1)...)
		case 12:
			touched = user
			_ = w.org.Change(sandbox.Delete, user)
		case 13:
			w.groups = append(w.groups, w.org.AddGroup(fmt.Sprint("Team ", random.IntN(1000)), ""))
			if touched = group; random.IntN(2) == 0 {
				_ = w.org.DeleteGroup(group)
			}
		case 14:
			w.apps = append(w.apps, w.org.AddApp(fmt.Sprint("App ", random.IntN(1000))))
			if touched = app; random.IntN(2) == 0 {
				_ = w.org.DeleteApp(app)
			} else {
				_ = w.org.SetAppActive(app, random.IntN(2) == 0)
			}
		case 15:
			w.rules = append(w.rules, w.org.AddRule(fmt.Sprint("Rule ", random.IntN(1000)), `user.department=="Sales"`, group))
			if touched = rule; random.IntN(2) == 0 {
				_ = w.org.DeleteRule(rule)
			} else {
				_ = w.org.SetRuleActive(rule, random.IntN(2) == 0)
			}
		}
		w.touched[touched] = true
	}
}

// objects returns all records of the org that are no edges, by resource and id.
func (w *accessWorld) objects() map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, d := range w.export.Resources() {
		objects := map[string]iter.Seq2[string, []byte]{
			"users": w.org.UsersJSON(), "groups": w.org.GroupsJSON(), "apps": w.org.AppsJSON(), "group_rules": w.org.RulesJSON(),
		}[d.Resource.Name]
		if objects == nil {
			continue
		}
		all[d.Resource.Name] = map[string]string{}
		for id, json := range objects {
			all[d.Resource.Name][id] = w.recorded(d, "", json)
		}
	}
	return all
}

// recorded returns the record of an object.
func (w *accessWorld) recorded(d reconcile.Declared, parent string, json []byte) string {
	record, err := d.Resource.Record(nil, parent, json)
	if err == nil {
		record, err = d.Attributes.Projector(d.Resource.Always()).Project(nil, record)
	}
	if err != nil {
		w.Fatal(err)
	}
	return string(record)
}

func (w *accessWorld) records(s *snapshot.Snapshot, r *snapshot.Resource) map[string]string {
	records, err := s.Records(r)
	return recordtest.ReadAll(w, records, err)
}

// equals checks that the snapshot equals the org.
func (w *accessWorld) equals(s *snapshot.Snapshot) {
	w.Helper()
	want := w.objects()
	for _, d := range w.export.Resources() {
		name := d.Resource.Name
		if d.Resource.Parent != nil {
			want[name] = map[string]string{}
			for e := range w.org.Edges(sandbox.EdgeKind(name), time.Time{}) {
				json, _ := w.org.EdgeJSON(sandbox.EdgeKind(name), e.Parent, e.Child)
				want[name][e.Parent+"\x00"+e.Child] = w.recorded(d, e.Parent, json)
			}
		}
		got := w.records(s, d.Resource)
		for key, record := range want[name] {
			if got[key] != record {
				w.Errorf("at rest, %s %q = %.90s, want %.90s", name, key, got[key], record)
			}
		}
		if len(got) != len(want[name]) {
			w.Errorf("at rest, %d %s, want %d", len(got), name, len(want[name]))
		}
	}
}

// check compares the snapshot of the changing org with the history of each edge, and
// with the objects that didn't change.
func (w *accessWorld) check(s *snapshot.Snapshot, before map[string]map[string]string, from, to time.Time) {
	for _, d := range w.export.Resources() {
		got := w.records(s, d.Resource)
		for id, record := range before[d.Resource.Name] {
			if !w.touched[id] && got[id] != record {
				w.Errorf("%s %s, which did not change, = %.90s, want %.90s", d.Resource.Noun, id, got[id], record)
			}
		}
		if d.Resource.Parent != nil {
			w.checkEdges(sandbox.EdgeKind(d.Resource.Name), got, from, to)
		}
	}
}

func (w *accessWorld) checkEdges(kind sandbox.EdgeKind, got map[string]string, from, to time.Time) {
	existed, always := map[string]bool{}, map[string]bool{}
	for _, parent := range slices.Concat(w.groups, w.apps) {
		for _, e := range w.org.EdgesOf(kind, parent) {
			key := parent + "\x00" + e.Child
			existed[key] = existed[key] || e.Existed(from, to)
			always[key] = always[key] || !e.From.After(from) && (e.Until.IsZero() || !e.Until.Before(to))
		}
	}
	for key := range got {
		if !existed[key] {
			w.Errorf("%s %s did not exist from %s to %s: %+v", kind, strings.ReplaceAll(key, "\x00", "-"), from, to, w.versions(kind, key))
		}
	}
	for key := range always {
		if always[key] && got[key] == "" {
			w.Errorf("%s %s is missing from %s to %s: %+v", kind, strings.ReplaceAll(key, "\x00", "-"), from, to, w.versions(kind, key))
		}
	}
}

func (w *accessWorld) versions(kind sandbox.EdgeKind, key string) (all []sandbox.Edge) {
	parent, child, _ := strings.Cut(key, "\x00")
	for _, e := range w.org.EdgesOf(kind, parent) {
		if e.Child == child {
			all = append(all, e)
		}
	}
	return all
}

// If 1 % of the groups change, an incremental read sends at most 5 % of the requests for
// members, and equals a full read.
func TestRequestsOfAnIncrementalRead(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newAccessWorld(t, 2, dir, func(cfg *sandbox.Config) { cfg.Groups = 300 })
		for id := range w.org.GroupsJSON() {
			w.groups = append(w.groups, id)
		}
		full := membersRequests(t, w.reconcile())
		time.Sleep(time.Hour)
		for _, group := range w.groups[100:103] {
			for e := range w.org.UsersJSON() {
				storetest.Must(t, w.org.AddMember(group, e))
				break
			}
		}
		time.Sleep(time.Minute)
		s := w.reconcile()
		if n := membersRequests(t, s); n*20 > full {
			t.Errorf("%d requests for members, a full read sent %d", n, full)
		}
		w.equals(s)
	})
}

func membersRequests(t *testing.T, s *snapshot.Snapshot) int {
	return strings.Count(storetest.Read(t, s.Dir(), snapshot.RequestsFile), `"resource":"group_members"`)
}
