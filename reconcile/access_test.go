package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// access is a Source of all resources.
type access struct {
	mu      sync.Mutex
	objects map[string]map[string]string // JSON by resource and id
	lists   map[string][]string          // JSON by "group_members/00g1"
	before  func(list string)            // is called before a list is read, with the mutex
	again   map[string]bool              // the first list of these is read from its start twice
	counts  string                       // JSON of usersCount of each group; "": absent
	refuse  string                       // the resource that the app can't read
}

func newAccess() *access {
	return &access{objects: map[string]map[string]string{}, lists: map[string][]string{}, again: map[string]bool{}}
}

func (a *access) set(resource, id, json string) {
	if a.objects[resource] == nil {
		a.objects[resource] = map[string]string{}
	}
	a.objects[resource][id] = json
}

// group sets a group and its members. Its stamp shows how often that was done.
func (a *access) group(id string, stamp int, members ...string) {
	a.set("groups", id, fmt.Sprintf(`{"id":%q,"lastMembershipUpdated":"2026-11-23T06:00:%02d.000Z","lastUpdated":"2026-01-01T00:00:00.000Z","profile":{"name":"Group %[1]s"}}`, id, stamp))
	a.list("group_members/"+id, `{"id":%q,"profile":{"login":"x"}}`, members...)
}

// app sets an app, its users and its groups.
func (a *access) app(id, status string, users, groups []string) {
	a.set("apps", id, fmt.Sprintf(`{"id":%q,"status":%q,"label":"App %[1]s","lastUpdated":"2026-01-01T00:00:00.000Z","credentials":{"password":"s3cret"}}`, id, status))
	a.list("app_users/"+id, `{"id":%q,"status":"ACTIVE","scope":"USER","profile":{"pin":"s3cret"}}`, users...)
	a.list("app_groups/"+id, `{"id":%q,"priority":1}`, groups...)
}

func (a *access) list(name, format string, ids ...string) {
	a.lists[name] = []string{}
	for _, id := range ids {
		a.lists[name] = append(a.lists[name], fmt.Sprintf(format, id))
	}
}

func (a *access) delete(resource, id string) {
	delete(a.objects[resource], id)
	for _, child := range []string{"group_members/", "app_users/", "app_groups/"} {
		delete(a.lists, child+id)
	}
}

func (a *access) Read(_ context.Context, q oktaclient.Query, sink oktaclient.Sink) (oktaclient.ReadResult, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	result := oktaclient.ReadResult{Started: time.Now(), Settled: true}
	if q.Resource.Name == a.refuse {
		return result, &reconcile.UnavailableError{Resource: a.refuse, Reason: "okta: 403 E0000006", Err: errors.New("forbidden")}
	}
	if q.Stats {
		var list []string
		for _, id := range slices.Sorted(maps.Keys(a.objects["groups"])) {
			if a.counts != "" { // Okta can omit its counts
				list = append(list, strings.TrimSuffix(a.objects["groups"][id], "}")+`,"_embedded":{"stats":{"usersCount":`+a.counts+`}}}`)
			}
		}
		err := a.pass(q, "", list, sink, &result)
		return result, err
	}
	if q.Resource.Strategy != oktaclient.PerParent {
		a.call(q.Resource.Name)
		var list []string
		for _, id := range slices.Sorted(maps.Keys(a.objects[q.Resource.Name])) {
			list = append(list, a.objects[q.Resource.Name][id])
		}
		err := a.pass(q, "", list, sink, &result)
		return result, err
	}
	for _, parent := range q.Parents {
		name := q.Resource.Name + "/" + parent
		s := sink.(oktaclient.ParentSink)
		if a.again[name] {
			if err := errors.Join(s.Begin(parent), a.pass(q, parent, []string{`{"id":"00ustale","status":"ACTIVE"}`}, sink, &result)); err != nil {
				return result, err
			}
		}
		delete(a.again, name)
		a.call(name)
		list, exists := a.lists[name]
		if err := errors.Join(s.Begin(parent), a.pass(q, parent, list, sink, &result), s.End(parent, exists)); err != nil {
			return result, err
		}
	}
	result.Finished = time.Now()
	return result, nil
}

