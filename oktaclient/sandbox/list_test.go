package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient/sandbox"
)

// Rule 21: the users in each list.
func TestListedUsers(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 300, Deprovisioned: 30})
	for target, want := range map[string]int{
		"/api/v1/users": 270,
		list("filter", `status eq "DEPROVISIONED"`): 30,
		list("filter", `status eq "STAGED" or status eq "PROVISIONED" or status eq "ACTIVE" or status eq "RECOVERY" or status eq "LOCKED_OUT" or status eq "PASSWORD_EXPIRED" or status eq "SUSPENDED" or status eq "DEPROVISIONED"`): 300,
		list("search", `profile.organization eq "brightwater instruments"`): 300,
	} {
		if got := len(c.mustAll(target)); got != want {
			t.Errorf("%s: %d users, want %d", target, got, want)
		}
	}
	r := c.get(list("q", "a"))
	var found []struct{ Status string }
	if err := json.Unmarshal([]byte(r.body), &found); err != nil {
		t.Fatal(err)
	}
	if len(found) != 10 || r.next() != "" || strings.Contains(r.body, "DEPROVISIONED") {
		t.Errorf("q found %d users, next %q; want 10 active users and no next link", len(found), r.next())
	}
	c.noViolations()
}

// Rule 22: limit.
func TestLimit(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 500, Deprovisioned: -1})
	for limit, want := range map[string]int{"": 200, "1": 1, "200": 200, "201": 200, "10000": 200} {
		target := "/api/v1/users"
		if limit != "" {
			target = list("limit", limit)
		}
		var page []json.RawMessage
		if _ = json.Unmarshal([]byte(c.get(target).body), &page); len(page) != want {
			t.Errorf("limit %q: %d users, want %d", limit, len(page), want)
		}
	}
	for _, limit := range []string{"0", "-1", "ten", "1.5"} {
		r := c.get(list("limit", limit))
		r.want(t, 400, "E0000001", "")
		if causes, _ := r.json["errorCauses"].([]any); len(causes) != 1 {
			t.Errorf("limit %q: %s, want a cause", limit, r.body)
		}
	}
}

// Rules 23 to 25: links and cursors.
func TestPaging(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 50, Deprovisioned: -1})
	target := list("limit", "7", "search", `status pr`, "sortBy", "profile.lastName", "sortOrder", "desc", "fields", "id,profile:(lastName)")
	first := c.get(target)
	links := first.header.Values("Link")
	if len(links) != 2 || links[0] != "<"+c.org.URL()+target+`>; rel="self"` {
		t.Fatalf("Link = %q, want self, then next, in lines of their own", links)
	}
	next, err := url.Parse(first.next())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"limit", "search", "sortBy", "sortOrder", "fields"} {
		if got, want := next.Query().Get(name), mustQuery(t, target).Get(name); got != want {
			t.Errorf("next repeats %s = %q, want %q", name, got, want)
		}
	}
	if after := next.Query().Get("after"); url.QueryEscape(after) == after || strings.Contains(next.RawQuery, after) {
		t.Errorf("cursor = %q, want one that must be escaped", after)
	}
	ids := c.mustAll(target)
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 50 {
		t.Errorf("pages contain %d users, want 50", len(slices.Compact(ids)))
	}
	c.noViolations()

	altered := *next
	query := next.Query()
	query.Set("after", "x"+query.Get("after"))
	altered.RawQuery = query.Encode()
	c.get(altered.String()).want(t, 400, "E0000029", "Invalid paging request.")
	query = next.Query()
	query.Set("search", `status eq "ACTIVE"`)
	altered.RawQuery = query.Encode()
	c.get(altered.String()).want(t, 400, "E0000029", "Invalid paging request.")
	if v := c.org.Stats().Violations; len(v) != 2 {
		t.Errorf("violations = %q, want two", v)
	}
	if last := c.get(list("limit", "50")); last.next() != "" {
		t.Errorf("next of the last page = %q, want none", last.next())
	}
}

