package dpopauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/dpopauth"
)

func TestD77_EveryAttemptHasANewProof(t *testing.T) {
	// The test reads 1,000 pages with retries. The server changes its nonce every 3
	// requests, issues tokens for 5 s, and sometimes fails. The org reports a repeated
	// jti.
	bubble(t, "1000 pages under faults", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.life = 5 * time.Second
		o.demand("token", "t0")
		o.demand("api", "n0")
		rnd := rand.New(rand.NewPCG(1, 2))
		served, asked, faults := 0, 0, map[int]int{}
		o.token = func(w http.ResponseWriter, s *seen) bool {
			asked++
			o.demand("token", fmt.Sprint("t", asked/3))
			return false
		}
		o.api = func(w http.ResponseWriter, s *seen) bool {
			if served++; served%3 == 0 {
				o.demand("api", fmt.Sprint("n", served))
			}
			p := rnd.IntN(100)
			switch { // the next request may arrive before this handler returns
			case p < 2:
				faults[-1]++
				hangUp(w)
			case p < 4:
				faults[500]++
				w.WriteHeader(500)
			case p < 5:
				faults[429]++
				w.WriteHeader(429)
			}
			return p < 5
		}
		start := time.Now()
		for page := range 1000 {
			want := fmt.Sprintf("users /page/%d", page)
			for try := 1; ; try++ {
				status, body, err := get(t, tr, fmt.Sprintf("%s/page/%d", o.URL, page))
				if err == nil && status == 200 && body == want {
					break
				}
				if try == 10 {
					t.Fatalf("page %d = %d %q, %v", page, status, body, err)
				}
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(20 * time.Millisecond)
		}
		lives := int(time.Since(start)/o.life) + 1
		count := tr.Status().Counters
		challenges := int(count.Challenges["token"])
		if n := len(o.tokenRequests()); n > lives+challenges || lives < 5 {
			t.Errorf("token requests = %d, want at most %d for lives and %d for challenges", n, lives, challenges)
		}
		if faults[-1] < 10 || faults[500] < 10 || faults[429] < 5 || count.Challenges["api"] < 300 || challenges < 1 {
			t.Errorf("faults = %v, challenges = %v: hardly any", faults, count.Challenges)
		}
	})
	t.Run("a connection that net/http replaces by itself", func(t *testing.T) {
		o := newOrg(t)
		o.api = func(w http.ResponseWriter, s *seen) bool {
			if s.n == 2 {
				hangUp(w) // after the request was read
			}
			return s.n == 2
		}
		tr := o.transport()
		mustGet(t, tr, o.URL+"/a")
		mustGet(t, tr, o.URL+"/a") // net/http sends the request twice
		o.wantRequests(1, 3)
	})
	t.Run("over HTTP/2", func(t *testing.T) {
		o := newOrg(t, func(o *org) { o.EnableHTTP2 = true })
		o.demand("api", "n1")
		tr := o.transport()
		gang(20, func() { mustGet(t, tr, o.URL+"/a") })
	})
	t.Run("and is not sent where there can be no new proof", func(t *testing.T) {
		o := newOrg(t, func(o *org) { o.lax = true })
		fail := false
		o.api = func(w http.ResponseWriter, s *seen) bool {
			if s.n == 2 {
				fail = true
				hangUp(w)
			}
			return s.n == 2
		}
		tr := o.transport(withKey(newKey(t, flaky{p256(), &fail})))
		mustGet(t, tr, o.URL+"/a")
		if _, _, err := get(t, tr, o.URL+"/a"); err == nil {
			t.Error("the request passed without a proof")
		}
		if list := o.apiRequests(); len(list) < 3 || len(list[2].proofs) != 0 {
			t.Errorf("requests = %d, the last with %d proofs, want none", len(list), len(list[len(list)-1].proofs))
		}
	})
	bubble(t, "a timeout of the caller", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.api = func(_ http.ResponseWriter, s *seen) bool {
			if s.n == 1 {
				time.Sleep(time.Minute)
			}
			return false
		}
		client := tr.Client()
		client.Timeout = time.Second
		if _, err := client.Get(o.URL + "/a"); err == nil {
			t.Error("no timeout")
		}
		resp := must(client.Get(o.URL + "/a"))
		resp.Body.Close()
		time.Sleep(2 * time.Minute)
		o.wantRequests(1, 2)
	})
}

