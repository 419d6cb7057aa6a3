package oktaclient_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"oktasync/oktaclient"
)

// org serves the lists of an Okta org. Faults come from hook.
type org struct {
	users []string // ids; JSON from user()
	link  func(self, next string) []string

	of       oktaclient.Resource // of the objects; zero: users
	children map[string][]string // ids by parent, if the strategy of the resource is PerParent

	// hook handles the nth request, from 1, if it returns true.
	hook func(n int, w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	requests []*http.Request
}

// newOrg returns an org of n users. Every tenth is deprovisioned.
func newOrg(n int) *org {
	o := &org{}
	for i := range n {
		o.users = append(o.users, fmt.Sprintf("00u%05d", i))
	}
	return o
}

func status(id string) string {
	if strings.HasSuffix(id, "7") {
		return "DEPROVISIONED"
	}
	return "ACTIVE"
}

const updated = "1999-11-23T06:00:00.000Z"

func user(id string) string {
	return fmt.Sprintf(`{"id":%q,"status":%q, "lastUpdated":%q,"profile":{"login":"%s@example.com","n":1.50,"big":12345678901234567890}}`, id, status(id), updated, id)
}

func (o *org) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.requests = append(o.requests, r)
	n := len(o.requests)
	o.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Okta-Request-Id", fmt.Sprintf("req%d", n))
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat)) // not set in process
	if o.hook != nil && o.hook(n, w, r) {
		return
	}
	if before, after, found := strings.Cut(o.resource().Path, "{parent}"); found {
		parent := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, before), after)
		if children, exists := o.children[parent]; exists {
			o.list(w, r, children)
			return
		}
		fail(w, 404, "E0000007")
		return
	}
	if id, single := strings.CutPrefix(r.URL.Path, o.resource().Path+"/"); single {
		if !slices.Contains(o.users, id) {
			fail(w, 404, "E0000007")
			return
		}
		fmt.Fprint(w, o.record(id))
		return
	}
	o.list(w, r, o.users)
}

func (o *org) resource() oktaclient.Resource {
	if o.of.Name == "" {
		return oktaclient.Users
	}
	return o.of
}

func (o *org) record(id string) string {
	if o.of.Name == "groups" {
		return fmt.Sprintf(`{"id":%q,"lastUpdated":%q,"lastMembershipUpdated":%q,"type":"OKTA_GROUP","profile":{"name":%q}}`, id, updated, updated, id)
	}
	return user(id)
}

func (o *org) list(w http.ResponseWriter, r *http.Request, ids []string) {
	q := r.URL.Query()
	var matching []string
	for _, id := range ids {
		if o.matches(q, id) {
			matching = append(matching, id)
		}
	}
	from, _ := slices.BinarySearch(matching, q.Get("after"))
	limit, _ := strconv.Atoi(q.Get("limit"))
	page := matching[from:min(from+limit, len(matching))]
	origin, next := "http://"+r.Host, ""
	if r.TLS != nil {
		origin = "https://" + r.Host
	}
	if from+limit < len(matching) {
		q.Set("after", matching[from+limit])
		next = origin + r.URL.Path + "?" + q.Encode()
	}
	o.writeLinks(w, origin+r.URL.RequestURI(), next)
	var b strings.Builder
	for i, id := range page {
		b.WriteString(cmp.Or(map[bool]string{true: "[\n"}[i == 0], ",\n") + o.record(id))
	}
	if len(page) == 0 {
		b.WriteByte('[')
	}
	fmt.Fprintln(w, b.String()+"]")
}

// matches evaluates the queries of a read: a search matches all, a filter the
// deprovisioned, a range of lastUpdated or ids, and the plain list all but the
// deprovisioned.
func (o *org) matches(q url.Values, id string) bool {
	dates := regexp.MustCompile(`"([0-9].*?)"`).FindAllStringSubmatch(q.Get("filter")+q.Get("search"), 2)
	switch {
	case strings.HasPrefix(q.Get("filter"), "id eq"):
		return strings.Contains(q.Get("filter"), strconv.Quote(id))
	case len(dates) > 0:
		return updated >= dates[0][1] && (len(dates) == 1 || updated < dates[1][1])
	case q.Has("search"), o.of.Name != "":
		return true
	}
	return q.Has("filter") == (status(id) == "DEPROVISIONED")
}