func mustQuery(t *testing.T, target string) url.Values {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func TestLinkForms(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 50, JoinLinks: true, LowerCaseLinks: true})
	req := c.request(list("limit", "7"), nil)
	req.RemoteAddr = "127.0.0.1:5"
	w := httptest.NewRecorder()
	c.org.ServeHTTP(w, req)
	for name, values := range w.Header() {
		if strings.EqualFold(name, "link") && (name != "link" || len(values) != 1 || !strings.Contains(values[0], `rel="self", <`)) {
			t.Errorf("%s: %q, want one joined link in lower case", name, values)
		}
	}
	if n := len(c.mustAll(list("limit", "7"))); n != 48 {
		t.Errorf("users = %d, want 48", n)
	}
}

func TestCursorLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 50, CursorLife: time.Minute})
		next := c.get(list("limit", "7")).next()
		c.get(next).want(t, 200, "", "")
		time.Sleep(61 * time.Second)
		c.get(next).want(t, 400, "E0000029", "")
		c.noViolations()
	})
}

// Pages shift if cursors count objects, but not if cursors contain an id.
func TestOffsetCursors(t *testing.T) {
	for _, offset := range []bool{false, true} {
		c := newClient(t, sandbox.Config{Users: 50, Deprovisioned: -1, OffsetCursors: offset})
		ids := c.mustAll("/api/v1/users")
		next := c.get(list("limit", "10")).next()
		if err := c.org.Change(sandbox.Delete, ids[3]); err != nil {
			t.Fatal(err)
		}
		rest := c.mustAll(next)
		if missed := !slices.Contains(rest, ids[10]); missed != offset {
			t.Errorf("with offsets %t: the eleventh user is missing: %t", offset, missed)
		}
		for _, by := range []string{"lastUpdated", "profile.firstName"} {
			if got := len(c.mustAll(list("limit", "7", "search", "id pr", "sortBy", by))); got != 49 {
				t.Errorf("with offsets %t: by %s %d users, want 49", offset, by, got)
			}
		}
	}
}

// expression is a filter or a search, and the number of objects that it finds.
type expression struct {
	text string
	want int
}

const one, none, rejected = 1, 0, -1

func filters(id, login string) []expression {
	return []expression{
		{fmt.Sprintf(`id eq "%s"`, id), one},
		{fmt.Sprintf(`profile.login eq "%s"`, login), one},
		{fmt.Sprintf(`profile.login eq "%s"`, strings.ToUpper(login)), none},
		{`status eq "DEPROVISIONED" and lastUpdated gt "2000-01-01T00:00:00.000Z"`, 20},
		{fmt.Sprintf(`(status eq "NEVER" or id eq "%s") and (profile.login eq "%s")`, id, login), one},
		{fmt.Sprintf(`id eq "%s" or status eq "NEVER" and status eq "ACTIVE"`, id), one}, // and has precedence over or
		{`lastUpdated lt "2000-01-01T00:00:00.000Z"`, none},
		{`status sw "DEP"`, rejected},
		{`status pr`, rejected},
		{`status gt "A"`, rejected},
		{`created gt "2000-01-01T00:00:00.000Z"`, rejected},
		{`profile.city eq "London"`, rejected},
		{`not (status eq "ACTIVE")`, rejected},
		{`status ne "ACTIVE"`, rejected},
		{`status EQ "ACTIVE"`, rejected},
		{`status eq ACTIVE`, rejected},
		{`status eq "ACTIVE`, rejected},
		{`(status eq "ACTIVE"`, rejected},
		{`status eq "ACTIVE")`, rejected},
		{`status eq "ACTIVE" and`, rejected},
		{`status eq "ACTIVE" status eq "STAGED"`, rejected},
		{`lastUpdated gt "yesterday"`, rejected},
		{`lastUpdated gt "2020-01-01"`, rejected},
		{`()`, rejected},
	}
}

