package sandbox_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

const stampLayout = "2006-01-02T15:04:05.000Z"

// Rule 58: the list of members lags, and lastMembershipUpdated shows the time of
// the change later still.
func TestMemberLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 200, MemberLag: 3 * time.Second, StampLag: 10 * time.Second, TokenLife: 1000 * time.Hour})
		group := c.org.AddGroup("Late", "")
		path := edgePath(sandbox.GroupMembers, group)
		users := c.mustAll("/api/v1/users")[:100]
		for range 20 {
			time.Sleep(time.Hour)
			changed := time.Now()
			for _, user := range users {
				if err := c.org.AddMember(group, user); err != nil {
					t.Fatal(err)
				}
			}
			partial := 0
			for range 6 {
				time.Sleep(500 * time.Millisecond)
				if n := len(c.mustAll(path)); n > 0 && n < 100 {
					partial++
				}
			}
			if got := c.mustAll(path); partial == 0 || len(got) != 100 {
				t.Fatalf("after 3 s: %d members; %d lists before were partial", len(got), partial)
			}
			time.Sleep(7 * time.Second)
			if r := c.get("/api/v1/groups/" + group); r.json["lastMembershipUpdated"] != changed.UTC().Format(stampLayout) {
				t.Fatalf("lastMembershipUpdated = %v, want %s, the time of the change", r.json["lastMembershipUpdated"], changed.UTC().Format(stampLayout))
			}
			for _, user := range users {
				if err := c.org.RemoveMember(group, user); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(3 * time.Second)
			if got := c.mustAll(path); len(got) != 0 {
				t.Fatalf("3 s after their removal, %d members are listed", len(got))
			}
		}
	})
}

// A filter by lastMembershipUpdated misses a change until its stamp is visible.
func TestStampLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 50, StampLag: 10 * time.Second, TokenLife: 1000 * time.Hour})
		user := c.mustAll("/api/v1/users")[0]
		late := 0
		for i := range 20 {
			time.Sleep(time.Hour)
			group := c.org.AddGroup(fmt.Sprintf("Group %d", i), "")
			time.Sleep(time.Minute)
			now := time.Now().UTC().Format(stampLayout)
			if err := c.org.AddMember(group, user); err != nil {
				t.Fatal(err)
			}
			target := groups("filter", `lastMembershipUpdated ge "`+now+`"`)
			time.Sleep(2 * time.Second)
			if len(c.mustAll(target)) == 0 {
				late++
			}
			time.Sleep(8 * time.Second)
			if got := c.mustAll(target); !slices.Equal(got, []string{group}) {
				t.Errorf("10 s after the change, the filter finds %q, want %s", got, group)
			}
		}
		if late < 10 {
			t.Errorf("%d of 20 stamps were late by 2 s or more", late)
		}
	})
}

// Rule 59: a membership changes lastMembershipUpdated only, and an assignment
// changes neither its group nor its app.
func TestUnchangedStamps(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 50})
	groups, app := groupsByName(t, c.org), appsByLabel(t, c.org)["Salesforce"].ID
	finance := groups["Finance"]
	user := c.mustAll("/api/v1/users")[0]
	before, _ := c.org.App(app)
	for _, err := range []error{c.org.AssignUser(app, user, ""), c.org.AssignGroup(app, finance.ID, 0), c.org.UnassignUser(app, user), c.org.UnassignGroup(app, finance.ID)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if after, _ := c.org.App(app); string(after) != string(before) {
		t.Errorf("after assignments, the app is %s, want %s", after, before)
	}
	if after := groupsByName(t, c.org)["Finance"]; after.LastMembershipUpdated != finance.LastMembershipUpdated || after.LastUpdated != finance.LastUpdated {
		t.Errorf("after assignments, the group is %+v, want %+v", after, finance)
	}
	if err := c.org.RemoveMember(finance.ID, children(c.org, sandbox.GroupMembers, finance.ID)[0]); err != nil {
		t.Fatal(err)
	}
	if after := groupsByName(t, c.org)["Finance"]; after.LastMembershipUpdated <= finance.LastMembershipUpdated || after.LastUpdated != finance.LastUpdated {
		t.Errorf("after a removal, the group is %+v, was %+v", after, finance)
	}
	for active := range 2 {
		last, _ := c.org.App(app)
		time.Sleep(2 * time.Millisecond)
		if err := c.org.SetAppActive(app, active == 1); err != nil {
			t.Fatal(err)
		}
		if after, _ := c.org.App(app); sortKey(after, "lastUpdated") <= sortKey(last, "lastUpdated") {
			t.Errorf("lastUpdated of the app is %s, was %s before its status changed", sortKey(after, "lastUpdated"), sortKey(last, "lastUpdated"))
		}
	}
}