// once rejects the first API request.
func once(o *org, refuse func(w http.ResponseWriter)) {
	o.api = func(w http.ResponseWriter, s *seen) bool {
		if s.n == 1 {
			refuse(w)
			return true
		}
		fmt.Fprintf(w, "%s %s", s.method, s.body)
		return true
	}
}

func TestD78_BodyIsReplayed(t *testing.T) {
	refusals := map[string]func(o *org) func(http.ResponseWriter){
		"nonce": func(o *org) func(http.ResponseWriter) {
			return func(w http.ResponseWriter) {
				w.Header().Set("DPoP-Nonce", "n1")
				o.challenge(w, 401, "use_dpop_nonce", "")
			}
		},
		"token": func(o *org) func(http.ResponseWriter) {
			return func(w http.ResponseWriter) { o.challenge(w, 401, "invalid_token", "") }
		},
	}
	body := strings.Repeat("0123456789", 10000)
	for name, refuse := range refusals {
		t.Run(name, func(t *testing.T) {
			o := newOrg(t)
			once(o, refuse(o))
			resp := must(o.transport().Client().Post(o.URL+"/a", "text/plain", strings.NewReader(body)))
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); string(got) != "POST "+body || err != nil {
				t.Errorf("the server got %d octets, %v, want %d", len(got), err, len(body)+5)
			}
			for _, s := range o.apiRequests() {
				if s.header.Get("Content-Length") != "100000" {
					t.Errorf("Content-Length = %s", s.header.Get("Content-Length"))
				}
			}
		})
		t.Run(name+", no GetBody", func(t *testing.T) {
			o := newOrg(t)
			once(o, refuse(o))
			req := must(http.NewRequest("POST", o.URL+"/a", io.NopCloser(strings.NewReader(body))))
			tr := o.transport()
			resp, err := tr.RoundTrip(req)
			if err != nil || resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") == "" {
				t.Fatalf("answer = %v, %v, want the 401", resp, err)
			}
			resp.Body.Close()
			o.wantRequests(1, 1)
			mustGet(t, tr, o.URL+"/a") // with the nonce or the new token
			o.wantRequests(map[string]int{"nonce": 1, "token": 2}[name], 2)
		})
	}
	t.Run("GetBody fails", func(t *testing.T) {
		o := newOrg(t)
		once(o, refusals["token"](o))
		req := must(http.NewRequest("POST", o.URL+"/a", strings.NewReader(body)))
		req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("the file is gone") }
		_, err := o.transport().RoundTrip(req)
		wantError(t, err, "the file is gone")
	})
}

// A watched body records whether it was closed.
type watched struct {
	io.Reader
	mu     sync.Mutex
	closed bool
}

func (w *watched) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	return nil
}

