package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// BenchmarkReport writes a report about 52 snapshots of 50,000 users, 1,000,000
// memberships and 400,000 assignments, in both formats, each in a process of its own. Each
// snapshot has some hundred changes.
// OKTASYNC_BENCH_PERCENT=10 makes the org smaller, and OKTASYNC_BENCH_SNAPSHOTS=3 the store.
func BenchmarkReport(b *testing.B) {
	dir := b.TempDir()
	o := newRecordedOrg(b, filepath.Join(dir, "snapshots"), benchSetting("PERCENT", 100))
	first := o.publish(b)
	for range benchSetting("SNAPSHOTS", 52) - 1 {
		o.change(b)
		o.publish(b)
	}
	for _, format := range []string{"html", "xlsx"} {
		b.Run(format, func(b *testing.B) {
			output := filepath.Join(dir, "report."+format)
			var cpu time.Duration
			peak := 0
			for b.Loop() {
				c, p, _ := benchChild(b, dir, fmt.Sprintf("report people --store %s --from %s --format %s --output %s", o.store.Dir(), first, format, output))
				cpu, peak = cpu+c, max(peak, p)
			}
			info, err := os.Stat(output)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(cpu.Seconds()/float64(b.N), "s-cpu")
			b.ReportMetric(float64(peak)/1024, "MiB-peak")
			b.ReportMetric(float64(info.Size())/1e6, "MB")
			b.ReportMetric(0, "ns/op")
			if peak > 256<<10 {
				b.Errorf("peak memory of %d KiB, want at most 256 MiB", peak)
			}
		})
	}
}

// recordedOrg is an org whose records are published without a read of Okta.
type recordedOrg struct {
	store     *snapshot.Store
	declared  snapshot.Declaration
	random    *rand.Rand
	started   time.Time // of the next read; it must not be in the future
	resources []*recordedResource
	users     int
	groups    int
	apps      int
}

// recordedResource is a resource of the next snapshot.
type recordedResource struct {
	*snapshot.Resource
	records []diff.Record // sorted by key
	lines   []byte        // changes since the newest snapshot
	counts  diff.Counts   // of these changes
	next    int
}

// Next implements [diff.Reader] for all records.
func (r *recordedResource) Next() (diff.Record, error) {
	if r.next == len(r.records) {
		return diff.Record{}, io.EOF
	}
	r.next++
	return r.records[r.next-1], nil
}

func (r *recordedResource) Close() error {
	r.next = 0
	return nil
}

func newRecordedOrg(b *testing.B, dir string, percent int) *recordedOrg {
	b.Helper()
	store, err := snapshot.Init(dir, snapshot.Org{URL: "https://acme.okta.com", ID: "00o1"}, snapshot.Options{})
	if err != nil {
		b.Fatal(err)
	}
	o := &recordedOrg{
		store: store, random: rand.New(rand.NewPCG(1, 16)), started: time.Date(2025, 12, 1, 6, 0, 0, 0, time.UTC),
		declared: snapshot.Declaration{Formats: []string{"ndjson"}, Resources: make(map[string]snapshot.DeclaredResource)},
		users:    500 * percent, groups: 20 * percent, apps: 3 * percent,
	}
	for _, r := range []*snapshot.Resource{
		snapshot.Users, snapshot.Groups, snapshot.GroupMembers, snapshot.Apps, snapshot.AppUsers, snapshot.AppGroups, snapshot.RoleAssignments,
	} {
		d := snapshot.DeclaredResource{Attributes: canonjson.Attributes{Include: []string{}, Exclude: []string{}}}
		if r == snapshot.Users {
			d.Narrowing = &snapshot.Narrowing{IncludeDeprovisioned: true}
			d.Changes.Moved = []string{"profile.department", "profile.manager"}
		}
		o.declared.Resources[r.Name] = d
		o.resources = append(o.resources, &recordedResource{Resource: r})
	}
	added := make(changes)
	for i := range o.users {
		added.set(snapshot.Users, user(i, statusOf(i), "Sales"))
	}
	for i := range o.groups {
		added.set(snapshot.Groups, fmt.Sprintf(`{"id":%q,"profile":{"name":"Group %d"},"type":"OKTA_GROUP"}`, id("00g", i), i))
		for range 500 {
			added.set(snapshot.GroupMembers, o.member(i, o.random.IntN(o.users)))
		}
	}
	for i := range o.apps {
		added.set(snapshot.Apps, fmt.Sprintf(`{"id":%q,"label":"App %d","name":"template","status":"ACTIVE"}`, id("0oa", i), i))
		added.set(snapshot.AppGroups, fmt.Sprintf(`{"app_id":%q,"group_id":%q,"priority":0}`, id("0oa", i), id("00g", i)))
		for range 1350 { // some are the same
			added.set(snapshot.AppUsers, o.assignment(i, o.random.IntN(o.users)))
		}
	}
	for i := range 50 {
		added.set(snapshot.RoleAssignments, role(i))
	}
	o.apply(b, added)
	return o
}