func searches(login string) []expression {
	return []expression{
		{fmt.Sprintf(`profile.login eq "%s"`, strings.ToUpper(login)), one},
		{`status Eq "deprovisioned"`, 20},
		{`profile.nickName eq "zW\"EI"`, one},
		{`profile.lastName sw "ärger"`, one},
		{`profile.lastName sw "arger"`, none}, // diacritics are significant
		{`profile.lastName co "gers"`, one},
		{`profile.certifications eq "kite FLYING"`, one},
		{`profile.floor gt 76`, one},
		{`profile.floor ge 77 and profile.floor le 77.0`, one},
		{`profile.badgeNumber eq 12345678901234567891`, one},
		{`profile.badgeNumber eq 12345678901234567890`, none},
		{`(profile.floor lt 77 or profile.floor gt 77) and profile.floor gt 60`, none},
		{`profile.onCall eq true or profile.onCall eq false`, 400},
		{`type.id eq "oty1brightwaterUser0"`, 400},
		{fmt.Sprintf(`lastUpdated ge "%s"`, time.Now().Add(-time.Hour).UTC().Format("2006-01-02T15:04:05.000Z")), one},
		{`profile.title co "engineer"`, rejected},
		{`profile.title ew "engineer"`, rejected},
		{`profile.Title pr`, rejected}, // names are case-sensitive
		{`profile.unheardOf eq "x"`, rejected},
		{`lastLogin gt "2020-01-01T00:00:00.000Z"`, rejected},
		{`passwordChanged pr`, rejected},
		{`credentials.provider.type eq "OKTA"`, rejected},
		{`status ne "ACTIVE"`, rejected},
		{`not status eq "ACTIVE"`, rejected},
		{`profile.onCall gt true`, rejected},
		{`profile.floor eq 7x`, rejected},
		{strings.Repeat("(", 100) + `status pr` + strings.Repeat(")", 100), rejected},
	}
}

// Rule 27: filter and search.
func TestExpressions(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 400, Deprovisioned: 20})
	known := c.mustAll("/api/v1/users")[0]
	person, _ := c.org.User(known)
	var u struct {
		Profile struct{ Login, FirstName string }
	}
	_ = json.Unmarshal(person, &u)
	must := func(e error) {
		if e != nil {
			t.Fatal(e)
		}
	}
	must(c.org.Set(known, "profile.nickName", json.RawMessage(`"Zw\"ei"`)))
	must(c.org.Set(known, "profile.certifications", json.RawMessage(`["laser safety","Kite flying"]`)))
	must(c.org.Set(known, "profile.floor", json.RawMessage(`77`)))
	must(c.org.Set(known, "profile.badgeNumber", json.RawMessage(`12345678901234567891`)))
	must(c.org.Set(known, "profile.lastName", json.RawMessage(`"ÄrgerSon"`)))
	for param, expressions := range map[string][]expression{"filter": filters(known, u.Profile.Login), "search": searches(u.Profile.Login)} {
		for _, test := range expressions {
			target := list(param, test.text)
			if test.want != rejected {
				if got := len(c.mustAll(target)); got != test.want {
					t.Errorf("%s=%s: %d users, want %d", param, test.text, got, test.want)
				}
				continue
			}
			if r := c.get(target); r.status != 400 || r.code() != "E0000031" {
				t.Errorf("%s=%s: %d %s, want E0000031", param, test.text, r.status, r.code())
			}
		}
	}
	c.get(list("search", "status pr", "filter", `status eq "ACTIVE"`)).want(t, 400, "E0000033", "")
	c.get(list("search", `status pr and profile.title eq "`+strings.Repeat("x", 5000)+`"`)).want(t, 414, "E0000256", "")
}

// Rule 28: sorting, also of changed users.
func TestSort(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 120})
	c.org.Move(5)
	c.org.Join(5)
	c.org.Delete(5)
	for _, by := range []string{"lastUpdated", "profile.lastName", "profile.nickName", "id", "status", "statusChanged"} {
		for _, order := range []string{"", "desc"} {
			q := []string{"limit", "17", "search", "id pr", "sortBy", by, "sortOrder", order}
			ids, rows, err := c.all(list(q...))
			if err != nil {
				t.Fatal(err)
			}
			keys := make([]string, len(rows))
			for i, row := range rows {
				keys[i] = sortKey(row, by) + "\x00" + ids[i]
			}
			if order == "desc" {
				slices.Reverse(keys)
			}
			if !slices.IsSorted(keys) || len(slices.Compact(keys)) != 120 {
				t.Errorf("by %s %s: %d users, in order: %t", by, order, len(keys), slices.IsSorted(keys))
			}
		}
	}
	if ids := c.mustAll(list("sortBy", "profile.lastName")); !slices.IsSorted(ids) {
		t.Error("sortBy without search was not ignored")
	}
	c.get(list("search", "id pr", "sortBy", "profile.unheardOf")).want(t, 400, "E0000031", "")
}

