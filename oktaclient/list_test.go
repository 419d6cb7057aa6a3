package oktaclient_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
)

// A retried page can have another next link. The client discards the page of
// the first link.
func TestNextLinkOfARetriedPage(t *testing.T) {
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
		t.Errorf("read %d users, want each of 95 once", len(s.users))
	}
}

// A rejected cursor is final on the first page, whose request has no cursor.
func TestCursorRejectedOnTheFirstPage(t *testing.T) {
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

// An error code that is too long, or in a body that is too long, is ignored.
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

// A Retry-After of a transient failure is applied.
func TestRetryAfterOfATransientFailure(t *testing.T) {
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
