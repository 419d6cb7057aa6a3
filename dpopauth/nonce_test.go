package dpopauth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/dpopauth"
)

func TestD69_NoncesAreKeptByRoleAndOrigin(t *testing.T) {
	o := newOrg(t)
	other := newOrg(t, func(o *org) { o.api = func(http.ResponseWriter, *seen) bool { return false } })
	other.api = func(w http.ResponseWriter, s *seen) bool { // accepts the tokens of o
		if s.nonce() != "other" {
			w.Header().Set("DPoP-Nonce", "other")
			other.challenge(w, 401, "use_dpop_nonce", "")
		}
		return true
	}
	o.demand("token", "as")
	o.demand("api", "rs")
	o.life = time.Second // so that tokens are renewed between the requests
	tr := o.transport(func(c *dpopauth.Config) { c.Origins = append(c.Origins, other.URL) })
	for range 3 {
		mustGet(t, tr, o.URL+"/a")
		mustGet(t, tr, other.URL+"/a")
		o.revoke()
	}
	for _, check := range []struct {
		list []*seen
		want string
	}{{o.tokenRequests(), "as"}, {o.apiRequests(), "rs"}, {other.apiRequests(), "other"}} {
		for i, s := range check.list {
			if n := s.nonce(); n != check.want && (n != "" || i > 0) {
				t.Errorf("nonce = %q where it is %q", n, check.want)
			}
		}
	}
}