// Rule 60: expand=stats, also missing, wrong, slow, and 500 above a limit. A page
// of members can be too large as well.
func TestStats(t *testing.T) {
	read := func(c *client, target string) (counts map[string]int, admins int) {
		counts = map[string]int{}
		_, rows, err := c.all(target)
		for _, row := range rows {
			var g struct {
				ID       string
				Embedded struct {
					Stats *struct {
						UsersCount, AppsCount int
						HasAdminPrivilege     bool
					}
				} `json:"_embedded"`
			}
			if err := json.Unmarshal(row, &g); err != nil {
				t.Fatal(err)
			}
			if s := g.Embedded.Stats; s != nil {
				counts[g.ID] = s.UsersCount
				if s.HasAdminPrivilege {
					admins++
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return counts, admins
	}
	want := map[string]int{}
	c := newClient(t, sandbox.Config{Users: 200, Groups: 60})
	for id := range c.org.GroupsJSON() {
		want[id] = len(children(c.org, sandbox.GroupMembers, id))
	}
	got, admins := read(c, groups("limit", "20", "expand", "stats"))
	if !maps.Equal(got, want) || admins != 1 {
		t.Errorf("counts = %v, %d with administrators; want %v and 1", got, admins, want)
	}
	if got, _ := read(c, groups("limit", "20")); len(got) != 0 {
		t.Errorf("counts without expand = %v", got)
	}
	c = newClient(t, sandbox.Config{Users: 200, Groups: 60, GroupStats: sandbox.GroupStats{Missing: true}})
	if got, _ := read(c, groups("expand", "stats")); len(got) < 20 || len(got) > 50 {
		t.Errorf("%d of 60 groups have counts, want two thirds", len(got))
	}
	c = newClient(t, sandbox.Config{Users: 200, Groups: 60, GroupStats: sandbox.GroupStats{Wrong: true, Limit: 50}, MemberLimit: 200})
	wrong := 0
	got, _ = read(c, groups("expand", "stats", "limit", "50"))
	for id, n := range got {
		if n != want[id] {
			wrong++
		}
	}
	if wrong < 10 || wrong > 40 {
		t.Errorf("%d of 60 counts are wrong, want a third", wrong)
	}
	c.get(groups("expand", "stats", "limit", "51")).want(t, 500, "E0000009", "")
	c.get(groups("limit", "51")).want(t, 200, "", "")
	members := edgePath(sandbox.GroupMembers, groupsByName(t, c.org)["Everyone"].ID)
	c.get(members).want(t, 500, "E0000009", "")
	c.get(members+"?limit=200").want(t, 200, "", "")
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{GroupStats: sandbox.GroupStats{Delay: time.Second}})
		c.login()
		start := time.Now()
		if c.get(groups("limit", "10", "expand", "stats")); time.Since(start) != 10*time.Second {
			t.Errorf("a page of 10 groups took %s, want 10 s", time.Since(start))
		}
	})
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

// Rule 65: while edges change and clients read, each list contains every unchanged
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

// Rule 64: deactivation suspends a user in apps with credentials of their own.
func TestSuspendedAssignments(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 50})
	app, user := appsByLabel(t, c.org)[`Parts "Legacy" Portal`].ID, c.mustAll("/api/v1/users?" + query("filter", `status eq "ACTIVE"`))[0]
	group := c.org.AddGroup("Mechanics", "")
	_ = c.org.UnassignUser(app, user)
	for _, err := range []error{c.org.AddMember(group, user), c.org.AssignGroup(app, group, 0), c.org.Change(sandbox.Deactivate, user)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	row := "/api/v1/apps/" + app + "/users/" + user
	if r := c.get(row); r.json["status"] != "SUSPENDED" || r.json["scope"] != "GROUP" {
		t.Errorf("row of a deactivated user = %d %s", r.status, r.body)
	}
	if got := c.mustAll(edgePath(sandbox.GroupMembers, group)); !slices.Contains(got, user) {
		t.Error("a deactivated user is no member")
	}
	if err := c.org.Change(sandbox.Reactivate, user); err != nil {
		t.Fatal(err)
	}
	if r := c.get(row); r.json["status"] != "ACTIVE" || r.json["scope"] != "USER" {
		t.Errorf("row of a reactivated user = %d %s", r.status, r.body)
	}
}

