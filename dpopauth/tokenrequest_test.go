package dpopauth_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/dpopauth"
)

func TestD53_UnavailableServerIsRetried(t *testing.T) {
	for name, trouble := range map[string]func(http.ResponseWriter){
		"500": func(w http.ResponseWriter) { w.WriteHeader(500) }, "502": func(w http.ResponseWriter) { w.WriteHeader(502) },
		"503": func(w http.ResponseWriter) { w.WriteHeader(503) }, "429": func(w http.ResponseWriter) { w.WriteHeader(429) },
		"hang-up": hangUp,
		"overload in Okta's form": func(w http.ResponseWriter) {
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"temporarily_unavailable"}`)
		},
		"answer cut short": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			hangUp(w)
		},
	} {
		for _, failures := range []int{3, 4} {
			bubble(t, fmt.Sprint(name, ", times ", failures), func(t *testing.T, o *org, tr *dpopauth.Transport) {
				o.token = func(w http.ResponseWriter, s *seen) bool {
					if s.n <= failures {
						trouble(w)
					}
					return s.n <= failures
				}
				start := time.Now()
				_, _, err := get(t, tr, o.URL+"/a")
				if took := time.Since(start); took == 0 || took > 3500*time.Millisecond {
					t.Errorf("took %v, want back-off of at most 0.5 + 1 + 2 s", took)
				}
				if failures == 3 {
					if err != nil {
						t.Error(err)
					}
					o.wantRequests(4, 1)
					return
				}
				if e := asError(t, err); !e.Retryable() {
					t.Errorf("Retryable() of %v = false", e)
				}
				o.wantRequests(4, 0)
			})
		}
	}
	for _, status := range []int{400, 401, 403, 404, 405, 413, 422} {
		t.Run(fmt.Sprint(status, " is not"), func(t *testing.T) {
			o := newOrg(t)
			o.token = func(w http.ResponseWriter, _ *seen) bool { o.oauthError(w, status, "access_denied", ""); return true }
			_, _, err := get(t, o.transport(), o.URL+"/a")
			wantError(t, err, "access_denied")
			o.wantRequests(1, 0)
		})
	}
	for _, test := range []struct {
		after    string // Retry-After
		min, max time.Duration
	}{
		{"7", 7 * time.Second, 7 * time.Second},
		{"date", 9 * time.Second, 11 * time.Second}, // 10 s after the server's Date
		{"86400", 30 * time.Second, 30 * time.Second},
		{"99999999999999999999", 0, time.Second},
		{"reset", 9 * time.Second, 12 * time.Second}, // as Okta sends it
		{"-5", 0, time.Second}, {"soon", 0, time.Second}, {"Sun, 06 Nov 1994 08:49:37 GMT", 0, time.Second},
	} {
		bubble(t, "Retry-After: "+test.after, func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.now = ahead(5 * time.Minute)
			o.past = time.Hour
			o.token = func(w http.ResponseWriter, s *seen) bool {
				if s.n > 1 {
					return false
				}
				switch end := o.now().Add(10 * time.Second); test.after {
				case "date":
					w.Header().Set("Retry-After", end.UTC().Format(http.TimeFormat))
				case "reset":
					w.Header().Set("X-Rate-Limit-Reset", fmt.Sprint(end.Unix()))
				default:
					w.Header().Set("Retry-After", test.after)
				}
				w.WriteHeader(503)
				return true
			}
			start := time.Now()
			mustGet(t, tr, o.URL+"/a")
			if took := time.Since(start); took < test.min || took > test.max {
				t.Errorf("waited %v, want %v to %v", took, test.min, test.max)
			}
		})
	}
}

func TestD55_SizeOfTheResponse(t *testing.T) {
	huge := strings.Repeat(" ", 2<<20)
	for name, answer := range map[string]func(http.ResponseWriter, int){
		"plain": func(w http.ResponseWriter, status int) { w.WriteHeader(status); io.WriteString(w, huge) },
		"compressed": func(w http.ResponseWriter, status int) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(status)
			z := gzip.NewWriter(w)
			io.WriteString(z, huge)
			z.Close()
		},
	} {
		for _, status := range []int{200, 400} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				o := newOrg(t)
				o.token = func(w http.ResponseWriter, _ *seen) bool { answer(w, status); return true }
				_, _, err := get(t, o.transport(), o.URL+"/a")
				wantError(t, err, "longer than 1 MiB")
				o.wantRequests(1, 0)
			})
		}
	}
	t.Run("the connection is used again", func(t *testing.T) {
		o := newOrg(t)
		o.demand("token", "n1")
		base := o.base()
		var dials int
		dial := base.DialContext
		if dial == nil {
			dial = (&net.Dialer{}).DialContext
		}
		base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials++
			return dial(ctx, network, addr)
		}
		mustGet(t, o.transport(func(c *dpopauth.Config) { c.Base = base }), o.URL+"/a")
		o.wantRequests(2, 1)
		if dials != 1 {
			t.Errorf("connections = %d, want 1", dials)
		}
	})
}

func TestD56_AllowedURLsAndTLS(t *testing.T) {
	o := newOrg(t)
	for _, u := range []string{"http://acme.okta.com", "http://127.0.0.1.nip.io", "http://localhost.evil.example", "ftp://127.0.0.1", "https://", "https:acme", "/oauth2", "", "://", "https://user:pw@acme.okta.com", "https://acme.okta.com?x=1", "https://acme.okta.com?", "https://acme.okta.com#x"} {
		cfg := o.config()
		cfg.TokenURL = u
		_, err := dpopauth.New(cfg)
		wantError(t, err, "token URL: ")
		cfg = o.config()
		cfg.Origins = append(cfg.Origins, u)
		_, err = dpopauth.New(cfg)
		wantError(t, err, "origin: ")
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("error = %v shows the password", err)
		}
	}
	for _, u := range []string{"http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost", "https://acme.okta.com"} {
		cfg := o.config()
		cfg.TokenURL, cfg.Origins = u+"/token", []string{u}
		if _, err := dpopauth.New(cfg); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	t.Run("other settings that can't be", func(t *testing.T) {
		for want, change := range map[string]func(*dpopauth.Config){
			"no origin":                      func(c *dpopauth.Config) { c.Origins = nil },
			"no client ID":                   func(c *dpopauth.Config) { c.ClientID = "" },
			"no client key":                  func(c *dpopauth.Config) { c.ClientKey = nil },
			"an origin must not have a path": func(c *dpopauth.Config) { c.Origins = []string{"https://acme.okta.com/api"} },
			"a scope is empty":               func(c *dpopauth.Config) { c.Scopes = []string{"okta.users.read", ""} },
			"or contains a space":            func(c *dpopauth.Config) { c.Scopes = []string{"okta.users.read okta.groups.read"} },
			"skips certificate checks":       func(c *dpopauth.Config) { c.Base = insecure(&tls.Config{InsecureSkipVerify: true}) },
			"allows TLS before 1.2":          func(c *dpopauth.Config) { c.Base = insecure(&tls.Config{MinVersion: tls.VersionTLS11}) },
		} {
			cfg := o.config()
			change(&cfg)
			_, err := dpopauth.New(cfg)
			wantError(t, err, want)
		}
	})
	t.Run("unknown authority", func(t *testing.T) {
		for name, base := range map[string]http.RoundTripper{"nil": nil, "a transport": &http.Transport{}} {
			_, _, err := get(t, o.transport(func(c *dpopauth.Config) { c.Base = base }), o.URL+"/a")
			wantError(t, err, "certificate")
			if e := asError(t, err); e.Retryable() {
				t.Errorf("%s: Retryable() = true", name)
			}
		}
		o.wantRequests(0, 0)
	})
	t.Run("the default transport", func(t *testing.T) { // a global variable; no test runs in parallel
		usual := http.DefaultTransport
		defer func() { http.DefaultTransport = usual }()
		strict := o.base()
		strict.TLSClientConfig.MinVersion, strict.TLSClientConfig.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
		for name, def := range map[string]http.RoundTripper{"of another type": roundTripper(o.base().RoundTrip), "of TLS 1.3": strict} {
			http.DefaultTransport = def
			tr := o.transport(func(c *dpopauth.Config) { c.Base = nil })
			if status, _, err := get(t, tr, o.URL+"/a"); status != 200 {
				t.Errorf("%s: %d, %v", name, status, err)
			}
			tr.CloseIdleConnections()
		}
		strict.TLSClientConfig.MaxVersion = tls.VersionTLS12
		http.DefaultTransport = strict
		_, _, err := get(t, o.transport(func(c *dpopauth.Config) { c.Base = nil }), o.URL+"/a")
		wantError(t, err, "no supported versions")
	})
	t.Run("TLS 1.1", func(t *testing.T) {
		old := httptest.NewUnstartedServer(http.NotFoundHandler())
		old.Config.ErrorLog = o.Config.ErrorLog
		old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		old.StartTLS()
		defer old.Close()
		_, _, err := get(t, o.transport(func(c *dpopauth.Config) { c.TokenURL = old.URL + "/token" }), o.URL+"/a")
		wantError(t, err, "protocol version")
	})
}

func insecure(c *tls.Config) http.RoundTripper { return &http.Transport{TLSClientConfig: c} }

func TestD57_HangingServer(t *testing.T) {
	for name, hang := range map[string]func(o *org, base *http.Transport){
		"connect": func(_ *org, base *http.Transport) {
			base.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		},
		"TLS": func(_ *org, base *http.Transport) {
			base.DialContext = func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go io.Copy(io.Discard, server)
				return client, nil
			}
		},
		"headers": func(o *org, _ *http.Transport) {
			o.token = func(http.ResponseWriter, *seen) bool { time.Sleep(time.Hour); return true }
		},
		"body": func(o *org, _ *http.Transport) {
			o.token = func(w http.ResponseWriter, _ *seen) bool {
				io.WriteString(w, "{")
				w.(http.Flusher).Flush()
				time.Sleep(time.Hour)
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := startOrg(t, true, newPipeListener())
				base := o.base()
				base.TLSHandshakeTimeout = 0
				hang(o, base)
				var at []time.Duration
				start := time.Now()
				tr := o.transport(func(c *dpopauth.Config) {
					c.Base = base
					c.OnTokenRequest = func(dpopauth.TokenRequest) { at = append(at, time.Since(start)) }
				})
				_, _, err := get(t, tr, o.URL+"/a")
				if e := asError(t, err); !e.Retryable() || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error = %v, want a retryable one", err)
				}
				wantError(t, err, "no complete response within 30s")
				if total := time.Since(start); total > 2*time.Minute+time.Second {
					t.Errorf("gave up after %v, want at most 2 min", total)
				}
				last := time.Duration(0)
				for _, d := range at {
					if d-last > 33*time.Second {
						t.Errorf("a try took %v, want at most 30 s", d-last)
					}
					last = d
				}
				if len(at) < 3 {
					t.Errorf("tries = %d", len(at))
				}
				base.CloseIdleConnections()
			})
		})
	}
}

func TestD58_CancelledCallers(t *testing.T) {
	slow := func(o *org) {
		o.token = func(http.ResponseWriter, *seen) bool { time.Sleep(10 * time.Second); return false }
	}
	// call sends a GET with a timeout of d, and returns the duration.
	call := func(t *testing.T, o *org, tr *dpopauth.Transport, d time.Duration) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", o.URL+"/a", nil)
		if err != nil {
			return 0, err
		}
		start := time.Now()
		resp, err := tr.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		return time.Since(start), err
	}
	bubble(t, "returns at once and leaves the fetch to others", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		slow(o)
		var wg sync.WaitGroup
		wg.Go(func() { mustGet(t, tr, o.URL+"/a") })
		synctest.Wait()
		if took, err := call(t, o, tr, time.Second); took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("returned after %v with %v", took, err)
		}
		wg.Wait()
		o.wantRequests(1, 1)
	})
	bubble(t, "the last one ends the fetch", func(t *testing.T, o *org, _ *dpopauth.Transport) {
		ended := make(chan time.Duration, 1)
		start := time.Now()
		cfg := o.config()
		base := cfg.Base
		cfg.Base = roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/oauth2/v1/token" {
				context.AfterFunc(r.Context(), func() {
					select {
					case ended <- time.Since(start):
					default:
					}
				})
			}
			return base.RoundTrip(r)
		})
		slow(o)
		tr := must(dpopauth.New(cfg))
		for range 2 {
			go call(t, o, tr, time.Second)
		}
		if took := <-ended; took != time.Second {
			t.Errorf("the fetch ended after %v, want 1 s", took)
		}
		synctest.Wait()
		mustGet(t, tr, o.URL+"/a") // the error is not kept
		o.wantRequests(2, 1)
	})
	bubble(t, "one that was cancelled before asks for nothing", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		if _, err := call(t, o, tr, -1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v", err)
		}
		synctest.Wait()
		mustGet(t, tr, o.URL+"/a")
		o.wantRequests(1, 1)
		time.Sleep(time.Hour - 2*time.Second)
		slow(o)
		mustGet(t, tr, o.URL+"/a") // starts a renewal that ends after the token
		time.Sleep(3 * time.Second)
		call(t, o, tr, -1)
		time.Sleep(20 * time.Second)
		if n := tr.Status().Counters.Granted["early"]; n != 1 {
			t.Errorf("renewed %d times, want once: the fetch was ended", n)
		}
	})
	bubble(t, "in back-off", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.token = func(w http.ResponseWriter, _ *seen) bool {
			w.Header().Set("Retry-After", "20")
			w.WriteHeader(503)
			return true
		}
		if took, err := call(t, o, tr, 3*time.Second); took != 3*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("returned after %v with %v", took, err)
		}
		synctest.Wait()
		time.Sleep(time.Hour)
		o.wantRequests(1, 0)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