func TestD79_RoundTripperContract(t *testing.T) {
	t.Run("the caller's request stays as it was", func(t *testing.T) {
		o := newOrg(t)
		o.demand("api", "n1")
		req := must(http.NewRequest("GET", o.URL+"/a?q=1", nil))
		req.Header = http.Header{"Authorization": {"Basic x", "Basic y"}, "dpop": {"mine"}, "DPoP": {"mine"}, "authorization": {"z"}, "X-Kept": {"1", "2"}}
		before := req.Clone(req.Context())
		resp := must(o.transport().RoundTrip(req))
		resp.Body.Close()
		if fmt.Sprint(req.Header) != fmt.Sprint(before.Header) || req.URL.String() != before.URL.String() {
			t.Errorf("headers = %v, want %v", req.Header, before.Header)
		}
		for _, s := range o.apiRequests() { // the org checks that there is one proof
			if len(s.header["Authorization"]) != 1 || !strings.HasPrefix(s.header.Get("Authorization"), "DPoP ") || len(s.header["X-Kept"]) != 2 {
				t.Errorf("headers = %v", s.header)
			}
		}
	})
	t.Run("no header at all", func(t *testing.T) {
		o := newOrg(t)
		u := must(url.Parse(o.URL))
		resp := must(o.transport().RoundTrip(&http.Request{URL: u}))
		resp.Body.Close()
	})
	for name, setup := range map[string]func(o *org, req *http.Request){
		"refused before": func(_ *org, req *http.Request) { req.URL.Host = "evil.example" },
		"no token": func(o *org, _ *http.Request) {
			o.token = func(w http.ResponseWriter, _ *seen) bool { w.WriteHeader(404); return true }
		},
		"sent": func(*org, *http.Request) {},
		"answer refuses": func(o *org, _ *http.Request) {
			o.api = func(w http.ResponseWriter, _ *seen) bool { w.WriteHeader(401); return true }
		},
		"connection dies": func(o *org, _ *http.Request) {
			o.api = func(w http.ResponseWriter, _ *seen) bool { hangUp(w); return true }
		},
		"cancelled": func(_ *org, req *http.Request) {
			ctx, cancel := context.WithCancel(req.Context())
			cancel()
			*req = *req.WithContext(ctx)
		},
	} {
		bubble(t, "the body is closed: "+name, func(t *testing.T, o *org, tr *dpopauth.Transport) {
			body := &watched{Reader: bytes.NewReader(make([]byte, 1000))}
			req := must(http.NewRequest("POST", o.URL+"/a", body))
			setup(o, req)
			if resp, err := tr.RoundTrip(req); err == nil {
				resp.Body.Close()
			}
			synctest.Wait()
			body.mu.Lock()
			defer body.mu.Unlock()
			if !body.closed {
				t.Error("it is not")
			}
		})
	}
}

func TestD79_BodyIsClosedIfSigningFails(t *testing.T) {
	o := newOrg(t)
	fail := false
	tr := o.transport(withKey(newKey(t, flaky{p256(), &fail})))
	mustGet(t, tr, o.URL+"/a")
	fail = true
	body := &watched{Reader: strings.NewReader("x")}
	req := must(http.NewRequest("POST", o.URL+"/a", body))
	if _, err := tr.RoundTrip(req); err == nil || !body.closed {
		t.Errorf("error = %v, closed = %v", err, body.closed)
	}
}

func TestD80_ResponseHasTheCallersRequest(t *testing.T) {
	o := newOrg(t)
	o.demand("api", "n1")
	req := must(http.NewRequest("GET", o.URL+"/a", nil))
	resp := must(o.transport().RoundTrip(req))
	defer resp.Body.Close()
	if resp.Request != req || resp.Request.Header.Get("Authorization") != "" || resp.Request.Header.Get("DPoP") != "" {
		t.Error("resp.Request is not the caller's request")
	}
}

// If the context has ended, net/http's HTTP/2 does not wait until a broken
// connection has stopped reading the header.
func TestHeadersAreNotChangedWhileWritten(t *testing.T) {
	o := newOrg(t)
	base := o.base()
	tr := o.transport(func(c *dpopauth.Config) {
		c.Base = roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodPost {
				return base.RoundTrip(req)
			}
			trace, sent := httptrace.ContextClientTrace(req.Context()), req.Header.Get("DPoP")
			var writing sync.WaitGroup
			trace.GotConn(httptrace.GotConnInfo{})
			writing.Go(func() { req.Header.Write(io.Discard) })
			trace.GotConn(httptrace.GotConnInfo{Reused: true})
			writing.Wait()
			if req.Header.Get("DPoP") != sent {
				t.Error("the proof changed while the header was read")
			}
			trace.WroteHeaders()
			trace.GotConn(httptrace.GotConnInfo{Reused: true})
			if again := req.Header.Get("DPoP"); again == "" || again == sent {
				t.Error("the proof was sent again")
			}
			return base.RoundTrip(req)
		})
	})
	mustGet(t, tr, o.URL+"/a")
}