func sortKey(row json.RawMessage, by string) string {
	var v any
	_ = json.Unmarshal(row, &v)
	for name := range strings.SplitSeq(by, ".") {
		v = v.(map[string]any)[name]
	}
	if s, ok := v.(string); ok && s != "" {
		return strings.ToLower(s)
	}
	return "\xff"
}

// Rule 29: the index lags. GET by id and the plain list don't.
func TestIndexLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, sandbox.Config{Users: 50, Deprovisioned: 5, IndexLag: time.Second})
		leavers := list("filter", `status eq "DEPROVISIONED"`)
		everyone := list("search", "id pr")
		id := c.org.Deactivate(1)[0]
		joined := c.org.Join(1)[0]
		deleted := c.org.Delete(1)[0]
		if n, all := len(c.mustAll(leavers)), c.mustAll(everyone); n != 5 || slices.Contains(all, joined) || !slices.Contains(all, deleted) {
			t.Errorf("at once: %d leavers, joined %t, deleted %t; want no change", n, slices.Contains(all, joined), slices.Contains(all, deleted))
		}
		if r := c.get("/api/v1/users/" + id); r.json["status"] != "DEPROVISIONED" {
			t.Errorf("by id: %v, want DEPROVISIONED", r.json["status"])
		}
		c.get("/api/v1/users/"+deleted).want(t, 404, "E0000007", "")
		if plain := c.mustAll("/api/v1/users"); slices.Contains(plain, id) || !slices.Contains(plain, joined) {
			t.Error("the plain list lags")
		}
		time.Sleep(500 * time.Millisecond)
		c.org.Touch(3)
		time.Sleep(500 * time.Millisecond)
		if n, all := len(c.mustAll(leavers)), c.mustAll(everyone); n != 6 || !slices.Contains(all, joined) || slices.Contains(all, deleted) {
			t.Errorf("a second later: %d leavers, joined %t, deleted %t", n, slices.Contains(all, joined), slices.Contains(all, deleted))
		}
	})
}

// Rule 30: fields and okta-response.
func TestProjection(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 50})
	var page []map[string]json.RawMessage
	r := c.get(list("limit", "1", "fields", "status,profile:(login,city)"))
	if err := json.Unmarshal([]byte(r.body), &page); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	var profile map[string]string
	_ = json.Unmarshal(page[0]["profile"], &profile)
	if len(page[0]) != 3 || page[0]["id"] == nil || len(profile) != 2 || profile["login"] == "" {
		t.Errorf("fields show %s, want id, status, login and city", r.body)
	}
	for words, want := range map[string][2]bool{
		"": {true, true}, `"omitCredentials,omitCredentialsLinks,omitTransitioningToStatus"`: {false, false}, "omitCredentials": {false, true}, "other": {true, true},
	} {
		req := c.request("/api/v1/users", nil)
		req.Header.Set("Content-Type", "application/json; okta-response="+words)
		body := c.must(req).body
		if got := [2]bool{strings.Contains(body, `"credentials"`), strings.Contains(body, `"transitioningToStatus"`)}; got != want {
			t.Errorf("okta-response=%s: credentials and transition shown: %v, want %v", words, got, want)
		}
		if !json.Valid([]byte(body)) {
			t.Errorf("okta-response=%s: body is not JSON", words)
		}
	}
}

func TestOneUser(t *testing.T) {
	c := newClient(t, sandbox.Config{Users: 50})
	id := c.mustAll("/api/v1/users")[7]
	user, _ := c.org.User(id)
	r := c.get("/api/v1/users/" + id)
	var one, listed map[string]any
	_ = json.Unmarshal(user, &listed)
	_ = json.Unmarshal([]byte(r.body), &one)
	if links := one["_links"].(map[string]any); len(links) < 3 {
		t.Errorf("links by id = %v, want more than self", links)
	}
	delete(one, "_links")
	delete(listed, "_links")
	if fmt.Sprint(one) != fmt.Sprint(listed) {
		t.Errorf("by id = %v, want %v", one, listed)
	}
	login := listed["profile"].(map[string]any)["login"].(string)
	if r := c.get("/api/v1/users/" + login); r.json["id"] != id {
		t.Errorf("by login = %d %v, want %s", r.status, r.json["id"], id)
	}
	c.get("/api/v1/users/00unobody").want(t, 404, "E0000007", "Not found: Resource not found: 00unobody (User)")
	c.noViolations()
}
