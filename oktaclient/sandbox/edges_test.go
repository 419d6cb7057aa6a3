package sandbox_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// edgePath returns the path of the list of a parent's edges.
func edgePath(kind sandbox.EdgeKind, parent string) string {
	return map[sandbox.EdgeKind]string{sandbox.GroupMembers: "/api/v1/groups/" + parent + "/users",
		sandbox.AppUsers: "/api/v1/apps/" + parent + "/users", sandbox.AppGroups: "/api/v1/apps/" + parent + "/groups"}[kind]
}

// account.
func children(org *sandbox.Org, kind sandbox.EdgeKind, parent string) (ids []string) {
	for e := range org.Edges(kind, time.Time{}) {
		if e.Parent == parent {
			ids = append(ids, e.Child)
		}
	}
	return ids
}

// list, byte for byte.
func TestReadAllEdges(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 260, Groups: 30, Memberships: 1500, Apps: 20, Assignments: 900})
	memberships, assignments := 0, 0
	parents := map[sandbox.EdgeKind][]string{}
	for id := range c.org.GroupsJSON() {
		parents[sandbox.GroupMembers] = append(parents[sandbox.GroupMembers], id)
	}
	for id := range c.org.AppsJSON() {
		parents[sandbox.AppUsers] = append(parents[sandbox.AppUsers], id)
		parents[sandbox.AppGroups] = append(parents[sandbox.AppGroups], id)
	}
	for kind, ids := range parents {
		for _, parent := range ids {
			got, rows, err := c.all(edgePath(kind, parent) + "?limit=50")
			if err != nil || !slices.Equal(got, children(c.org, kind, parent)) {
				t.Fatalf("%s of %s = %q %v, want %q", kind, parent, got, err, children(c.org, kind, parent))
			}
			for i, row := range rows {
				if want, _ := c.org.EdgeJSON(kind, parent, got[i]); !bytes.Equal(row, want) || !json.Valid(row) {
					t.Fatalf("%s = %s, want %s", kind, row, want)
				}
			}
			switch {
			case kind == sandbox.AppUsers:
				assignments += len(got)
			case kind == sandbox.GroupMembers && parent != groupsByName(t, c.org)["Everyone"].ID:
				memberships += len(got)
			}
		}
	}
	if memberships != 1500 || assignments != 900 {
		t.Errorf("memberships = %d, assignments = %d; want 1500 and 900", memberships, assignments)
	}
	c.noViolations()
}

// Rule 50: limits of the lists.
func TestAccessLimits(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 1200, Apps: 260, Assignments: 6000})
	groups, apps := groupsByName(t, c.org), appsByLabel(t, c.org)
	app := c.org.AddApp("Everyone's")
	for i := range 210 {
		group := c.org.AddGroup("G", "")
		if err := c.org.AssignGroup(app, group, 210-i); err != nil {
			t.Fatal(err)
		}
		c.org.AddRule("R", "true", group)
	}
	if err := c.org.AssignGroup(app, groups["Everyone"].ID, 0); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][3]int{ // usual, most, least
		"/api/v1/apps": {20, 200, 1}, "/api/v1/groups/rules": {50, 200, 1}, edgePath(sandbox.AppUsers, app): {50, 500, 1},
		edgePath(sandbox.AppGroups, app): {20, 200, 20}, edgePath(sandbox.GroupMembers, groups["Everyone"].ID): {1000, 1000, 1},
	} {
		for target, want := range map[string]int{path: want[0], path + "?limit=100000": want[1], fmt.Sprintf("%s?limit=%d", path, want[2]): want[2]} {
			r := c.get(target)
			var page []json.RawMessage
			if err := json.Unmarshal([]byte(r.body), &page); err != nil || len(page) != want || r.next() == "" {
				t.Errorf("%s: %d rows, next %q, %v; want %d and a next link", target, len(page), r.next(), err, want)
			}
		}
		c.get(fmt.Sprintf("%s?limit=%d", path, want[2]-1)).want(t, 400, "E0000001", "")
		c.get(path+"?after=AA%3D%3D%2Fx&limit=20").want(t, 400, "E0000029", "")
	}
	if got := c.mustAll(edgePath(sandbox.AppGroups, app)); got[0] != groups["Everyone"].ID || len(got) != 211 {
		t.Errorf("%d groups of the app, the first is %s; want Everyone, which has the lowest priority number", len(got), got[0])
	}
	if got := len(children(c.org, sandbox.AppUsers, apps["Salesforce"].ID)); got != 1200 {
		t.Errorf("the second app has %d users, want all", got)
	}
}

