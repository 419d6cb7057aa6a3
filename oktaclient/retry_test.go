package oktaclient_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
)

func newTLSServer(t *testing.T, h http.Handler, http2 bool) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// faults are transient failures.
var faults = []struct {
	name, class, message string
	answer               func(w http.ResponseWriter, r *http.Request)
}{
	{"500", "E0000009", "500 E0000009", func(w http.ResponseWriter, _ *http.Request) { fail(w, 500, "E0000009") }},
	{"503", "E0000100", "503 E0000100", func(w http.ResponseWriter, _ *http.Request) { fail(w, 503, "E0000100") }},
	{"504 without a body", "status 504", "504", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(504) }},
	{"HTML 502", "status 502", "502", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(502)
		io.WriteString(w, "<html>secret</html>")
	}},
	{"HTML 200", "not JSON", `response is not JSON but "text/html"`, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<html>secret</html>")
	}},
	{"broken JSON", "broken JSON", "broken JSON", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `[{"id":"secret","status":"ACTIVE"]`)
	}},
	{"empty body", "broken JSON", "broken JSON", func(http.ResponseWriter, *http.Request) {}},
	{"more after the array", "broken JSON", "broken JSON", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `[] []`) }},
	{"an object", "broken JSON", "broken JSON", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"value":[]}`) }},
	{"cut", "cut", "response cut short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, `[{"id":"secret"`)
	}},
	{"reset in the body", "cut", "response cut short", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `[{"id":"secret"`)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}},
	{"reset", "closed", "EOF", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
}

func TestFaultForever(t *testing.T) {
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			o := newOrg(95)
			o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n >= 3 {
					fault.answer(w, r)
				}
				return n >= 3
			}
			var logged bytes.Buffer
			c := o.client(t, func(cfg *oktaclient.Config) {
				cfg.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
			})
			s, err := readError(t, c)
			halves := 0 // requests of smaller spans, after a 500 or 504
			if strings.HasPrefix(fault.message, "50") && !strings.HasPrefix(fault.message, "503") && fault.message != "502" {
				halves = 18
			}
			if len(s.users) != 20 || o.count() != 2+5+halves {
				t.Errorf("%d users in %d requests, want 20 in %d", len(s.users), o.count(), 7+halves)
			}
			want := "okta: " + fault.message
			if got := err.Error(); !strings.HasPrefix(got, want) || !strings.Contains(got, " on page 3, tried 5 times") ||
				fault.class != "closed" && !strings.HasSuffix(got, "(request req7)") {
				t.Errorf("error = %q, want %q on page 3 with its request", got, want)
			}
			if got := s.requests[2]; got.Error != fault.class || got.Rows != 0 || got.Path != s.requests[3].Path {
				t.Errorf("transcript = %+v, then %s; want %q, and the same path again", got, s.requests[3].Path, fault.class)
			}
			if strings.Contains(err.Error()+logged.String(), "secret") {
				t.Errorf("text of a response is in an error or log:\n%v\n%s", err, logged.String())
			}
		})
	}
}

func TestFinalErrors(t *testing.T) {
	for _, test := range []struct {
		status       int
		code, header string
	}{
		{400, "E0000031", ""},
		{400, "invalid_dpop_proof", `DPoP algs="ES256", error="invalid_dpop_proof", error_description="secret"`},
		{401, "E0000011", ""},
		{401, "invalid_token", `Bearer error="invalid_token"`},
		{403, "E0000006", ""},
		{403, "E0000005", ""},
		{403, "insufficient_scope", `Bearer authorization_uri="http://x",error="insufficient_scope"`},
		{404, "", ""},
		{414, "E0000256", ""},
		{501, "", ""},
		{302, "", ""},
		{418, "", ""},
	} {
		t.Run(fmt.Sprint(test.status, test.code), func(t *testing.T) {
			o := newOrg(95)
			o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Location", "http://"+r.Host+"/elsewhere")
				switch {
				case test.header != "":
					w.Header().Set("WWW-Authenticate", test.header)
					w.WriteHeader(test.status)
				case test.code == "":
					w.WriteHeader(test.status)
				default:
					fail(w, test.status, test.code)
				}
				return true
			}
			_, err := readError(t, o.client(t, nil))
			want := strings.TrimSpace(fmt.Sprintf("okta: %d %s", test.status, test.code)) + " (request req1)"
			if err.Error() != want || err.Status != test.status || err.Code != test.code || err.Path != "/api/v1/users" {
				t.Errorf("error = %q, want %q", err, want)
			}
			if o.count() != 1 {
				t.Errorf("%d requests, want 1", o.count())
			}
		})
	}
}

func TestNoConnection(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	s, err := readError(t, newClient(t, server.URL, server.Client(), nil))
	if got := err.Error(); !strings.Contains(got, "refused") || strings.Contains(got, "limit=") {
		t.Errorf("error = %q, want one about the connection and without the query", got)
	}
	if len(s.requests) != 5 || s.requests[0].Error != "no connection" || s.requests[0].Status != 0 {
		t.Errorf("transcript = %+v", s.requests)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	o := newOrg(5)
	server := newTLSServer(t, o, true)
	_, err := readError(t, newClient(t, server.URL, &http.Client{Transport: &http.Transport{}}, nil))
	if err.Tries != 1 || err.Class() != "certificate" {
		t.Errorf("error = %v of class %q after %d tries", err, err.Class(), err.Tries)
	}
}

// refusal is an error of the transport.
type refusal struct{ retry bool }

func (refusal) Error() string     { return "token: 401 invalid_client" }
func (r refusal) Retryable() bool { return r.retry }
func (refusal) Response() (status int, code, requestID string) {
	return 401, "invalid_token", "aZ3k"
}

func (r refusal) RoundTrip(*http.Request) (*http.Response, error) { return nil, r }

func TestTransportDecidesRetries(t *testing.T) {
	for retry, tries := range map[bool]int{false: 1, true: 5} {
		s, err := readError(t, newClient(t, "https://acme.okta.com", &http.Client{Transport: refusal{retry}}, nil))
		if err.Tries != tries || len(s.requests) != tries {
			t.Errorf("Retryable %v: %d tries, want %d", retry, err.Tries, tries)
		}
		if r := s.requests[0]; r.Status != 401 || r.RequestID != "aZ3k" || r.Error != "authentication" || err.Status != 401 || err.Code != "invalid_token" {
			t.Errorf("status %d, code %s, transcript %+v; want the transport's 401", err.Status, err.Code, r)
		}
	}
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrg(5)
		var times []time.Time
		o.hook = func(n int, w http.ResponseWriter, _ *http.Request) bool {
			times = append(times, time.Now())
			fail(w, 500, "E0000009")
			return true
		}
		readError(t, o.clientInProcess(t, nil))
		for i, most := 1, time.Second; i < len(times); i, most = i+1, 2*most {
			if wait := times[i].Sub(times[i-1]); wait < 0 || wait > most+1 {
				t.Errorf("wait %d = %v, want at most %v", i, wait, most)
			}
		}
	})
}

func limited(w http.ResponseWriter, limit, remaining string, reset time.Time) {
	w.Header().Set("X-Rate-Limit-Limit", limit)
	w.Header().Set("X-Rate-Limit-Remaining", remaining)
	w.Header().Set("X-Rate-Limit-Reset", strconv.FormatInt(reset.Unix(), 10))
}

func TestWaitsForTheReset(t *testing.T) {
	for _, test := range []struct {
		name      string
		answer    func(w http.ResponseWriter, okta time.Time)
		low, high time.Duration
	}{
		{"reset", func(w http.ResponseWriter, okta time.Time) { limited(w, "600", "0", okta.Add(40*time.Second)) }, 41 * time.Second, 42 * time.Second},
		{"past reset", func(w http.ResponseWriter, okta time.Time) { limited(w, "600", "0", okta.Add(-time.Hour)) }, time.Second, time.Second},
		{"far reset", func(w http.ResponseWriter, okta time.Time) { limited(w, "600", "0", okta.Add(time.Hour)) }, 5 * time.Minute, 5 * time.Minute},
		{"twice", func(w http.ResponseWriter, okta time.Time) {
			limited(w, "600", "0", okta.Add(40*time.Second))
			w.Header().Add("X-Rate-Limit-Reset", strconv.FormatInt(okta.Unix()+20, 10))
		}, 21 * time.Second, 22 * time.Second},
		{"Retry-After", func(w http.ResponseWriter, okta time.Time) {
			limited(w, "600", "500", okta.Add(40*time.Second))
			w.Header().Set("Retry-After", "7")
		}, 7 * time.Second, 7 * time.Second},
		{"Retry-After date", func(w http.ResponseWriter, okta time.Time) {
			w.Header().Set("Retry-After", okta.Add(20*time.Second).UTC().Format(http.TimeFormat))
		}, 20 * time.Second, 20 * time.Second},
		{"too many at once", func(w http.ResponseWriter, okta time.Time) { limited(w, "0", "0", okta.Add(40*time.Second)) }, 0, time.Second},
		{"no headers", func(http.ResponseWriter, time.Time) {}, 0, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const ahead = 3 * time.Hour // of Okta's clock
				time.Sleep(300 * time.Millisecond)
				o := newOrg(95)
				var at time.Time
				o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
					okta := time.Now().Add(ahead)
					w.Header().Set("Date", okta.UTC().Format(http.TimeFormat))
					switch n {
					case 3:
						at = time.Now()
						test.answer(w, okta)
						fail(w, 429, "E0000047")
						return true
					case 4:
						if wait := time.Since(at); wait < test.low || wait > test.high {
							t.Errorf("waited %v, want %v to %v", wait, test.low, test.high)
						}
					}
					return false
				}
				s, _ := o.read(t, o.clientInProcess(t, nil))
				if s.requests[2].Error != "E0000047" || s.requests[2].Status != 429 {
					t.Errorf("transcript = %+v", s.requests[2])
				}
			})
		})
	}
}

func TestLimitedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrg(5)
		o.hook = func(n int, w http.ResponseWriter, _ *http.Request) bool {
			limited(w, "600", "0", time.Now().Add(time.Minute))
			fail(w, 429, "E0000047")
			return true
		}
		_, err := readError(t, o.clientInProcess(t, nil))
		if err.Status != 429 || o.count() != 11 {
			t.Errorf("error = %v after %d requests, want a 429 after 11", err, o.count())
		}
	})
}

// stalling sends a body that stops, or no header.
type stalling struct {
	http.RoundTripper
	stall int // number of the request
	head  bool
	drip  time.Duration
	n     int
}

func (s *stalling) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.n++; s.n != s.stall {
		return s.RoundTripper.RoundTrip(r)
	}
	if s.head {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	resp, err := s.RoundTripper.RoundTrip(r)
	resp.Body = io.NopCloser(&stalledBody{r, s.drip})
	return resp, err
}

type stalledBody struct {
	r    *http.Request
	drip time.Duration
}

func (b *stalledBody) Read(p []byte) (int, error) {
	if b.drip > 0 {
		select {
		case <-b.r.Context().Done():
			return 0, b.r.Context().Err()
		case <-time.After(b.drip):
			return copy(p, " "), nil
		}
	}
	<-b.r.Context().Done()
	return 0, b.r.Context().Err()
}

func TestStall(t *testing.T) {
	for _, test := range []struct {
		name    string
		stall   stalling
		elapsed time.Duration
	}{
		{"no answer", stalling{head: true}, time.Minute},
		{"body", stalling{}, time.Minute},
		{"by the byte", stalling{drip: time.Second}, 5 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOrg(95)
				stall := test.stall
				stall.RoundTripper, stall.stall = inProcess{o}, 3
				c := newClient(t, "http://127.0.0.1", &http.Client{Transport: &stall}, nil)
				began := time.Now()
				s, _ := o.read(t, c)
				if elapsed := time.Since(began).Truncate(time.Second); elapsed != test.elapsed {
					t.Errorf("took %v, want %v", elapsed, test.elapsed)
				}
				if s.requests[2].Error != "timeout" {
					t.Errorf("transcript = %+v, want a timeout", s.requests[2])
				}
			})
		})
	}
}

// Of equal failures, the log has one warning per minute, with the number of the others.
func TestRepeatedFailuresAreLoggedOncePerMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		code := "E0000100"
		down := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fail(w, 503, code) })
		c := newClient(t, "http://127.0.0.1", &http.Client{Transport: inProcess{down}}, func(cfg *oktaclient.Config) {
			cfg.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn}))
		})
		for range 3 { // 15 attempts, of which the last of each request isn't tried again
			if _, err := c.Get(t.Context(), "/api/v1/users/me", nil); err == nil || !strings.Contains(err.Error(), ", tried 5 times") {
				t.Fatalf("error = %v", err)
			}
		}
		if got := logged.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "503 E0000100") {
			t.Errorf("in one minute:\n%s", got)
		}
		time.Sleep(time.Minute)
		for _, code = range []string{"E0000009", "E0000100"} {
			c.Get(t.Context(), "/api/v1/users/me", nil)
		}
		if got := logged.String(); strings.Count(got, "\n") != 3 || !strings.Contains(got, " repeated=11\n") {
			t.Errorf("a minute later:\n%s", got)
		}
	})
}