func (a *access) call(list string) {
	if a.before != nil {
		a.before(list)
	}
}

// pass passes the records of a list and its request.
func (a *access) pass(q oktaclient.Query, parent string, list []string, sink oktaclient.Sink, result *oktaclient.ReadResult) error {
	for _, json := range list {
		r := oktaclient.Record{ID: member(json, "id"), Parent: parent, Status: member(json, "status"), LastUpdated: member(json, "lastUpdated"), JSON: []byte(json)}
		if err := sink.Record(r); err != nil {
			return err
		}
	}
	path := strings.Replace(q.Resource.Path, "{parent}", parent, 1) + "?limit=200"
	result.Rows += len(list)
	result.Requests++
	return sink.Request(oktaclient.Request{Resource: q.Resource.Name, Time: time.Now(), Method: "GET", Path: path, Status: 200, Rows: len(list), RequestID: "r1"})
}

func (a *access) Find(_ context.Context, q oktaclient.Query, ids []string, sink oktaclient.Sink) (oktaclient.ReadResult, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	result := oktaclient.ReadResult{Started: time.Now(), Finished: time.Now()}
	for _, id := range ids {
		request := oktaclient.Request{Resource: q.Resource.Name, Time: time.Now(), Method: "GET", Path: q.Resource.Path + "/" + id, Status: 404, RequestID: "r2", Error: "E0000007"}
		if json, ok := a.objects[q.Resource.Name][id]; ok {
			request.Status, request.Rows, request.Error, request.RecordStatus = 200, 1, "", member(json, "status")
			if err := sink.Record(oktaclient.Record{ID: id, Status: member(json, "status"), LastUpdated: member(json, "lastUpdated"), JSON: []byte(json)}); err != nil {
				return result, err
			}
		}
		result.Requests++
		result.Rows += request.Rows
		if err := sink.Request(request); err != nil {
			return result, err
		}
	}
	return result, nil
}

