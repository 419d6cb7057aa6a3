package dpopauth_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/dpopauth"
)

func TestD59_OneTokenRequest(t *testing.T) {
	bubble(t, "cold", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.token = func(http.ResponseWriter, *seen) bool { time.Sleep(time.Second); return false }
		gang(100, func() { mustGet(t, tr, o.URL+"/a") })
		o.wantRequests(1, 100)
		for _, s := range o.apiRequests() {
			if got, want := s.header.Get("Authorization"), o.apiRequests()[0].header.Get("Authorization"); got != want {
				t.Fatal("two tokens")
			}
		}
	})
	bubble(t, "expired", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.life = 5 * time.Second
		o.token = func(http.ResponseWriter, *seen) bool { time.Sleep(time.Second); return false }
		mustGet(t, tr, o.URL+"/a")
		time.Sleep(5 * time.Second)
		gang(100, func() { mustGet(t, tr, o.URL+"/a") })
		o.wantRequests(2, 101)
	})
}

// gang runs f n times concurrently.
func gang(n int, f func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(f)
	}
	wg.Wait()
}

func TestD60_RenewalComesBeforeExpiry(t *testing.T) {
	moments := map[time.Duration]bool{}
	for i := range 5 {
		bubble(t, fmt.Sprint("a life of an hour ", i), func(t *testing.T, o *org, tr *dpopauth.Transport) {
			start := time.Now()
			for time.Since(start) < 55*time.Minute {
				mustGet(t, tr, o.URL+"/a")
				time.Sleep(20 * time.Second)
			}
			list := o.tokenRequests()
			if len(list) != 2 {
				t.Fatalf("token requests = %d, want 2", len(list))
			}
			at := list[1].at.Sub(start)
			moments[at] = true
			if at < 48*time.Minute || at > 54*time.Minute+20*time.Second {
				t.Errorf("renewed after %v, want 80 to 90 %% of the life", at)
			}
		})
	}
	if len(moments) < 2 {
		t.Errorf("renewals at %v: no jitter", moments)
	}
	bubble(t, "half a minute is left", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.life = 2 * time.Minute
		start := time.Now()
		for len(o.tokenRequests()) < 2 {
			mustGet(t, tr, o.URL+"/a")
			time.Sleep(time.Second)
		}
		if at := o.tokenRequests()[1].at.Sub(start); at > 91*time.Second {
			t.Errorf("renewed after %v of 2 min", at)
		}
	})
	bubble(t, "no caller waits for it", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		mustGet(t, tr, o.URL+"/a")
		o.token = func(http.ResponseWriter, *seen) bool { time.Sleep(10 * time.Second); return false }
		time.Sleep(55 * time.Minute)
		start := time.Now()
		gang(50, func() { mustGet(t, tr, o.URL+"/a") })
		if took := time.Since(start); took != 0 {
			t.Errorf("requests took %v during a renewal", took)
		}
		time.Sleep(time.Minute)
		o.wantRequests(2, 51)
	})
	bubble(t, "a life of 5 s makes no storm", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.life = 5 * time.Second
		for range 600 {
			mustGet(t, tr, o.URL+"/a")
			time.Sleep(100 * time.Millisecond)
		}
		o.wantRequests(12, 600) // in 60 s
	})
	bubble(t, "life counts from before the request", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.life = time.Minute
		o.token = func(http.ResponseWriter, *seen) bool { time.Sleep(20 * time.Second); return false }
		mustGet(t, tr, o.URL+"/a")
		if left := time.Until(tr.Status().Expiry); left != 40*time.Second {
			t.Errorf("%v left, want 40 s", left)
		}
	})
}

func TestD61_FailedRenewalOfAValidToken(t *testing.T) {
	var log journal
	bubble(t, "", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		mustGet(t, tr, o.URL+"/a")
		start := time.Now()
		o.token = func(w http.ResponseWriter, _ *seen) bool { o.oauthError(w, 400, "invalid_request", "no"); return true }
		for time.Since(start) < 59*time.Minute {
			mustGet(t, tr, o.URL+"/a")
			time.Sleep(5 * time.Second)
		}
		if n := len(o.tokenRequests()); n < 5 || n > 40 {
			t.Errorf("token requests = %d, want back-off", n)
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("warnings = %d, want 1:\n%s", n, &log)
		}
		if err := tr.Status().LastError; err == nil || !strings.Contains(err.Error(), "invalid_request") {
			t.Errorf("LastError = %v", err)
		}
		time.Sleep(time.Minute) // the token has expired
		_, _, err := get(t, tr, o.URL+"/a")
		wantError(t, err, "invalid_request")
		o.token = nil
		time.Sleep(time.Minute)
		mustGet(t, tr, o.URL+"/a")
		if err := tr.Status().LastError; err != nil {
			t.Errorf("LastError = %v after a success", err)
		}
	}, withLog(&log))
}