func id(prefix string, n int) string { return fmt.Sprintf("%s%017d", prefix, n) }

// statusOf returns the status of a new user.
func statusOf(i int) string {
	switch i % 50 {
	case 1, 2:
		return "DEPROVISIONED"
	case 3:
		return "SUSPENDED"
	case 4:
		return "LOCKED_OUT"
	case 5:
		return "STAGED"
	}
	return "ACTIVE"
}

// user returns a user. One in ten is dormant, and one in 20 has never signed in.
func user(i int, status, department string) string {
	login := fmt.Sprintf(`"2026-11-%02dT08:00:00.000Z"`, i%28+1)
	switch {
	case i%10 == 0:
		login = `"2025-03-01T08:00:00.000Z"`
	case i%20 == 7:
		login = "null"
	}
	return fmt.Sprintf(`{"activated":"2024-02-14T09:00:01.000Z","created":"2024-02-14T09:00:00.000Z","id":%q,"lastLogin":%s,"profile":{"department":%q,`+
		`"displayName":"Person %d","firstName":"Person","lastName":"Number %d","login":"person%d@acme.example","manager":"person%d@acme.example","managerId":%q},`+
		`"status":%q,"statusChanged":"2026-01-14T09:00:01.000Z"}`, id("00u", i), login, department, i, i, i, i/10, id("00u", i/10), status)
}

func (o *recordedOrg) member(group, user int) string {
	return fmt.Sprintf(`{"group_id":%q,"user_id":%q}`, id("00g", group), id("00u", user))
}

func (o *recordedOrg) assignment(app, user int) string {
	return fmt.Sprintf(`{"app_id":%q,"created":"2026-01-02T08:00:00.000Z","scope":"USER","status":"ACTIVE","user_id":%q,"username":"person%d"}`, id("0oa", app), id("00u", user), user)
}

func role(i int) string {
	return fmt.Sprintf(`{"assignment_id":"ra%d","label":"Super Administrator","principal_id":%q,"principal_type":"USER","resource_set_id":"","role_id":"","role_type":"SUPER_ADMIN","status":"ACTIVE"}`, i, id("00u", 7*i))
}

// changes are records that change, by resource and key; nil: the record is removed.
type changes map[*snapshot.Resource]map[string][]byte

// set adds or replaces a record.
func (c changes) set(r *snapshot.Resource, record string) { c.put(r, record, []byte(record)) }

// remove removes a record.
func (c changes) remove(r *snapshot.Resource, record string) { c.put(r, record, nil) }

func (c changes) put(r *snapshot.Resource, record string, value []byte) {
	key, err := r.AppendKey(nil, []byte(record))
	if err != nil {
		panic(err)
	}
	if c[r] == nil {
		c[r] = make(map[string][]byte)
	}
	c[r][string(key)] = value
}

// change changes some hundred records of each resource.
func (o *recordedOrg) change(b *testing.B) {
	b.Helper()
	c := make(changes)
	for i := range 50 {
		n := o.random.IntN(o.users)
		c.set(snapshot.Users, user(n, []string{"SUSPENDED", "DEPROVISIONED", "ACTIVE"}[i%3], fmt.Sprint("Team ", o.random.IntN(9))))
		if i < 10 {
			c.set(snapshot.Users, user(o.users, "ACTIVE", "Sales"))
			o.users++
		}
	}
	for range 100 {
		c.set(snapshot.GroupMembers, o.member(o.random.IntN(o.groups), o.random.IntN(o.users)))
		c.set(snapshot.AppUsers, o.assignment(o.random.IntN(o.apps), o.random.IntN(o.users)))
	}
	for _, r := range o.resources {
		if r.Resource == snapshot.GroupMembers || r.Resource == snapshot.AppUsers {
			for range 100 {
				c.remove(r.Resource, string(r.records[o.random.IntN(len(r.records))].JSON))
			}
		}
	}
	c.set(snapshot.RoleAssignments, role(50+o.random.IntN(50)))
	o.apply(b, c)
}

