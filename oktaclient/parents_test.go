package oktaclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
)

// parentSink stores the records of each parent.
type parentSink struct {
	sink
	of    map[string][]oktaclient.Record // since Begin
	ended map[string]bool                // whether the parent exists
}

func newParentSink() *parentSink {
	return &parentSink{of: map[string][]oktaclient.Record{}, ended: map[string]bool{}}
}

func (s *parentSink) Begin(parent string) error {
	s.of[parent] = nil
	return nil
}

func (s *parentSink) Record(r oktaclient.Record) error {
	if _, ended := s.ended[r.Parent]; ended {
		return fmt.Errorf("record %s after the end of %s", r.ID, r.Parent)
	}
	r.JSON = slices.Clone(r.JSON)
	s.of[r.Parent] = append(s.of[r.Parent], r)
	return nil
}

func (s *parentSink) End(parent string, exists bool) error {
	if _, ended := s.ended[parent]; ended {
		return fmt.Errorf("second end of %s", parent)
	}
	s.ended[parent] = exists
	return nil
}

// ids returns the ids of the records of each parent, without duplicates.
func (s *parentSink) ids() map[string][]string {
	all := map[string][]string{}
	for parent, records := range s.of {
		all[parent] = []string{}
		for _, r := range records {
			all[parent] = append(all[parent], r.ID)
		}
		slices.Sort(all[parent])
		all[parent] = slices.Compact(all[parent])
	}
	return all
}

// newParents returns an org of a resource with these numbers of children.
func newParents(of oktaclient.Resource, sizes ...int) *org {
	o := newOrg(slices.Max(append(sizes, 0)))
	o.of, o.children = of, map[string][]string{}
	for i, n := range sizes {
		o.children[fmt.Sprintf("00g%05d", i)] = o.users[:n]
	}
	return o
}

func (o *org) parents() []string { return slices.Sorted(maps.Keys(o.children)) }

// readParents reads the children of all parents.
func readParents(ctx context.Context, o *org, c *oktaclient.Client) (*parentSink, oktaclient.ReadResult, error) {
	s := newParentSink()
	result, err := c.Read(ctx, oktaclient.Query{Resource: o.of, Parents: o.parents()}, s)
	return s, result, err
}

func (o *org) checkParents(t *testing.T, s *parentSink) {
	t.Helper()
	got := s.ids()
	for parent, want := range o.children {
		if !slices.Equal(got[parent], want) || !s.ended[parent] {
			t.Errorf("%s has %d records, ended %v; want %d", parent, len(got[parent]), s.ended[parent], len(want))
		}
	}
	if len(got) != len(o.children) {
		t.Errorf("%d parents, want %d", len(got), len(o.children))
	}
}

func TestReadParents(t *testing.T) {
	for _, test := range []struct {
		of   oktaclient.Resource
		path string
	}{
		{oktaclient.GroupMembers, "/api/v1/groups/00g00003/users?limit=10"},
		{oktaclient.AppUsers, "/api/v1/apps/00g00003/users?limit=10"},
		{oktaclient.AppGroups, "/api/v1/apps/00g00003/groups?limit=20"}, // the least that Okta accepts
	} {
		for _, concurrency := range []int{1, 4} {
			o := newParents(test.of, 0, 1, 9, 10, 35, 0, 20)
			s, result, err := readParents(t.Context(), o, o.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency = concurrency }))
			if err != nil || !result.Settled || result.Rows != 75 || result.Requests != o.count() {
				t.Errorf("result = %+v, %v", result, err)
			}
			o.checkParents(t, s)
			if r := s.of["00g00001"][0]; r.ID != "00u00000" || r.Parent != "00g00001" || r.Status != "ACTIVE" || r.LastUpdated != updated || string(r.JSON) != user(r.ID) {
				t.Errorf("record = %+v, %s", r, r.JSON)
			}
			if !slices.ContainsFunc(s.requests, func(r oktaclient.Request) bool {
				return r.Path == test.path && r.Rows == 10 && r.Resource == test.of.Name
			}) {
				t.Errorf("no request of %s in %+v", test.path, s.requests)
			}
		}
	}
}

// The list of a parent that Okta no longer has ends with exists false, also if the
// parent is deleted between two pages. A 404 of a proxy is an error.
func TestParentThatDoesNotExist(t *testing.T) {
	o := newParents(oktaclient.GroupMembers, 25, 25, 25)
	o.hook = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		gone := strings.Contains(r.URL.Path, "00g00001") && r.URL.Query().Has("after")
		if gone {
			fail(w, 404, "E0000007")
		}
		return gone
	}
	c := o.client(t, nil)
	s, result, err := readParents(t.Context(), o, c)
	if want := map[string]bool{"00g00000": true, "00g00001": false, "00g00002": true}; err != nil || !maps.Equal(s.ended, want) || result.Requests != 3+2+3 {
		t.Errorf("ended = %v in %d requests, %v; want %v", s.ended, result.Requests, err, want)
	}
	o.hook = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(404)
		return true
	}
	if s, _, err := readParents(t.Context(), o, c); err == nil || len(s.ended) > 0 {
		t.Errorf("Read() = %v, ended %v; want an error", err, s.ended)
	}
}