func TestD62_BackOff(t *testing.T) {
	bubble(t, "", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.token = func(w http.ResponseWriter, _ *seen) bool { o.oauthError(w, 401, "invalid_client", ""); return true }
		var errs sync.Map
		gang(100, func() {
			_, _, err := get(t, tr, o.URL+"/a")
			wantError(t, err, "invalid_client")
			errs.Store(err, true)
		})
		n := 0
		errs.Range(func(any, any) bool { n++; return true })
		if n != 1 {
			t.Errorf("%d errors, want one for all", n)
		}
		o.wantRequests(1, 0)
		var gaps []time.Duration
		last := o.tokenRequests()[0].at
		for start := time.Now(); time.Since(start) < 10*time.Minute; time.Sleep(100 * time.Millisecond) {
			get(t, tr, o.URL+"/a")
			if list := o.tokenRequests(); list[len(list)-1].at != last {
				gaps = append(gaps, list[len(list)-1].at.Sub(last))
				last = list[len(list)-1].at
			}
		}
		for i, gap := range gaps {
			window := min(time.Second<<i, time.Minute)
			if gap < window/2 || gap > window+200*time.Millisecond {
				t.Errorf("asked again after %v, want %v to %v", gap, window/2, window)
			}
		}
		o.token = nil
		time.Sleep(time.Minute)
		mustGet(t, tr, o.URL+"/a") // the error is not kept
	})
}

func TestD63_RevokedToken(t *testing.T) {
	o := newOrg(t)
	tr := o.transport()
	mustGet(t, tr, o.URL+"/a")
	o.revoke()
	mustGet(t, tr, o.URL+"/a")
	o.wantRequests(2, 3)
	a, b := o.apiRequests()[1], o.apiRequests()[2]
	if a.header.Get("Authorization") == b.header.Get("Authorization") || a.proof.claims["ath"] == b.proof.claims["ath"] {
		t.Error("the retry has the old token or its hash")
	}
	t.Run("twice is an error", func(t *testing.T) {
		for _, named := range []bool{true, false} {
			o := newOrg(t)
			o.api = func(w http.ResponseWriter, _ *seen) bool {
				if named {
					w.Header().Set("X-Okta-Request-Id", "aZ3k")
					o.challenge(w, 401, "invalid_token", "The access token has been revoked.")
				} else {
					w.WriteHeader(401)
				}
				return true
			}
			_, _, err := get(t, o.transport(), o.URL+"/a")
			e := asError(t, err)
			if e.Status != 401 || named && (e.Code != "invalid_token" || e.RequestID != "aZ3k" || e.Description == "") {
				t.Errorf("error = %v", e)
			}
			if e.Retryable() {
				t.Errorf("Retryable() of %v = true", e)
			}
			o.wantRequests(2, 2)
		}
	})
}

func TestD64_ManyRejectionsOneRenewal(t *testing.T) {
	bubble(t, "at once", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		mustGet(t, tr, o.URL+"/a")
		o.revoke()
		o.api = func(_ http.ResponseWriter, s *seen) bool { time.Sleep(time.Second); return false }
		gang(50, func() { mustGet(t, tr, o.URL+"/a") })
		o.wantRequests(2, 101)
	})
	bubble(t, "late", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		mustGet(t, tr, o.URL+"/a")
		o.revoke()
		o.api = func(w http.ResponseWriter, s *seen) bool {
			if s.n == 2 {
				o.mu.Lock()
				_, live := o.live[strings.TrimPrefix(s.header.Get("Authorization"), "DPoP ")]
				o.mu.Unlock()
				time.Sleep(time.Minute) // another request gets token B
				if !live {
					o.challenge(w, 401, "invalid_token", "")
					return true
				}
			}
			return false
		}
		var wg sync.WaitGroup
		wg.Go(func() { mustGet(t, tr, o.URL+"/late") })
		synctest.Wait()
		mustGet(t, tr, o.URL+"/a")
		wg.Wait()
		o.wantRequests(2, 5)
	})
}

func TestD65_TokenRevokedDuringARead(t *testing.T) {
	o := newOrg(t)
	tr := o.transport()
	pages := scaled(200, 1000)
	for page := range pages {
		if page == pages/2 {
			o.revoke()
		}
		_, body, err := get(t, tr, fmt.Sprintf("%s/page/%d", o.URL, page))
		if want := fmt.Sprintf("users /page/%d", page); err != nil || body != want {
			t.Fatalf("page %d = %q, %v", page, body, err)
		}
	}
	o.wantRequests(2, pages+1)
}

