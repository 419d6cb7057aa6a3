package dpopauth_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth"
)

func TestD109_Counters(t *testing.T) {
	bubble(t, "", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.demand("token", "n1")
		o.demand("api", "n2")
		mustGet(t, tr, o.URL+"/a") // first; both roles require a nonce
		time.Sleep(55 * time.Minute)
		mustGet(t, tr, o.URL+"/a") // early
		time.Sleep(time.Second)
		time.Sleep(2 * time.Hour)
		mustGet(t, tr, o.URL+"/a") // expired
		o.revoke()
		mustGet(t, tr, o.URL+"/a") // refused
		o.token = func(w http.ResponseWriter, s *seen) bool { w.WriteHeader(503); return true }
		o.revoke()
		get(t, tr, o.URL+"/a")
		get(t, tr, "https://evil.example/")
		want := dpopauth.Counters{
			Granted:    map[string]uint64{"first": 1, "early": 1, "expired": 1, "refused": 1},
			Failed:     map[string]uint64{"first": 0, "early": 0, "expired": 0, "refused": 1},
			Challenges: map[string]uint64{"token": 1, "api": 1},
			Retries:    map[string]uint64{"nonce": 2, "token": 2, "proof": 0, "trouble": 3},
			Refused:    1,
		}
		if got := tr.Status().Counters; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("counters = %v, want %v", got, want)
		}
	})
	bubble(t, "a demand counts also where it ends the matter", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.token = func(w http.ResponseWriter, s *seen) bool {
			w.Header().Set("DPoP-Nonce", fmt.Sprint("n", s.n))
			o.oauthError(w, 400, "use_dpop_nonce", "")
			return s.n <= 2
		}
		get(t, tr, o.URL+"/a")
		time.Sleep(time.Minute)
		o.token, o.api = nil, func(w http.ResponseWriter, _ *seen) bool {
			w.Header().Set("DPoP-Nonce", "n")
			o.challenge(w, 401, "use_dpop_nonce", "")
			return true
		}
		req := must(http.NewRequestWithContext(t.Context(), "POST", o.URL+"/a", io.NopCloser(strings.NewReader("x"))))
		if resp, err := tr.RoundTrip(req); err != nil || resp.StatusCode != 401 {
			t.Fatalf("answer = %v, %v, want the 401, which can't be sent again", resp, err)
		} else {
			resp.Body.Close()
		}
		if got := tr.Status().Counters.Challenges; got["token"] != 2 || got["api"] != 1 {
			t.Errorf("challenges = %v, want 2 of the token endpoint and 1 of the API", got)
		}
	})
	t.Run("labels are fixed", func(t *testing.T) {
		o := newOrg(t)
		tr := o.transport()
		labels := func(c dpopauth.Counters) string {
			return fmt.Sprint(slices.Sorted(maps.Keys(c.Granted)), slices.Sorted(maps.Keys(c.Failed)),
				slices.Sorted(maps.Keys(c.Challenges)), slices.Sorted(maps.Keys(c.Retries)))
		}
		before := labels(tr.Status().Counters)
		o.demand("token", "n1")
		mustGet(t, tr, o.URL+"/a")
		if after := labels(tr.Status().Counters); before != after {
			t.Errorf("labels = %s, before %s", after, before)
		}
	})
}

func TestD110_LogsAndStatus(t *testing.T) {
	var log journal
	var requests []dpopauth.TokenRequest
	bubble(t, "", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		if s := tr.Status(); !s.Expiry.IsZero() || len(s.Thumbprint) != 43 || s.Offset != 0 || s.LastError != nil {
			t.Errorf("status = %+v before the first request", s)
		}
		o.now = ahead(3 * time.Minute)
		o.past = 5 * time.Minute
		o.token = func(w http.ResponseWriter, s *seen) bool {
			w.Header().Set("X-Okta-Request-Id", fmt.Sprint("r", s.n))
			return false
		}
		o.demand("token", "n1")
		for range 3 {
			mustGet(t, tr, o.URL+"/a")
		}
		text := log.String()
		for line, n := range map[string]int{
			`level=INFO msg="token fetched" reason=first lifetime=1h0m0s`: 1,
			`level=WARN msg="server's clock differs" offset=3m0s`:         1,
			`level=DEBUG msg="token request sent again" cause=nonce`:      1,
			"level=INFO": 1, "level=WARN": 1, "level=ERROR": 0,
		} {
			if got := strings.Count(text, line); got != n {
				t.Errorf("%q is in the log %d times, want %d:\n%s", line, got, n, text)
			}
		}
		s := tr.Status()
		if left := time.Until(s.Expiry); left != time.Hour {
			t.Errorf("%v left, want 1 h", left)
		}
		if s.Offset < 3*time.Minute-2*time.Second || s.Offset > 3*time.Minute {
			t.Errorf("offset = %v, want 3 min", s.Offset)
		}
		if got, _ := o.apiRequests()[0].proof.header["jwk"].(map[string]any); got == nil || o.apiRequests()[0].jkt != s.Thumbprint {
			t.Errorf("thumbprint = %s, not the proof's", s.Thumbprint)
		}
		if len(requests) != 2 || requests[0].Error != "use_dpop_nonce" || requests[0].Status != 400 || requests[0].Granted ||
			requests[1].Error != "" || requests[1].Status != 200 || !requests[1].Granted || requests[1].RequestID != "r2" || requests[1].URL != o.URL+"/oauth2/v1/token" {
			t.Errorf("token requests = %+v", requests)
		}
		for _, r := range requests {
			if off := time.Since(r.Time); off.Abs() > 2*time.Second {
				t.Errorf("a token request is dated %v ago by the local clock", off)
			}
		}
	}, withLog(&log), func(c *dpopauth.Config) {
		c.OnTokenRequest = func(r dpopauth.TokenRequest) { requests = append(requests, r) }
	})
	t.Run("a slow log delays no request", func(t *testing.T) {
		o := newOrg(t)
		var tr *dpopauth.Transport
		lines := 0
		tr = o.transport(withLog(writer(func(p []byte) (int, error) {
			lines++
			done := make(chan bool)
			go func() { tr.Status(); close(done) }()
			select {
			case <-done:
			case <-time.After(10 * time.Second):
				t.Errorf("Status waits until %q is written", p)
			}
			return len(p), nil
		})))
		if mustGet(t, tr, o.URL+"/a"); lines == 0 {
			t.Error("nothing was logged")
		}
	})
	t.Run("last error", func(t *testing.T) {
		o := newOrg(t)
		o.token = func(w http.ResponseWriter, _ *seen) bool { o.oauthError(w, 400, "invalid_scope", ""); return true }
		tr := o.transport()
		get(t, tr, o.URL+"/a")
		wantError(t, tr.Status().LastError, "400 invalid_scope")
		if b, err := json.Marshal(tr.Status()); err != nil || strings.Contains(string(b), "invalid_scope") {
			t.Errorf("status = %s, %v", b, err)
		}
	})
}