// member returns the value of a member whose name is unique in json.
func member(json, name string) string {
	_, rest, _ := strings.Cut(json, `"`+name+`":"`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// newAccessFixture declares all resources, without waiting for late stamps.
func newAccessFixture(t *testing.T, a reconcile.Source) *fixture {
	f := newFixture(t)
	f.r = reconcile.New(reconcile.Config{Store: f.store, Source: a, Org: storetest.Acme, MembershipLag: -1})
	declareAll(&f.export)
	return f
}

// declareAll declares all resources besides users, with their defaults.
func declareAll(e *reconcile.Export) {
	for name, r := range map[string]**reconcile.Resource{"groups": &e.Groups,
		"group_rules": &e.GroupRules, "apps": &e.Apps, "app_users": &e.AppUsers, "app_groups": &e.AppGroups} {
		*r = new(reconcile.Resource)
		(*r).SetDefaults(name)
	}
	e.GroupMembers = new(reconcile.GroupMembers)
	e.GroupMembers.SetDefaults("group_members")
}

// smallAccess has two groups, two apps and a rule.
func smallAccess() *access {
	a := newAccess()
	for _, id := range []string{"00u1", "00u2", "00u3"} {
		a.set("users", id, fmt.Sprintf(`{"id":%q,"status":"ACTIVE","lastUpdated":"2026-01-01T00:00:00.000Z"}`, id))
	}
	a.group("00g1", 1, "00u1", "00u2")
	a.group("00g2", 1, "00u3")
	a.set("group_rules", "0pr1", `{"id":"0pr1","status":"ACTIVE","lastUpdated":"2026-01-01T00:00:00.000Z"}`)
	a.app("0oa1", "ACTIVE", []string{"00u1", "00u2"}, []string{"00g1"})
	a.app("0oa2", "INACTIVE", []string{"00u3"}, nil)
	return a
}

// edges returns the edges of a snapshot as "00g1-00u1", sorted.
func edges(t *testing.T, s *snapshot.Snapshot, r *snapshot.Resource) string {
	t.Helper()
	records, err := s.Records(r)
	ids := slices.Sorted(maps.Keys(recordtest.ReadAll(t, records, err)))
	return strings.ReplaceAll(strings.Join(ids, " "), "\x00", "-")
}

// changesOf returns the changes of a snapshot as "granted 00g1-00u1", in their order.
func changesOf(t *testing.T, s *snapshot.Snapshot) (all []string) {
	t.Helper()
	for _, r := range s.Recorded() {
		for line := range strings.Lines(storetest.Read(t, s.Dir(), r.ChangesFile())) {
			c, err := diff.ParseChange([]byte(line))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("%s %s", c.Kind, strings.ReplaceAll(c.ID(), "/", "-")))
		}
	}
	return all
}

// A snapshot has the edges of all groups and apps, without credentials. Then members
// and users come and go, an app is switched off, and a group, an app and a user are
// deleted: each edge is in the changes once.
func TestEdges(t *testing.T) {
	a := smallAccess()
	f := newAccessFixture(t, a)
	first := f.publish()
	for r, want := range map[*snapshot.Resource]string{
		snapshot.GroupMembers: "00g1-00u1 00g1-00u2 00g2-00u3", snapshot.AppUsers: "0oa1-00u1 0oa1-00u2 0oa2-00u3", snapshot.AppGroups: "0oa1-00g1",
	} {
		if got := edges(t, first, r); got != want {
			t.Errorf("%s = %s, want %s", r.Name, got, want)
		}
	}
	if m := first.Manifest; !m.Read.Settled || m.Resources["app_users"].ByStatus["ACTIVE"] != 3 {
		t.Errorf("settled %t, app users %v", m.Read.Settled, m.Resources["app_users"].ByStatus)
	}
	if c := first.Manifest.Control; c != nil { // this org returns no counts
		t.Errorf("control = %+v, want none", c)
	}

	a.group("00g1", 2, "00u2", "00u3")
	a.delete("groups", "00g2")
	a.app("0oa1", "INACTIVE", []string{"00u1"}, []string{"00g1"})
	a.delete("apps", "0oa2")
	delete(a.objects["users"], "00u3")
	a.set("group_rules", "0pr1", strings.Replace(a.objects["group_rules"]["0pr1"], "ACTIVE", "INACTIVE", 1))
	want := []string{"deleted 00u3", "deleted 00g2", "revoked 00g1-00u1", "granted 00g1-00u3", "revoked 00g2-00u3", "deactivated 0pr1",
		"deactivated 0oa1", "deleted 0oa2", "revoked 0oa1-00u2", "revoked 0oa2-00u3"}
	if got := changesOf(t, f.publish()); !slices.Equal(got, want) {
		t.Errorf("changes = %q,\nwant %q", got, want)
	}
}

// Apps are compared once to find those that are missing, and once after all other reads.
func TestAppsAreComparedTwice(t *testing.T) {
	a := smallAccess()
	f := newFixture(t)
	f.export.Users, f.export.Apps = nil, new(reconcile.Resource)
	f.export.Apps.SetDefaults("apps")
	compared := 0
	f.use(a, func(p reconcile.Progress) {
		if p.Phase == reconcile.PhaseComparing {
			compared++
		}
	})
	f.publish()
	compared = 0
	a.delete("apps", "0oa1")
	if apps := f.publish().Manifest.Resources["apps"]; apps.Kinds[diff.Deleted] != 1 || compared != 2 {
		t.Errorf("apps = %+v, compared %d times, want one deleted, and two times", apps, compared)
	}
}

// A count of members that is no such number is not compared.
func TestWrongCounts(t *testing.T) {
	a := smallAccess()
	f := newAccessFixture(t, a)
	for _, a.counts = range []string{"null", `"12"`, "1.5", "1e30", "-5", "9223372036854775807", "12345678901234567890", "{}"} {
		if c := f.publish().Manifest.Control; c != nil {
			t.Errorf("count %s: control = %+v", a.counts, c.Groups)
		}
	}
	a.counts = "1"
	if c := f.publish().Manifest.Control; c == nil || c.Groups.Compared != 2 {
		t.Errorf("control = %+v, want that of 2 groups", c)
	}
}

// A group is deleted after the groups were listed and before its members were. It
// leaves neither its record nor its edges, and both removals are proved.
func TestGroupVanishesDuringTheRead(t *testing.T) {
	for _, name := range []string{"known", "new"} {
		t.Run(name, func(t *testing.T) {
			a := smallAccess()
			f := newAccessFixture(t, a)
			want := []string{"deleted 00g2", "revoked 00g2-00u3"}
			if name == "known" {
				f.publish()
			} else {
				want = nil
				a.group("00g2", 1, "00u1")
				a.delete("groups", "00g2")
				f.publish()
				a.group("00g2", 1, "00u3")
			}
			a.before = func(list string) {
				if list == "group_members/00g1" {
					a.delete("groups", "00g2")
				}
			}
			s := f.publish()
			if got := edges(t, s, snapshot.Groups) + ", " + edges(t, s, snapshot.GroupMembers); got != "00g1, 00g1-00u1 00g1-00u2" {
				t.Errorf("groups and members = %s", got)
			}
			if got := changesOf(t, s); !slices.Equal(got, want) {
				t.Errorf("changes = %q, want %q", got, want)
			}
		})
	}
}

// Okta answers 404 for the list of an app that exists: the list is read once more, and
// then the run fails.
func TestListOfAnExistingAppIsMissing(t *testing.T) {
	a := smallAccess()
	f := newAccessFixture(t, a)
	users, missing := a.lists["app_users/0oa1"], 1
	a.before = func(list string) {
		if a.lists["app_users/0oa1"] = users; list == "app_users/0oa1" && missing > 0 {
			missing--
			delete(a.lists, list)
		}
	}
	if got := edges(t, f.publish(), snapshot.AppUsers); got != "0oa1-00u1 0oa1-00u2 0oa2-00u3" {
		t.Errorf("app users = %s", got)
	}
	missing = 2
	if _, err := f.reconcile(""); err == nil || err.Error() != `read app_users: okta: app "0oa1" exists, but its list of app_users doesn't` {
		t.Errorf("error = %v", err)
	}
}

// Records that were passed before a list began again don't count.
func TestListIsReadAgain(t *testing.T) {
	a := smallAccess()
	f := newAccessFixture(t, a)
	a.again = map[string]bool{"group_members/00g1": true, "app_users/0oa1": true, "app_groups/0oa2": true}
	s := f.publish()
	if got := edges(t, s, snapshot.GroupMembers) + " " + edges(t, s, snapshot.AppUsers) + " " + edges(t, s, snapshot.AppGroups); strings.Contains(got, "stale") {
		t.Errorf("edges = %s", got)
	}
	if c := s.Manifest.Resources["group_members"]; c.Total != 3 || c.Outside != 1 || c.Rows != 4 {
		t.Errorf("group members = %+v, want 3 and 1 outside", c)
	}
}

// Members that changed during the read are read again, until Okta shows no further
// change, in a bounded number of passes.
func TestMembersSettle(t *testing.T) {
	a := smallAccess()
	f := newAccessFixture(t, a)
	lists := 0
	a.before = func(list string) {
		if list != "groups" {
			return
		}
		if lists++; lists == 2 {
			a.group("00g1", 2, "00u1")
			a.group("00g3", 1, "00u2")
		}
	}
	s := f.publish()
	if got := edges(t, s, snapshot.GroupMembers); got != "00g1-00u1 00g2-00u3 00g3-00u2" || !s.Manifest.Read.Settled || lists != 3 {
		t.Errorf("members = %s, settled %t after %d lists", got, s.Manifest.Read.Settled, lists)
	}
	if c := s.Manifest.Resources["group_members"]; c.Outside != 2 {
		t.Errorf("group members = %+v, want 2 outside, of the first list", c)
	}
	a.before = func(list string) {
		if list == "groups" {
			lists++
			a.group("00g1", lists, "00u1")
		}
	}
	if s = f.publish(); s.Manifest.Read.Settled || lists != 14 {
		t.Errorf("settled %t after %d lists", s.Manifest.Read.Settled, lists-3)
	}
}

// Apps and rules are listed again after their users and groups were read. Those that
// changed meanwhile are read again.
func TestAppsSettle(t *testing.T) {
	a := smallAccess()
	f := newAccessFixture(t, a)
	lists := map[string]int{}
	a.before = func(list string) {
		switch lists[list]++; {
		case list == "app_groups/0oa2" && lists[list] == 1:
			a.app("0oa1", "INACTIVE", nil, []string{"00g1", "00g2"})
			a.app("0oa3", "ACTIVE", []string{"00u1"}, nil)
			a.delete("apps", "0oa2")
		case list == "group_rules" && lists[list] == 2:
			a.delete("group_rules", "0pr1")
		}
	}
	s := f.publish()
	if got := edges(t, s, snapshot.Apps) + ", " + edges(t, s, snapshot.AppUsers) + ", " + edges(t, s, snapshot.AppGroups); got != "0oa1 0oa3, 0oa3-00u1, 0oa1-00g1 0oa1-00g2" {
		t.Errorf("apps, users and groups = %s", got)
	}
	if m := s.Manifest; m.Resources["group_rules"].Total != 0 || m.Resources["apps"].ByStatus["INACTIVE"] != 1 || !m.Read.Settled || lists["apps"] != 3 || lists["group_rules"] != 3 {
		t.Errorf("%+v, %+v, settled %t, lists %v", m.Resources["group_rules"], m.Resources["apps"], m.Read.Settled, lists)
	}
}

// The guard of members stops a read in which one group loses half of its members. Users
// of inactive apps don't count.
func TestGuardOfEdges(t *testing.T) {
	a := newAccess()
	var many []string
	for n := range 3000 {
		many = append(many, fmt.Sprintf("00u%04d", n))
	}
	a.set("users", "00u1", `{"id":"00u1","status":"ACTIVE"}`)
	a.group("00g1", 1, many[:300]...)
	a.group("00g2", 1, many...)
	small := make([]string, 12)
	for i := range small {
		small[i] = fmt.Sprintf("00g3%02d", i)
		a.group(small[i], 1, many[:110]...)
	}
	a.app("0oa1", "ACTIVE", many, nil)
	a.app("0oa2", "ACTIVE", many, nil)
	f := newAccessFixture(t, a)
	f.publish()
	for _, test := range []struct {
		name   string
		change func()
		want   string
	}{
		{"a tenth of all members", func() { a.group("00g2", 2, many[:2700]...) }, ""},
		{"half of a group", func() { a.group("00g1", 2, many[:150]...) }, `150 of 300 members of group "00g1" gone, the guard allows less than half`},
		{"a deleted group", func() { a.delete("groups", "00g1") }, ""},
		{"many members", func() { a.group("00g2", 3, many[:1600]...) }, "1100 of 4020 group_members gone, the guard allows 10%"},
		{"users of an inactive app", func() { a.app("0oa1", "INACTIVE", many[:10], nil) }, ""},
		{"users of an active app", func() { a.app("0oa2", "ACTIVE", many[:1000], nil) }, "2000 of 3000 app_users gone, the guard allows 10%"},
	} {
		before := maps.Clone(a.lists)
		test.change()
		_, err := f.reconcile("")
		if got := fmt.Sprint(err); got != "quarantined: "+test.want && (err != nil || test.want != "") {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
		if err != nil {
			a.lists = before
		}
	}
	for _, id := range small {
		a.group(id, 2)
	}
	if _, err := f.reconcile(""); err == nil || !strings.HasSuffix(err.Error(), `members of group "00g309" gone, the guard allows less than half; 2 more groups lost half of their members`) {
		t.Errorf("12 groups without members: %v", err)
	}
}