func TestD66_InsufficientScope(t *testing.T) {
	for _, scheme := range []string{"Bearer", "DPoP"} {
		o := newOrg(t)
		o.api = func(w http.ResponseWriter, _ *seen) bool {
			w.Header().Set("WWW-Authenticate", scheme+` authorization_uri="http://acme.okta.com/oauth2/v1/authorize", realm="http://acme.okta.com", scope="okta.users.read", error="insufficient_scope", error_description="The access token provided does not contain the required scopes.", resource="/api/v1/users"`)
			w.WriteHeader(403)
			return true
		}
		_, _, err := get(t, o.transport(), o.URL+"/a")
		e := asError(t, err)
		if e.Status != 403 || e.Code != "insufficient_scope" || !strings.Contains(e.Hint(), "scope") || !strings.Contains(e.Hint(), "admin role") {
			t.Errorf("error = %v, hint = %q", e, e.Hint())
		}
		o.wantRequests(1, 1)
	}
	t.Run("another 403 is the caller's", func(t *testing.T) {
		o := newOrg(t)
		o.api = func(w http.ResponseWriter, _ *seen) bool {
			w.WriteHeader(403)
			io.WriteString(w, `{"errorCode":"E0000006"}`)
			return true
		}
		status, body, err := get(t, o.transport(), o.URL+"/a")
		if status != 403 || body != `{"errorCode":"E0000006"}` || err != nil {
			t.Errorf("GET = %d %q, %v", status, body, err)
		}
		o.wantRequests(1, 1)
	})
}

func TestD67_ExpiryByEitherClock(t *testing.T) {
	bubble(t, "the machine sleeps for hours", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.past = 24 * time.Hour
		mustGet(t, tr, o.URL+"/a")
		time.Sleep(3 * time.Hour)
		dpopauth.Suspend(tr, 3*time.Hour)
		o.revoke()
		mustGet(t, tr, o.URL+"/a")
		o.wantRequests(2, 2) // the old token was not tried
	})
	bubble(t, "the wall clock is set back", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		mustGet(t, tr, o.URL+"/a")
		dpopauth.StepWall(tr, -2*time.Hour)
		time.Sleep(time.Hour)
		o.revoke()
		mustGet(t, tr, o.URL+"/a")
		o.wantRequests(2, 2)
	})
	bubble(t, "the wall clock is set forward", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		mustGet(t, tr, o.URL+"/a")
		dpopauth.StepWall(tr, 2*time.Hour)
		for range 100 {
			mustGet(t, tr, o.URL+"/a")
			time.Sleep(time.Second)
		}
		o.wantRequests(2, 101)
	})
}

func TestD68_NothingIsWritten(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"} {
		t.Setenv(name, dir)
	}
	o := newOrg(t)
	o.demand("token", "n1")
	for range 2 { // the second is a new process
		mustGet(t, o.transport(), o.URL+"/a")
	}
	o.wantRequests(4, 2)
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("files = %v, %v, want none", files, err)
	}
}

func TestD36_TokenAndKeyMatch(t *testing.T) {
	// Nonces rotate, tokens expire and the key changes during 50 goroutines. The org
	// reports a proof by another key than the token's, and an ath of another token.
	synctest.Test(t, func(t *testing.T) {
		o := newPipeOrg(t)
		o.life = 2 * time.Second
		o.demand("api", "n0", "n1")
		var current atomic.Pointer[dpopauth.Transport]
		base := o.base()
		another := func() { current.Store(o.transport(func(c *dpopauth.Config) { c.Base = base })) }
		another()
		done := make(chan struct{})
		var others sync.WaitGroup
		others.Go(func() {
			for i := 2; ; i++ {
				select {
				case <-done:
					return
				case <-time.After(300 * time.Millisecond):
					o.demand("api", fmt.Sprint("n", i-1), fmt.Sprint("n", i))
				}
				if i%5 == 0 {
					another()
				}
				if i%7 == 0 {
					o.revoke()
				}
			}
		})
		gang(50, func() {
			for range scaled(12, 200) {
				mustGet(t, current.Load(), o.URL+"/a")
				time.Sleep(100 * time.Millisecond)
			}
		})
		close(done)
		others.Wait()
		if n := len(o.tokenRequests()); n > scaled(15, 200) {
			t.Errorf("token requests = %d", n)
		}
	})
}