// If Okta can't return a page, the list of that parent is read from its start with
// smaller pages, and its earlier records don't count.
func TestParentIsReadWithSmallerPages(t *testing.T) {
	for _, test := range []struct {
		name  string
		of    oktaclient.Resource
		most  int // records of a page that Okta can return
		fail  func(w http.ResponseWriter)
		sizes []int // of pages; nil: an error
	}{
		{"500", oktaclient.GroupMembers, 400, func(w http.ResponseWriter) { fail(w, 500, "E0000009") }, []int{1000, 500, 250}},
		{"504", oktaclient.AppUsers, 50, func(w http.ResponseWriter) { w.WriteHeader(504) }, []int{500, 250, 125, 62, 50}},
		{"too large", oktaclient.AppGroups, 20, func(w http.ResponseWriter) { fmt.Fprint(w, strings.Repeat(" ", 9<<20)) }, []int{200, 100, 50, 25, 20}},
		{"smallest", oktaclient.GroupMembers, 199, func(w http.ResponseWriter) { fail(w, 500, "E0000009") }, nil},
		{"another status", oktaclient.GroupMembers, 400, func(w http.ResponseWriter) { fail(w, 503, "E0000100") }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newParents(test.of, 1100, 3)
			o.hook = func(_ int, w http.ResponseWriter, r *http.Request) bool {
				q := r.URL.Query()
				limit, _ := strconv.Atoi(q.Get("limit"))
				fails := limit > test.most && q.Has("after") // the first page works
				if fails {
					test.fail(w)
				}
				return fails
			}
			s, result, err := readParents(t.Context(), o, o.client(t, func(cfg *oktaclient.Config) { cfg.PageSize = 0 }))
			if test.sizes == nil {
				if e, ok := errors.AsType[*oktaclient.Error](err); !ok || !strings.HasPrefix(err.Error(), test.of.Name+" of 00g00000: okta: ") || e.Page != 2 || e.Tries != 5 {
					t.Errorf("Read() = %v, want the parent and the error of page 2 after 5 tries", err)
				}
				return
			}
			if err != nil || result.Requests != o.count() {
				t.Fatalf("result = %+v, %v", result, err)
			}
			o.checkParents(t, s)
			var sizes []int
			for _, r := range s.requests {
				u, _ := url.Parse(r.Path)
				if size, _ := strconv.Atoi(u.Query().Get("limit")); strings.Contains(r.Path, "00g00000") && !slices.Contains(sizes, size) {
					sizes = append(sizes, size)
				}
			}
			if !slices.Equal(sizes, test.sizes) {
				t.Errorf("pages of %v, want %v", sizes, test.sizes)
			}
			if n := len(s.of["00g00000"]); n != 1100 {
				t.Errorf("%d records since the start of the list, want 1100", n)
			}
		})
	}
}

// A page that takes too long is read in smaller pages, too.
func TestParentThatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newParents(oktaclient.GroupMembers, 2000)
		o.hook = func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("limit") == "1000" {
				<-r.Context().Done()
			}
			return false
		}
		s, _, err := readParents(t.Context(), o, o.clientInProcess(t, func(cfg *oktaclient.Config) { cfg.PageSize = 0 }))
		if err != nil {
			t.Fatal(err)
		}
		o.checkParents(t, s)
	})
}

// If another read fails and cancels this one, its error is no reason for smaller pages.
func TestCanceledListIsNotReadAgain(t *testing.T) {
	for _, q := range []oktaclient.Query{{Resource: oktaclient.GroupMembers, Parents: []string{"00g00000"}}, {Resource: oktaclient.RoleAssignments}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		o := newParents(oktaclient.GroupMembers, 5)
		o.hook = func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			cancel(&oktaclient.Error{Status: http.StatusGatewayTimeout, Path: "/api/v1/apps"})
			<-r.Context().Done()
			return true
		}
		var logged bytes.Buffer
		c := o.client(t, func(cfg *oktaclient.Config) {
			cfg.PageSize, cfg.Logger = 0, slog.New(slog.NewTextHandler(&logged, nil))
		})
		if _, err := c.Read(ctx, q, newParentSink()); err == nil || logged.Len() > 0 {
			t.Errorf("Read(%s) = %v, and logs %s", q.Resource.Name, err, logged.String())
		}
	}
}

// After a rejected cursor, the list of the parent begins again.
func TestExpiredCursorOfAParent(t *testing.T) {
	o := newParents(oktaclient.AppUsers, 35)
	failed := false
	o.hook = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		now := !failed && r.URL.Query().Get("after") == "00u00020"
		if now {
			failed = true
			fail(w, 400, "E0000029")
		}
		return now
	}
	s, result, err := readParents(t.Context(), o, o.client(t, nil))
	if err != nil || !failed || result.Rows != 20+35 || len(s.of["00g00000"]) != 35 {
		t.Errorf("result = %+v, %v; %d records since the start of the list, want 35", result, err, len(s.of["00g00000"]))
	}
}

