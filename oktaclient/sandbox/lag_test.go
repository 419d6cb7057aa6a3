package sandbox_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
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

// Rule 65: while edges change and clients read, each list contains every unchanged
