package oktaclient_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient"
)

func TestReadOfBothLists(t *testing.T) {
	o := newOrg(95)
	s, result := o.read(t, o.client(t, nil))
	for _, u := range s.users {
		if string(u.JSON) != user(u.ID) {
			t.Fatalf("user %s = %s, want it byte for byte: %s", u.ID, u.JSON, user(u.ID))
		}
		if u.Status != status(u.ID) || u.LastUpdated != updated {
			t.Fatalf("user %s has status %q, lastUpdated %q", u.ID, u.Status, u.LastUpdated)
		}
	}
	if result.Requests != 11 || result.Rows != 95 || len(s.outside) != 0 {
		t.Errorf("result = %d requests, %d rows, %d outside; want 11, 95, 0", result.Requests, result.Rows, len(s.outside))
	}
	rows := 0
	for _, r := range s.requests {
		rows += r.Rows
		if r.Status != 200 || r.Method != "GET" || r.RequestID == "" || r.Error != "" || r.Time.Before(result.Started) || r.Time.After(result.Finished) {
			t.Errorf("request = %+v", r)
		}
	}
	if rows != 95 || len(s.requests) != 11 {
		t.Errorf("transcript has %d requests with %d rows, want 11 with 95", len(s.requests), rows)
	}
	if got := s.requests[9].Path; got != "/api/v1/users?limit=10&filter=status%20eq%20%22DEPROVISIONED%22" {
		t.Errorf("last request = %s", got)
	}
}

func TestReadLeavesOutDeprovisioned(t *testing.T) {
	o := newOrg(95)
	tests := []struct {
		name                 string
		query                oktaclient.Query
		users, rows, outside int
	}{
		{"plain", oktaclient.Query{Resource: oktaclient.Users}, 86, 86, 0},
		{"search", oktaclient.Query{Resource: oktaclient.Users, Search: `profile.city eq "Köln"`}, 86, 95, 9},
		{"search, all", oktaclient.Query{Resource: oktaclient.Users, Search: `id pr`, IncludeDeprovisioned: true}, 95, 95, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &sink{}
			result, err := o.client(t, nil).Read(t.Context(), test.query, s)
			if err != nil {
				t.Fatal(err)
			}
			if len(s.users) != test.users || result.Rows != test.rows || len(s.outside) != test.outside {
				t.Errorf("got %d users of %d rows, %d outside; want %d, %d, %d", len(s.users), result.Rows, len(s.outside), test.users, test.rows, test.outside)
			}
			if !slices.ContainsFunc(o.requests, func(r *http.Request) bool { return r.URL.Query().Get("search") == test.query.Search }) {
				t.Errorf("no request with the search %q", test.query.Search)
			}
		})
	}
}

// The client sends a cursor back byte for byte.
func TestReadFollowsNextVerbatim(t *testing.T) {
	const cursor = "?after=00u%2B%2f+%7e&x=%20;&limit=10"
	o := newOrg(5)
	o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			w.Header().Set("Link", "<http://"+r.Host+"/api/v1/users"+cursor+`>; rel="next"`)
			w.Write([]byte("[]"))
		}
		return n == 1
	}
	o.read(t, o.client(t, nil))
	if got := o.requests[1].RequestURI; got != "/api/v1/users"+cursor {
		t.Errorf("second request = %s, want %s", got, cursor)
	}
}

func TestReadLinkForms(t *testing.T) {
	forms := map[string]func(self, next string) []string{
		"joined": func(self, next string) []string {
			if next == "" {
				return []string{"<" + self + ">;rel=self"}
			}
			return []string{"<" + self + `>; rel="self",<` + next + `>; title="a, b"; rel="next"`}
		},
		"upper case": func(self, next string) []string {
			if next == "" {
				return nil // the last page is not full
			}
			return []string{"<" + next + ">; REL=NEXT"}
		},
		"relative": func(self, next string) []string {
			if next == "" {
				return nil
			}
			u, _ := url.Parse(next)
			return []string{"<" + u.RequestURI() + `>; rel="next"`}
		},
		"other case of host": func(self, next string) []string {
			if next == "" {
				return nil
			}
			return []string{"<" + strings.Replace(next, "http:", "HTTP:", 1) + `>; rel="next"`}
		},
	}
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			o := newOrg(95)
			o.link = form
			o.read(t, o.client(t, nil))
		})
	}
}