// Pages that an org keeps are the same as those that it builds, also after a change.
func TestCachedEdges(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 50, CachePages: true})
	group := groupsByName(t, c.org)["Everyone"].ID
	path := edgePath(sandbox.GroupMembers, group)
	for range 3 {
		want := c.get(path).body
		for range 2 {
			req := c.request(path, nil)
			req.Header.Set("Accept-Encoding", "gzip")
			r := c.must(req)
			z, err := gzip.NewReader(strings.NewReader(r.body))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(z); err != nil || string(got) != want {
				t.Fatalf("cached page differs: %v", err)
			}
		}
		c.org.Move(1)
		c.org.Join(1)
		c.org.Delete(1)
	}
}

// all users.
func TestMembers(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 300, Deprovisioned: 40})
	groups := groupsByName(t, c.org)
	ids, rows, err := c.all(edgePath(sandbox.GroupMembers, groups["Everyone"].ID) + "?limit=77")
	if err != nil || len(ids) != 300 || !slices.IsSorted(ids) {
		t.Errorf("members of Everyone = %d %v, want 300 by id", len(ids), err)
	}
	gone := 0
	for i, row := range rows {
		if want, _ := c.org.User(ids[i]); !bytes.Equal(row, want) {
			t.Fatalf("member = %s, want %s", row, want)
		}
		if strings.Contains(string(row), `"status":"DEPROVISIONED"`) {
			gone++
		}
	}
	if gone != 40 {
		t.Errorf("%d deprovisioned members, want 40", gone)
	}
	if got := len(c.mustAll(edgePath(sandbox.GroupMembers, groups["Okta Administrators"].ID))); got != 3 {
		t.Errorf("administrators = %d, want 3", got)
	}
	finance := groups["Finance"].ID
	member := children(c.org, sandbox.GroupMembers, finance)[0]
	if ids := c.mustAll("/api/v1/users/" + member + "/groups"); !slices.IsSorted(ids) || !slices.Contains(ids, finance) || !slices.Contains(ids, groups["Everyone"].ID) {
		t.Errorf("groups of %s = %q, want them by id, with Finance and Everyone", member, ids)
	}
	for target, want := range map[string]int{"": 300, "?limit=5000": 300, "?limit=299": 299} {
		var page []json.RawMessage
		if _ = json.Unmarshal([]byte(c.get(edgePath(sandbox.GroupMembers, groups["Everyone"].ID)+target).body), &page); len(page) != want {
			t.Errorf("%q: %d members, want %d", target, len(page), want)
		}
	}
	c.get(edgePath(sandbox.GroupMembers, finance)+"?limit=0").want(t, 400, "E0000001", "")
	c.get("/api/v1/groups/00gnone/users").want(t, 404, "E0000007", "00gnone (UserGroup)")
	c.get("/api/v1/users/00unone/groups").want(t, 404, "E0000007", "00unone (User)")
}

// Rule 61: the buckets of lists, of objects by id, and of everything below.
func TestAccessBuckets(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 50, RateLimit: sandbox.WorkforceLimits()})
	group, app, user := groupsByName(t, c.org)["Finance"].ID, appsByLabel(t, c.org)["Salesforce"].ID, c.mustAll("/api/v1/users")[0]
	buckets := map[string][]string{
		"50":   {"/api/v1/apps", edgePath(sandbox.AppUsers, app), edgePath(sandbox.AppGroups, app), "/api/v1/apps/" + app + "/users/" + user},
		"250":  {"/api/v1/groups", edgePath(sandbox.GroupMembers, group), "/api/v1/groups/rules"},
		"300":  {"/api/v1/users", "/api/v1/users/" + user + "/groups"},
		"500":  {"/api/v1/groups/" + group},
		"1000": {"/api/v1/users/" + user},
	}
	for limit, paths := range buckets {
		last := 0
		for i, path := range paths {
			got, left, _ := rate(t, c.get(path))
			if fmt.Sprint(got) != limit || i > 0 && left != last-1 && left < last-1 {
				t.Errorf("%s: limit %d, %d left after %d; want limit %s, and one counter", path, got, left, last, limit)
			}
			last = left
		}
	}
	if got, _, _ := rate(t, c.get("/api/v1/apps/"+app)); got != 250 {
		t.Errorf("an app by id: limit %d, want 250", got)
	}
}

// Rule 62: faults by the pattern of a path, and wrong next links of edges.
func TestFaultsOfEdges(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 100})
	everyone, app := groupsByName(t, c.org)["Everyone"].ID, appsByLabel(t, c.org)["Salesforce"].ID
	c.inject("path=/api/v1/groups/{id}/users,status=500")
	c.get("/api/v1/groups/"+everyone).want(t, 200, "", "")
	c.get(edgePath(sandbox.GroupMembers, everyone)).want(t, 500, "E0000009", "")
	c.inject("path=/api/v1/apps$,status=503")
	c.get(edgePath(sandbox.AppUsers, app)).want(t, 200, "", "")
	c.get("/api/v1/apps").want(t, 503, "E0000100", "")
	members := edgePath(sandbox.GroupMembers, everyone) + "?limit=40"
	c.inject("path=/api/v1/groups/{id}/users,next=loop")
	if r := c.get(members); r.next() != c.org.URL()+members {
		t.Errorf("next = %q, want the page itself", r.next())
	}
	c.inject("path=/api/v1/groups/{id}/users,next=short,forever")
	if got := c.mustAll(members); len(got) != 100 {
		t.Errorf("short pages have %d members, want 100", len(got))
	}
	c.org.ClearFaults()
	next := c.get(members).next()
	c.get(strings.Replace(next, everyone, groupsByName(t, c.org)["Finance"].ID, 1)).want(t, 400, "E0000029", "")
}