func TestD70_NonceOfTheAPI(t *testing.T) {
	demands := map[string]func(o *org, w http.ResponseWriter){
		"401": func(o *org, w http.ResponseWriter) { o.challenge(w, 401, "use_dpop_nonce", "") },
		"400": func(o *org, w http.ResponseWriter) { o.challenge(w, 400, "use_dpop_nonce", "") },
		"401, JSON": func(_ *org, w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json;charset=UTF-8")
			w.WriteHeader(401)
			io.WriteString(w, `{"error":"use_dpop_nonce"}`)
		},
	}
	for name, demand := range demands {
		bubble(t, name, func(t *testing.T, o *org, tr *dpopauth.Transport) {
			nonce := "n1"
			o.life = 24 * time.Hour
			o.api = func(w http.ResponseWriter, s *seen) bool {
				if s.nonce() == nonce {
					return false
				}
				w.Header().Set("DPoP-Nonce", nonce)
				demand(o, w)
				return true
			}
			mustGet(t, tr, o.URL+"/a")
			mustGet(t, tr, o.URL+"/a")
			o.wantRequests(1, 3)
			time.Sleep(5 * time.Hour)
			nonce = "n2" // the stored one is stale
			mustGet(t, tr, o.URL+"/a")
			o.wantRequests(1, 5)
			list := o.apiRequests()
			if list[3].header.Get("Authorization") != list[4].header.Get("Authorization") {
				t.Error("the retry has another token")
			}
		})
	}
	t.Run("a body that demands and names none is the caller's", func(t *testing.T) {
		o := newOrg(t)
		o.api = func(w http.ResponseWriter, s *seen) bool {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"use_dpop_nonce"}`)
			return true
		}
		status, body, err := get(t, o.transport(), o.URL+"/a")
		if status != 400 || body != `{"error":"use_dpop_nonce"}` || err != nil {
			t.Errorf("GET = %d %q, %v", status, body, err)
		}
		o.wantRequests(1, 1)
	})
	t.Run("a body that is no demand reaches the caller whole", func(t *testing.T) {
		o := newOrg(t)
		body := `{"error":"other","rest":"` + strings.Repeat("x", 10000) + `"}`
		o.api = func(w http.ResponseWriter, s *seen) bool {
			w.Header().Set("DPoP-Nonce", "n")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			io.WriteString(w, body)
			return true
		}
		status, got, err := get(t, o.transport(), o.URL+"/a")
		if status != 400 || got != body || err != nil {
			t.Errorf("GET = %d with %d octets, %v, want 400 with %d", status, len(got), err, len(body))
		}
	})
	t.Run("a body that breaks off does so for the caller", func(t *testing.T) {
		o := newOrg(t)
		o.api = func(w http.ResponseWriter, s *seen) bool {
			w.Header().Set("DPoP-Nonce", "n")
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(400)
			io.WriteString(w, `{"error":`)
			w.(http.Flusher).Flush()
			hangUp(w)
			return true
		}
		status, got, err := get(t, o.transport(), o.URL+"/a")
		if status != 400 || got != `{"error":` || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("GET = %d %q, %v", status, got, err)
		}
	})
}

func TestD71_NonceInAnyResponse(t *testing.T) {
	for _, status := range []int{200, 204, 401, 404, 429, 500} {
		t.Run(fmt.Sprint("API ", status), func(t *testing.T) {
			o := newOrg(t)
			o.api = func(w http.ResponseWriter, s *seen) bool {
				if s.n == 1 {
					w.Header().Set("DPoP-Nonce", "fresh")
					w.WriteHeader(status)
				}
				return s.n == 1
			}
			tr := o.transport()
			get(t, tr, o.URL+"/a")
			mustGet(t, tr, o.URL+"/a")
			for _, s := range o.apiRequests()[1:] {
				if s.nonce() != "fresh" {
					t.Errorf("nonce = %q, want fresh", s.nonce())
				}
			}
		})
	}
	for _, status := range []int{200, 400, 429, 503} {
		bubble(t, fmt.Sprint("token endpoint ", status), func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.token = func(w http.ResponseWriter, s *seen) bool {
				w.Header().Set("DPoP-Nonce", fmt.Sprint("fresh", s.n))
				if s.n == 1 && status != 200 {
					w.WriteHeader(status)
					return true
				}
				return false
			}
			get(t, tr, o.URL+"/a")
			time.Sleep(2 * time.Hour)
			mustGet(t, tr, o.URL+"/a")
			if s := o.tokenRequests()[1]; s.nonce() != "fresh1" {
				t.Errorf("nonce = %q, want fresh1", s.nonce())
			}
			o.demand("token", fmt.Sprint("fresh", len(o.tokenRequests())))
			o.revoke()
			before := len(o.tokenRequests())
			mustGet(t, tr, o.URL+"/a")
			if n := len(o.tokenRequests()) - before; n != 1 {
				t.Errorf("token requests = %d, want 1 without a challenge", n)
			}
		})
	}
	t.Run("a 429 between challenge and retry", func(t *testing.T) {
		o := newOrg(t)
		o.api = func(w http.ResponseWriter, s *seen) bool {
			switch s.n {
			case 1:
				w.Header().Set("DPoP-Nonce", "n1")
				o.challenge(w, 401, "use_dpop_nonce", "")
			case 2: // response to the retry
				w.Header().Set("DPoP-Nonce", "n2")
				w.WriteHeader(429)
			default:
				return false
			}
			return true
		}
		tr := o.transport()
		if status, _, err := get(t, tr, o.URL+"/a"); status != 429 || err != nil {
			t.Errorf("GET = %d, %v, want 429", status, err)
		}
		mustGet(t, tr, o.URL+"/a")
		for i, want := range []string{"", "n1", "n2"} {
			if got := o.apiRequests()[i].nonce(); got != want {
				t.Errorf("nonce %d = %q, want %q", i, got, want)
			}
		}
	})
}

func TestD72_RotationUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newPipeOrg(t)
		o.demand("api", "n0")
		var mu sync.Mutex
		served, challenged := 0, 0
		sends := map[string]int{}
		o.api = func(w http.ResponseWriter, s *seen) bool {
			mu.Lock()
			defer mu.Unlock()
			if sends[s.uri]++; sends[s.uri] > 1 {
				challenged++
			}
			if served++; served%20 == 0 || served%200 == 105 { // sometimes out of turn
				o.demand("api", o.newest("api"), fmt.Sprint("n", served))
			}
			w.Header().Set("DPoP-Nonce", o.newest("api"))
			return false
		}
		far := o.base()
		tr := o.transport(func(c *dpopauth.Config) {
			c.Base = roundTripper(func(r *http.Request) (*http.Response, error) {
				time.Sleep(5 * time.Millisecond) // latency, twice
				defer time.Sleep(5 * time.Millisecond)
				return far.RoundTrip(r)
			})
		})
		mustGet(t, tr, o.URL+"/first")
		var wg sync.WaitGroup
		for g := range 50 {
			wg.Go(func() {
				time.Sleep(time.Duration(g) * time.Millisecond)
				for i := range 20 {
					mustGet(t, tr, fmt.Sprintf("%s/%d/%d", o.URL, g, i))
					time.Sleep(40 * time.Millisecond) // one request per millisecond
				}
			})
		}
		wg.Wait()
		for uri, n := range sends {
			if n > 2 {
				t.Errorf("%s was sent %d times, want at most 2", uri, n)
			}
		}
		if len(sends) != 1001 || challenged == 0 {
			t.Errorf("requests = %d, challenged %d", len(sends), challenged)
		}
	})
	bubble(t, "an old answer brings no old nonce", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		mustGet(t, tr, o.URL+"/first")
		o.api = func(w http.ResponseWriter, s *seen) bool {
			w.Header().Set("DPoP-Nonce", "n"+s.uri[1:])
			if s.uri == "/1" {
				time.Sleep(time.Minute)
			}
			return true
		}
		var wg sync.WaitGroup
		wg.Go(func() { mustGet(t, tr, o.URL+"/1") })
		synctest.Wait()
		mustGet(t, tr, o.URL+"/2")
		wg.Wait() // the response to /1 is the last
		mustGet(t, tr, o.URL+"/3")
		if list := o.apiRequests(); list[3].nonce() != "n2" {
			t.Errorf("nonce = %q, want n2", list[3].nonce())
		}
	})
}

func TestD73_InvalidNonces(t *testing.T) {
	for name, nonces := range map[string][]string{
		"empty": {""}, "too long": {strings.Repeat("x", 1025)}, "quote": {`a"b`}, "backslash": {`a\b`}, "space": {"a b"},
		"not ASCII": {"é"}, "DEL": {"a\x7f"}, "twice": {"a", "b"}, "the same twice": {"a", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			if n := dpopauth.NonceHeader(http.Header{"Dpop-Nonce": nonces}); n != "" {
				t.Errorf("nonce = %q, want none", n)
			}
		})
	}
	t.Run("keeps the last valid one", func(t *testing.T) {
		o := newOrg(t)
		o.api = func(w http.ResponseWriter, s *seen) bool {
			w.Header()["Dpop-Nonce"] = [][]string{{"valid"}, {`a"b`}, {"a", "b"}}[s.n-1]
			return true
		}
		tr := o.transport()
		for range 3 {
			mustGet(t, tr, o.URL+"/a")
		}
		if n := o.apiRequests()[2].nonce(); n != "valid" {
			t.Errorf("nonce = %q, want valid", n)
		}
	})
	for _, nonce := range []string{"a", strings.Repeat("x", 1024), "!#[]^_`{|}~"} {
		if got := dpopauth.NonceHeader(http.Header{"Dpop-Nonce": {nonce}}); got != nonce {
			t.Errorf("nonce = %q, want %q", got, nonce)
		}
	}
}