// Each control of /sandbox/ for members, apps and rules changes the org.
func TestAccessControls(t *testing.T) {
	org := sandbox.NewOrg(sandbox.Config{Users: 20, Control: true})
	s, err := sandbox.NewServer(org, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	post := func(target, body string) string {
		t.Helper()
		resp, err := s.Client().Post(s.URL+"/sandbox/"+target, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer struct{ IDs []string }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", target, resp.StatusCode, err)
		}
		return strings.Join(answer.IDs, "")
	}
	user := slices.Sorted(maps.Keys(snapshot(org)))[0]
	group, app := post("add-group?name=G", ""), post("add-app?label=A", "")
	post("add-member?group="+group+"&user="+user, "")
	post("assign-group?app="+app+"&group="+group+"&priority=2", "")
	post("assign-user?app="+app+"&user="+user+"&status=STAGED", "")
	if all := org.EdgesOf(sandbox.AppUsers, app); len(all) != 2 || all[1].Status != "STAGED" || all[1].Scope != "USER" || all[0].Until.IsZero() {
		t.Errorf("users of the app = %+v", all)
	}
	if all := org.EdgesOf(sandbox.AppGroups, app); len(all) != 1 || all[0].Priority != 2 {
		t.Errorf("groups of the app = %+v", all)
	}
	post("unassign-user?app="+app+"&user="+user, "")
	post("unassign-group?app="+app+"&group="+group, "")
	post("remove-member?group="+group+"&user="+user, "")
	for _, kind := range sandbox.EdgeKinds() {
		for e := range org.Edges(kind, time.Time{}) {
			if e.Parent == group || e.Parent == app {
				t.Errorf("%+v is left", e)
			}
		}
	}
	post("set-app?id="+app+"&path=label", `"B"`)
	post("deactivate-app?id="+app, "")
	if a := appsByLabel(t, org)["B"]; a.Status != "INACTIVE" {
		t.Errorf("app = %+v", a)
	}
	post("activate-app?id="+app, "")
	post("delete-app?id="+app, "")
	post("put-app", `{"id":"0oaput","status":"ACTIVE","label":"Put"}`)
	if all := appsByLabel(t, org); all["B"].ID != "" || all["Put"].ID != "0oaput" {
		t.Errorf("apps = %+v", all)
	}
	rule := post("add-rule?name=R&expression=true&group="+group, "")
	post("activate-rule?id="+rule, "")
	post("set-rule?id="+rule+"&path=name", `"S"`)
	post("deactivate-rule?id="+rule, "")
	post("delete-rule?id="+rule, "")
	for _, name := range []string{"apps", "rules", "group_members", "app_users", "app_groups"} {
		resp, err := s.Client().Get(s.URL + "/sandbox/" + name)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %v %v", name, resp, err)
		}
		resp.Body.Close()
	}
}