func (o *org) writeLinks(w http.ResponseWriter, self, next string) {
	if o.link != nil {
		w.Header()["Link"] = o.link(self, next)
		return
	}
	w.Header().Add("Link", "<"+self+`>; rel="self"`)
	if next != "" {
		w.Header().Add("Link", "<"+next+`>; rel="next"`)
	}
}

func (o *org) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.requests)
}

func fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errorCode":%q,"errorSummary":"secret summary","errorLink":%q,"errorId":"oae1","errorCauses":[]}`, code, code)
}

// client reads o through a real server, without long waits.
func (o *org) client(t *testing.T, change func(*oktaclient.Config)) *oktaclient.Client {
	t.Helper()
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	// On a reused connection, net/http retries a GET.
	server.Client().Transport.(*http.Transport).DisableKeepAlives = true
	return newClient(t, server.URL, server.Client(), change)
}

func newClient(t testing.TB, url string, hc *http.Client, change func(*oktaclient.Config)) *oktaclient.Client {
	t.Helper()
	cfg := oktaclient.Config{OrgURL: url, HTTPClient: hc, PageSize: 10, BaseWait: time.Nanosecond, IndexLag: time.Nanosecond}
	if change != nil {
		change(&cfg)
	}
	c, err := oktaclient.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// inProcess calls a handler without a network, as testing/synctest needs it.
type inProcess struct{ http.Handler }

func (h inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// clientInProcess reads o in a synctest bubble, with the default waits.
func (o *org) clientInProcess(t *testing.T, change func(*oktaclient.Config)) *oktaclient.Client {
	t.Helper()
	return newClient(t, "http://127.0.0.1", &http.Client{Transport: inProcess{o}}, func(cfg *oktaclient.Config) {
		cfg.BaseWait = 0
		if change != nil {
			change(cfg)
		}
	})
}

// sink stores all records and requests.
type sink struct {
	users    []oktaclient.Record
	outside  []oktaclient.Record
	requests []oktaclient.Request
	userErr  error

	newest map[string]oktaclient.Record // the valid copy by id, without JSON if outside
}

// keep stores the newest copy of a user, and of equal ones the last.
func (s *sink) keep(u oktaclient.Record) {
	if s.newest == nil {
		s.newest = map[string]oktaclient.Record{}
	}
	if u.LastUpdated >= s.newest[u.ID].LastUpdated {
		s.newest[u.ID] = u
	}
}

// of returns the records that the query selects, by id.
func (s *sink) of() map[string]oktaclient.Record {
	of := maps.Clone(s.newest)
	maps.DeleteFunc(of, func(_ string, u oktaclient.Record) bool { return u.JSON == nil })
	return of
}

func (s *sink) Record(u oktaclient.Record) error {
	u.JSON = slices.Clone(u.JSON)
	s.users = append(s.users, u)
	s.keep(u)
	return s.userErr
}

func (s *sink) Outside(u oktaclient.Record) error {
	u.JSON = nil
	s.outside = append(s.outside, u)
	s.keep(u)
	return nil
}

func (s *sink) Request(r oktaclient.Request) error {
	s.requests = append(s.requests, r)
	return nil
}

// ids returns the ids of the records, sorted and unique.
func (s *sink) ids() []string {
	var ids []string
	for _, u := range s.users {
		ids = append(ids, u.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

var everyone = oktaclient.Query{Resource: oktaclient.Users, IncludeDeprovisioned: true}

// read reads all records, and fails the test if one is missing.
func (o *org) read(t *testing.T, c *oktaclient.Client) (*sink, oktaclient.ReadResult) {
	t.Helper()
	s := &sink{}
	result, err := c.Read(t.Context(), oktaclient.Query{Resource: o.resource(), IncludeDeprovisioned: true}, s)
	if err != nil {
		t.Fatalf("Read() = %v", err)
	}
	if got := s.ids(); !slices.Equal(got, o.users) {
		t.Fatalf("read %d users, want %d", len(got), len(o.users))
	}
	return s, result
}

// readError reads all users, and fails the test unless the result is an *Error.
func readError(t *testing.T, c *oktaclient.Client) (*sink, *oktaclient.Error) {
	t.Helper()
	s := &sink{}
	_, err := c.Read(context.WithoutCancel(t.Context()), everyone, s)
	e, ok := errors.AsType[*oktaclient.Error](err)
	if !ok {
		t.Fatalf("Read() = %v, want an *Error", err)
	}
	return s, e
}