// Rule 63: changes between the pages of a read.
func TestEdgesBetweenPages(t *testing.T) {
	for _, offset := range []bool{false, true} {
		c := newClient(t, sandbox.Config{Users: 100, OffsetCursors: offset})
		group, other, app := c.org.AddGroup("A", ""), c.org.AddGroup("B", ""), c.org.AddApp("X")
		users := c.mustAll("/api/v1/users")[:60]
		for _, user := range users {
			if err := c.org.AddMember(group, user); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			if err := c.org.AssignUser(app, user, ""); err != nil {
				t.Fatal(err)
			}
		}
		members, assigned := c.get(edgePath(sandbox.GroupMembers, group)+"?limit=20").next(), c.get(edgePath(sandbox.AppUsers, app)+"?limit=20").next()
		for _, err := range []error{c.org.RemoveMember(group, users[0]), c.org.AddMember(other, users[0]), c.org.UnassignUser(app, users[0])} {
			if err != nil {
				t.Fatal(err)
			}
		}
		want := users[20:]
		if offset {
			want = users[21:] // the pages have shifted
		}
		if got := c.mustAll(members); !slices.Equal(got, want) {
			t.Errorf("offset cursors %t: the next pages of members = %q, want %q", offset, got, want)
		}
		if got := c.mustAll(assigned); !slices.Equal(got, want) {
			t.Errorf("offset cursors %t: the next pages of users of the app = %q, want %q", offset, got, want)
		}
		if err := c.org.DeleteGroup(group); err != nil {
			t.Fatal(err)
		}
		c.get(members).want(t, 404, "E0000007", group+" (UserGroup)")
	}
}

// edge once, and only edges that existed during the read.
func TestReadEdgesWhileChanging(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 120, Apps: 4, Assignments: 200, Concurrency: 1000})
	c.login()
	var groups, apps []string
	for id := range c.org.GroupsJSON() {
		groups = append(groups, id)
	}
	for id := range c.org.AppsJSON() {
		apps = append(apps, id)
	}
	users := slices.Sorted(maps.Keys(snapshot(c.org)))
	done := make(chan struct{})
	go func() {
		defer close(done)
		random := rand.New(rand.NewPCG(3, 4))
		one := func(ids []string) string { return ids[random.IntN(len(ids))] }
		for range 600 {
			switch group, app, user := one(groups), one(apps), one(users); random.IntN(9) {
			case 0, 1:
				_ = c.org.AddMember(group, user)
			case 2, 3:
				_ = c.org.RemoveMember(group, user)
			case 4:
				_ = c.org.AssignUser(app, user, "")
			case 5:
				_ = c.org.UnassignUser(app, user)
			case 6:
				_ = c.org.AssignGroup(app, group, random.IntN(3))
			case 7:
				_ = c.org.UnassignGroup(app, group)
			case 8:
				_ = c.org.SetAppActive(app, random.IntN(2) == 0)
				if random.IntN(8) == 0 {
					c.org.Delete(1)
				}
			}
		}
	}()
	type read struct {
		kind       sandbox.EdgeKind
		parent     string
		start, end time.Time
		ids        []string
	}
	var reads []read
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		for kind, parent := range map[sandbox.EdgeKind]string{sandbox.GroupMembers: groups[len(reads)%len(groups)], sandbox.AppUsers: apps[len(reads)%4], sandbox.AppGroups: apps[len(reads)%4]} {
			r := read{kind: kind, parent: parent, start: time.Now()}
			r.ids = c.mustAll(edgePath(kind, parent) + "?limit=20")
			r.end = time.Now()
			reads = append(reads, r)
		}
	}
	for _, r := range reads {
		listed, existed := map[string]int{}, map[string]bool{}
		for _, id := range r.ids {
			listed[id]++
		}
		for _, e := range c.org.EdgesOf(r.kind, r.parent) {
			existed[e.Child] = existed[e.Child] || e.Existed(r.start, r.end)
			if e.Lasted(r.start, r.end) && listed[e.Child] != 1 {
				t.Errorf("%s of %s: unchanged %s is listed %d times", r.kind, r.parent, e.Child, listed[e.Child])
			}
		}
		for id := range listed {
			if !existed[id] {
				t.Errorf("%s of %s: %s is listed, but didn't exist", r.kind, r.parent, id)
			}
		}
	}
	c.noViolations()
}