func TestReadRejectsLinks(t *testing.T) {
	tests := []struct {
		name, want string
		link       func(self, next string) []string
	}{
		{"another host", "next link leads to another origin: http://evil.example", func(self, next string) []string {
			return []string{`<http://evil.example/api/v1/users?after=1>; rel="next"`}
		}},
		{"another scheme", "another origin", func(self, next string) []string {
			return []string{"<" + strings.Replace(next, "http:", "https:", 1) + `>; rel="next"`}
		}},
		{"another port", "another origin", func(self, next string) []string {
			return []string{`<http://127.0.0.1:1/api/v1/users?after=1>; rel="next"`}
		}},
		{"a user name", "another origin", func(self, next string) []string {
			return []string{"<" + strings.Replace(next, "http://", "http://a@", 1) + `>; rel="next"`}
		}},
		{"another path", "next link leads to another path", func(self, next string) []string {
			return []string{`</api/v1/groups?after=1>; rel="next"`}
		}},
		{"two", "two different next links", func(self, next string) []string {
			return []string{"<" + next + `>; rel="next", <` + next + `1>; rel="next"`}
		}},
		{"broken", "broken Link header", func(self, next string) []string { return []string{"<" + next + `; rel="next"`} }},
		{"none", "a full page without a Link header", func(self, next string) []string { return nil }},
		{"itself", "list does not end", func(self, next string) []string { return []string{"<" + self + `>; rel="next"`} }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOrg(95)
			o.link = test.link
			s, err := readError(t, o.client(t, nil))
			if !strings.Contains(err.Error(), test.want) || err.RequestID == "" {
				t.Errorf("error = %v, want %s and a request id", err, test.want)
			}
			if o.count() > 5 || len(s.requests) > 5 {
				t.Errorf("%d requests, %d reported", o.count(), len(s.requests))
			}
		})
	}
}

// A next link without the search of its list is rejected.
func TestReadRejectsLinksToAnotherList(t *testing.T) {
	for _, lost := range []string{"search", "filter"} {
		o := newOrg(950)
		o.link = func(self, next string) []string {
			u, err := url.Parse(next)
			if err != nil || next == "" {
				return []string{"<" + self + `>; rel="self"`}
			}
			q := u.Query()
			q.Del(lost)
			u.RawQuery = q.Encode()
			return []string{"<" + u.String() + `>; rel="next"`}
		}
		search := ""
		if lost == "search" {
			search = `profile.department eq "IT"`
		}
		s := &sink{}
		_, err := o.client(t, nil).Read(t.Context(), oktaclient.Query{Resource: oktaclient.Users, IncludeDeprovisioned: true, Search: search}, s)
		if err == nil || !strings.Contains(err.Error(), "next link is of another list") {
			t.Errorf("without its %s: %v, want the link rejected", lost, err)
		}
	}
}

func TestReadEndsEndlessLists(t *testing.T) {
	t.Run("circle", func(t *testing.T) {
		o := newOrg(95)
		o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 6 {
				o.writeLinks(w, "http://"+r.Host, "http://"+r.Host+o.requests[2].RequestURI)
				w.Write([]byte("[" + user("00u00001") + "]"))
			}
			return n == 6
		}
		if _, err := readError(t, o.client(t, nil)); !strings.HasPrefix(err.Error(), "okta: list does not end: its next link repeats an earlier one on page 6 (request req6)") {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("empty pages", func(t *testing.T) {
		o := newOrg(95)
		o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
			o.writeLinks(w, "http://"+r.Host, "http://"+r.Host+"/api/v1/users?after="+strings.Repeat("x", n))
			w.Write([]byte("[]"))
			return true
		}
		if _, err := readError(t, o.client(t, nil)); !strings.Contains(err.Error(), "10 pages without a record") {
			t.Errorf("error = %v", err)
		}
	})
}

func TestReadStartsAgainAfterAnExpiredCursor(t *testing.T) {
	expire := func(at ...int) *org {
		o := newOrg(95)
		o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
			if slices.Contains(at, n) {
				fail(w, 400, "E0000029")
				return true
			}
			return false
		}
		return o
	}
	o := expire(4)
	s, result := o.read(t, o.client(t, nil))
	if result.Rows != 95+30 || len(s.users) != 95+30 || result.Requests != 11+4 {
		t.Errorf("%d rows, %d users, %d requests; want 125, 125, 15", result.Rows, len(s.users), result.Requests)
	}
	o = expire(4, 8)
	if _, err := readError(t, o.client(t, nil)); err.Code != "E0000029" {
		t.Errorf("error = %v, want E0000029", err)
	}
}

func TestReadEndsWithItsSink(t *testing.T) {
	full := errors.New("disk full")
	o := newOrg(95)
	if _, err := o.client(t, nil).Read(t.Context(), everyone, &sink{userErr: full}); err != full {
		t.Errorf("Read() = %v, want the sink's error as it is", err)
	}
}

func TestReadReturnsCertificates(t *testing.T) {
	o := newOrg(5)
	server := newTLSServer(t, o, true)
	_, result := o.read(t, newClient(t, server.URL, server.Client(), nil))
	if c := result.Certificates; len(c) != 1 || !c[0].Chain[0].Equal(server.Certificate()) || c[0].Requests != result.Requests {
		t.Errorf("certificates = %v of %d requests", c, result.Requests)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	o := newOrg(95)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped by the test")
	o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 3 {
			cancel(stop)
			<-r.Context().Done()
		}
		return n == 3
	}
	s := &sink{}
	began := time.Now()
	result, err := o.client(t, nil).Read(ctx, everyone, s)
	if !errors.Is(err, stop) || time.Since(began) > 10*time.Second {
		t.Errorf("Read() = %v after %v, want %v at once", err, time.Since(began), stop)
	}
	if result.Requests != 3 || result.Rows != 20 {
		t.Errorf("result = %+v, want 3 requests and 20 rows", result)
	}
	if last := s.requests[len(s.requests)-1]; last.Error != "cancelled" {
		t.Errorf("last request = %+v, want the error cancelled", last)
	}
}
