package oktaclient_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
)

// A page that was broken may come with another next link when it is asked for
// again. The page that the first one led to, and was on its way, is not taken in.
func TestNextLinkOfTheBetterAnswer(t *testing.T) {
	o := newOrg(95)
	o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n != 2 {
			return false
		}
		o.writeLinks(w, "http://"+r.Host+r.URL.RequestURI(), "http://"+r.Host+"/api/v1/users?after=00u00080&limit=10")
		fmt.Fprint(w, "[{")
		return true
	}
	s, _ := o.read(t, o.client(t, nil))
	if len(s.users) != 95 {
		t.Errorf("%d users came, want each of 95 once", len(s.users))
	}
}

// A list whose first page is refused for its cursor, which it has not, is not
// read again.
func TestCursorRefusedOfTheFirstPage(t *testing.T) {
	o := newOrg(95)
	o.hook = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		fail(w, 400, "E0000029")
		return true
	}
	if _, err := readError(t, o.client(t, nil)); err.Code != "E0000029" || o.count() != 1 {
		t.Errorf("error = %v in %d requests, want one", err, o.count())
	}
}

func TestLinkHeadersOverTheirBound(t *testing.T) {
	o := newOrg(95)
	o.link = func(self, next string) []string {
		return []string{"<" + next + `>; rel="next"`, "<" + self + `>; rel="self"; title="` + strings.Repeat("x", 64<<10) + `"`}
	}
	if _, err := readError(t, o.client(t, nil)); !strings.Contains(err.Error(), " bytes of Link headers on page 1") {
		t.Errorf("error = %v", err)
	}
}

// What is too long for a code, or stands in too long a body, is none.
func TestErrorCodesAreShort(t *testing.T) {
	for body, want := range map[string]string{
		`{"errorCode":"E0000001"}`:                                    "okta: 400 E0000001 (request req1)",
		`{"errorCode":"` + strings.Repeat("E", 129) + `"}`:            "okta: 400 (request req1)",
		`{"errorCode":"E0000001"` + strings.Repeat(" ", 64<<10) + `}`: "okta: 400 (request req1)",
	} {
		o := newOrg(95)
		o.hook = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(400)
			fmt.Fprint(w, body)
			return true
		}
		if _, err := readError(t, o.client(t, nil)); err.Error() != want {
			t.Errorf("error = %q, want %q", err, want)
		}
	}
}

// A passing fault that names a time is waited out for as long.
func TestRetryAfterOfAPassingFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrg(9)
		o.hook = func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				w.Header().Set("Retry-After", "40")
				fail(w, 503, "E0000100")
			}
			return n == 1
		}
		began := time.Now()
		o.read(t, o.clientInProcess(t, func(cfg *oktaclient.Config) { cfg.PageSize = 200 }))
		if took := time.Since(began); took.Truncate(time.Second) != 40*time.Second {
			t.Errorf("took %v, want 40s", took)
		}
	})
}

// Each pass of settling looks back from when the one before began, by Okta's
// clock, by as much as index and clocks may lag.
func TestSettleLooksBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSandbox(t, settled(9))
		b.org.OnRequest(func(n int, _ *http.Request) {
			if n == 2 { // the first pass
				b.org.Join(1)
			}
			time.Sleep(50 * time.Second)
		})
		var passes []time.Time
		q, s := oktaclient.Query{Resource: oktaclient.Users}, &sink{}
		q.OnPhase = onSettle(func() { passes = append(passes, time.Now()) })
		reading, err := b.client(t, nil).Read(t.Context(), q, s)
		if err != nil || !reading.Settled || len(passes) < 2 {
			t.Fatalf("reading = %+v in %d passes, %v", reading, len(passes), err)
		}
		for i, r := range s.requests[len(s.requests)-len(passes):] {
			since := reading.Started
			if i > 0 {
				since = passes[i-1]
			}
			u, _ := url.Parse(r.Path)
			from, err := time.Parse(`lastUpdated ge "2006-01-02T15:04:05.000Z"`, u.Query().Get("filter"))
			if back := since.Sub(from); err != nil || back < 5*time.Minute || back > 5*time.Minute+time.Second { // a Date is cut to seconds
				t.Errorf("pass %d asks for %s, %v before %v, want 5m", i+1, r.Path, back, since)
			}
		}
	})
}