// apply applies changes to the records, and computes the lines of the changes files from
// these records alone.
func (o *recordedOrg) apply(b *testing.B, c changes) {
	b.Helper()
	newest, err := o.store.Latest("people")
	if err != nil {
		newest = nil
	}
	for _, r := range o.resources {
		total := len(r.records)
		before, after := new(recordedResource), new(recordedResource)
		all := make([]diff.Record, 0, total+len(c[r.Resource]))
		old := r.records
		for _, key := range slices.Sorted(maps.Keys(c[r.Resource])) {
			n, found := slices.BinarySearchFunc(old, []byte(key), func(r diff.Record, key []byte) int { return bytes.Compare(r.Key, key) })
			all, old = append(all, old[:n]...), old[n:]
			if found {
				before.records, old = append(before.records, old[0]), old[1:]
			}
			if record := c[r.Resource][key]; record != nil {
				after.records = append(after.records, diff.Record{Key: []byte(key), JSON: record})
				all = append(all, after.records[len(after.records)-1])
			}
		}
		r.records = append(all, old...)
		if newest == nil {
			continue
		}
		rules, _ := snapshot.RulesAfter(r.Resource, newest, o.declared)
		if i := slices.IndexFunc(o.resources, func(p *recordedResource) bool { return p.Resource == r.Parent }); i >= 0 {
			rules.Parents = diff.NewLookup(&recordedResource{records: o.resources[i].records})
		}
		r.lines = nil
		r.counts, err = diff.Diff(before, after, rules, func(c *diff.Change) (err error) {
			r.lines, err = c.Line(r.lines)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		r.counts.Before = total
	}
}

// publish publishes a snapshot, and returns its name.
func (o *recordedOrg) publish(b *testing.B) string {
	b.Helper()
	w, err := o.store.Writer(b.Context(), "people", snapshot.ThisProcess("bench"))
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	d := snapshot.Draft{
		Started: o.started, Finished: o.started.Add(time.Minute), Org: o.store.Org(),
		Client: snapshot.Client{ClientID: "0oa1", Scopes: []string{"okta.users.read"}, DPoP: true},
		Run:    snapshot.Run{Trigger: "apply", Host: "node1", User: "ops"}, Tool: snapshot.Tool{Name: "oktasync", Version: "v0.1.0"},
		Declared: o.declared, Settled: true, Base: w.Latest(),
	}
	o.started = o.started.AddDate(0, 0, 7)
	var requests []byte
	for _, r := range o.resources {
		draft := snapshot.ResourceDraft{Resource: r.Resource, Records: r, Counts: r.counts, Rows: len(r.records)}
		r.Close()
		if r.Status != "" {
			draft.ByStatus = make(map[string]int)
			for _, record := range r.records {
				_, status, _ := bytes.Cut(record.JSON, []byte(`"`+r.Status+`":"`))
				status, _, _ = bytes.Cut(status, []byte(`"`))
				draft.ByStatus[string(status)]++
			}
		}
		if _, draft.Base = snapshot.RulesAfter(r.Resource, w.Latest(), o.declared); draft.Base == snapshot.BasePrevious {
			draft.Changes = bytes.NewReader(r.lines)
		} else {
			draft.Counts = diff.Counts{}
		}
		draft.Counts.Total = len(r.records)
		d.Resources = append(d.Resources, draft)
		request := snapshot.Request{Time: snapshot.At(d.Started), Resource: r.Name, Method: "GET", Path: "/api/v1/" + r.Name, Status: 200, Rows: len(r.records), RequestID: "a1"}
		if requests, err = request.Line(requests); err != nil {
			b.Fatal(err)
		}
	}
	d.Requests = bytes.NewReader(requests)
	if err := w.Journal(snapshot.Event{Event: snapshot.EventStarted}); err != nil {
		b.Fatal(err)
	}
	s, err := w.Publish(b.Context(), d)
	if err != nil {
		b.Fatal(err)
	}
	return s.Name()
}
