package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
)

// org is a Source: a read returns its records.
type org struct {
	users, groups []oktaclient.Record
	skip          func(oktaclient.Record) bool // records that exist and that no page contains
	found         []string                     // ids that were requested
	script        func(oktaclient.Sink)        // passes 8 further records of a read
	fail          error
	hook          func(ctx context.Context) // runs when a read starts
	query         oktaclient.Query          // of the last read
	later         time.Duration             // that Find takes longer
	mu            sync.Mutex                // guards query and found
}

func (o *org) records(q oktaclient.Query) []oktaclient.Record {
	if q.Resource.Name == "groups" {
		return o.groups
	}
	return o.users
}

func (o *org) Read(ctx context.Context, q oktaclient.Query, sink oktaclient.Sink) (oktaclient.ReadResult, error) {
	o.mu.Lock()
	o.query = q
	o.mu.Unlock()
	started := time.Now()
	if o.hook != nil {
		o.hook(ctx)
	}
	if err := ctx.Err(); err != nil {
		return oktaclient.ReadResult{}, err
	}
	rows := 0
	for _, r := range o.records(q) {
		if o.skip != nil && o.skip(r) {
			continue
		}
		if err := pass(q, r, sink); err != nil {
			return oktaclient.ReadResult{}, err
		}
		rows++
	}
	if o.script != nil {
		o.script(sink)
		rows = 8
	}
	request := oktaclient.Request{Resource: q.Resource.Name, Time: started, Method: "GET", Path: q.Resource.Path + "?limit=200", Status: 200, Rows: rows, RequestID: "r1"}
	if err := sink.Request(request); err != nil {
		return oktaclient.ReadResult{}, err
	}
	return oktaclient.ReadResult{Started: started, Finished: time.Now(), Requests: 1, Rows: rows, Settled: q.Resource.Name == "users"}, o.fail
}

func pass(q oktaclient.Query, r oktaclient.Record, sink oktaclient.Sink) error {
	if r.Status == "DEPROVISIONED" && !q.IncludeDeprovisioned {
		return sink.Outside(r)
	}
	return sink.Record(r)
}

func (o *org) Find(_ context.Context, q oktaclient.Query, ids []string, sink oktaclient.Sink) (oktaclient.ReadResult, error) {
	result := oktaclient.ReadResult{Started: time.Now()}
	for _, id := range ids {
		o.mu.Lock()
		o.found = append(o.found, id)
		o.mu.Unlock()
		request := oktaclient.Request{Resource: q.Resource.Name, Time: time.Now(), Method: "GET", Path: q.Resource.Path + "/" + id, Status: 404, RequestID: "r2", Error: "E0000007"}
		records := o.records(q)
		if i := slices.IndexFunc(records, func(r oktaclient.Record) bool { return r.ID == id }); i >= 0 {
			request.Status, request.Rows, request.Error, request.RecordStatus = 200, 1, "", records[i].Status
			if err := pass(q, records[i], sink); err != nil {
				return result, err
			}
		}
		if err := sink.Request(request); err != nil {
			return result, err
		}
		result.Requests++
		result.Rows += request.Rows
	}
	result.Finished = time.Now().Add(o.later)
	return result, nil
}

// person returns the nth user; edits are pairs of a text and its replacement.
func person(n int, edits ...string) oktaclient.Record {
	id, updated := fmt.Sprintf("00u%05d", n), "2026-11-23T06:00:00.000Z"
	text := fmt.Sprintf(`{"id":%q,"status":"ACTIVE","lastLogin":"2026-11-20T08:00:00.000Z","lastUpdated":%q,`+
		`"profile":{"login":"p%d@example.com","department":"Sales","badge":12345678901234567890},"_links":{"self":{"href":"x"}}}`, id, updated, n)
	text = strings.NewReplacer(edits...).Replace(text)
	status := "ACTIVE"
	if strings.Contains(text, "DEPROVISIONED") {
		status = "DEPROVISIONED"
	}
	return oktaclient.Record{ID: id, Status: status, LastUpdated: updated, JSON: []byte(text)}
}

func people(from, to int) []oktaclient.Record {
	var users []oktaclient.Record
	for n := from; n < to; n++ {
		users = append(users, person(n))
	}
	return users
}

func groups(from, to int) []oktaclient.Record {
	var list []oktaclient.Record
	for n := from; n < to; n++ {
		id, updated := fmt.Sprintf("00g%05d", n), "2026-11-23T06:00:00.000Z"
		text := fmt.Sprintf(`{"id":%q,"type":"OKTA_GROUP","lastUpdated":%q,"profile":{"name":"Group %d","description":null},"_links":{}}`, id, updated, n)
		list = append(list, oktaclient.Record{ID: id, LastUpdated: updated, JSON: []byte(text)})
	}
	return list
}

type fixture struct {
	t      *testing.T
	org    *org
	store  *snapshot.Store
	export reconcile.Export
	r      *reconcile.Reconciler
}

func newFixture(t *testing.T, users ...oktaclient.Record) *fixture {
	t.Helper()
	store := storetest.Init(t, filepath.Join(t.TempDir(), "snapshots"), snapshot.Options{})
	export := reconcile.DefaultExport()
	export.Name = "all-users"
	o := &org{users: users}
	r := reconcile.New(reconcile.Config{Store: store, Source: o, Org: storetest.Acme,
		Client: snapshot.Client{ClientID: "0oa1", Scopes: []string{"okta.users.read"}}, Tool: snapshot.Tool{Name: "oktasync"}})
	return &fixture{t, o, store, export, r}
}

// withGroups declares groups too.
func (f *fixture) withGroups(groups []oktaclient.Record) *fixture {
	f.org.groups = groups
	f.export.Groups = new(reconcile.Resource)
	f.export.Groups.SetDefaults("groups")
	return f
}

// use replaces the reconciler.
func (f *fixture) use(source reconcile.Source, report func(reconcile.Progress)) {
	f.r = reconcile.New(reconcile.Config{Store: f.store, Source: source, Org: storetest.Acme, Progress: report})
}

func (f *fixture) reconcile(override string) (reconcile.Result, error) {
	f.t.Helper()
	run := snapshot.Run{Trigger: "apply", User: "ada", Host: "test"}
	if override != "" {
		run.Override = &snapshot.Override{User: "ada", Reason: override}
	}
	result, err := f.r.Reconcile(f.t.Context(), f.export, run)
	storetest.CheckOK(f.t, f.store)
	return result, err
}

func (f *fixture) publish() *snapshot.Snapshot {
	f.t.Helper()
	result, err := f.reconcile("")
	if err != nil {
		f.t.Fatal(err)
	}
	if result.Outcome != reconcile.Published {
		f.t.Fatalf("outcome = %s, want published", result.Outcome)
	}
	return result.Snapshot
}

func (f *fixture) plan() *reconcile.Plan {
	f.t.Helper()
	plan, err := f.r.Plan(f.t.Context(), f.export)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { plan.Close() })
	return plan
}

// latest returns the name of the newest snapshot, or "".
func (f *fixture) latest() string {
	f.t.Helper()
	s, err := f.store.Latest("all-users")
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return ""
	} else if err != nil {
		f.t.Fatal(err)
	}
	return s.Name()
}

func (f *fixture) lastEvent() snapshot.Event {
	f.t.Helper()
	history, err := f.store.Journal("all-users")
	if err != nil {
		f.t.Fatal(err)
	}
	return history.LastEnd
}