// While one parent has a long list, the other workers read all other parents.
func TestParentsDoNotWaitForALongList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sizes := slices.Repeat([]int{5}, 100)
		sizes[0] = 500 // 50 pages
		o := newParents(oktaclient.GroupMembers, sizes...)
		o.hook = func(int, http.ResponseWriter, *http.Request) bool {
			time.Sleep(time.Second)
			return false
		}
		began := time.Now()
		s, _, err := readParents(t.Context(), o, o.clientInProcess(t, func(cfg *oktaclient.Config) { cfg.Concurrency = 3 }))
		if err != nil {
			t.Fatal(err)
		}
		o.checkParents(t, s)
		if took := time.Since(began); took > 52*time.Second {
			t.Errorf("took %v, want about 50s: two workers read 99 lists while one reads 50 pages", took)
		}
	})
}

// A read of many parents needs no memory or goroutine for each.
func TestManyParents(t *testing.T) {
	const parents = 20_000
	ids := make([]string, parents)
	for i := range ids {
		ids[i] = fmt.Sprintf("00g%05d", i)
	}
	var most atomic.Int64
	before := int64(runtime.NumGoroutine())
	c := newClient(t, "http://127.0.0.1", &http.Client{Transport: inProcess{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), int64(runtime.NumGoroutine())-before))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "[]")
	})}}, func(cfg *oktaclient.Config) { cfg.Concurrency = 4 })
	s := &tally{}
	if _, err := c.Read(t.Context(), oktaclient.Query{Resource: oktaclient.GroupMembers, Parents: ids}, s); err != nil || s.parents != parents {
		t.Errorf("%d of %d parents ended: %v", s.parents, parents, err)
	}
	if n := most.Load(); n > 50 {
		t.Errorf("%d goroutines, want few", n)
	}
}

// tally is a sink that counts records and parents.
type tally struct{ records, parents int }

func (t *tally) Record(oktaclient.Record) error { t.records++; return nil }
func (*tally) Outside(oktaclient.Record) error  { return nil }
func (*tally) Request(oktaclient.Request) error { return nil }
func (*tally) Begin(string) error               { return nil }
func (t *tally) End(string, bool) error         { t.parents++; return nil }

func TestParentsThatCannotBeRead(t *testing.T) {
	o := newParents(oktaclient.GroupMembers, 5)
	c := o.client(t, nil)
	for name, test := range map[string]struct {
		q    oktaclient.Query
		sink oktaclient.Sink
	}{
		"a sink without Begin": {oktaclient.Query{Resource: oktaclient.GroupMembers, Parents: o.parents()}, &sink{}},
		"no id":                {oktaclient.Query{Resource: oktaclient.GroupMembers, Parents: []string{""}}, newParentSink()},
		"dots":                 {oktaclient.Query{Resource: oktaclient.GroupMembers, Parents: []string{".."}}, newParentSink()},
		"filter of members":    {oktaclient.Query{Resource: oktaclient.GroupMembers, Filter: "x"}, newParentSink()},
		"filter of users":      {oktaclient.Query{Resource: oktaclient.Users, Filter: "x"}, newParentSink()},
		"search of apps":       {oktaclient.Query{Resource: oktaclient.Apps, Search: "x"}, newParentSink()},
		"stats of apps":        {oktaclient.Query{Resource: oktaclient.Apps, Stats: true}, newParentSink()},
	} {
		if _, err := c.Read(t.Context(), test.q, test.sink); err == nil || o.count() > 0 {
			t.Errorf("%s: Read() = %v after %d requests, want an error before the first", name, err, o.count())
		}
	}
	if _, err := c.Find(t.Context(), oktaclient.Query{Resource: oktaclient.GroupMembers}, []string{"00u1"}, newParentSink()); err == nil || o.count() > 0 {
		t.Errorf("Find() = %v after %d requests, want an error before the first", err, o.count())
	}
	if _, err := c.Read(t.Context(), oktaclient.Query{Resource: oktaclient.GroupMembers, Parents: []string{"a/../b?c"}}, newParentSink()); err != nil {
		t.Errorf("Read() of an id with slashes = %v", err)
	}
	if got := o.requests[0].RequestURI; got != "/api/v1/groups/a%2F..%2Fb%3Fc/users?limit=10" {
		t.Errorf("request = %s", got)
	}
}

// An error of the sink ends the read.
func TestParentSinkFails(t *testing.T) {
	for _, method := range []string{"Begin", "End"} {
		o := newParents(oktaclient.GroupMembers, 5, 5, 5)
		s := &failingSink{parentSink: newParentSink(), method: method}
		_, err := o.client(t, nil).Read(t.Context(), oktaclient.Query{Resource: o.of, Parents: o.parents()}, s)
		if !errors.Is(err, errDisk) || o.count() > 1 {
			t.Errorf("%s fails: Read() = %v after %d requests, want that error after at most 1", method, err, o.count())
		}
	}
}

var errDisk = errors.New("disk full")

type failingSink struct {
	*parentSink
	method string
}

func (f *failingSink) Begin(string) error {
	if f.method == "Begin" {
		return errDisk
	}
	return nil
}

func (f *failingSink) End(string, bool) error { return errDisk }
