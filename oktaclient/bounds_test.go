package oktaclient_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
)

// If every response is over a bound, the error names page and request.
func TestBoundsNameThePage(t *testing.T) {
	for name, test := range map[string]struct {
		body func(w io.Writer)
		want string
	}{
		"answer": {func(w io.Writer) {
			for range 20 {
				io.WriteString(w, strings.Repeat(" ", 1<<20))
			}
		}, "a body of over 8388608 bytes on page 3 (request req3)"},
		"user": {func(w io.Writer) {
			fmt.Fprintf(w, `[%s,{"id":"00u00099","status":"ACTIVE","lastUpdated":%q,"x":%q}]`, user("00u00098"), updated, strings.Repeat("x", 1<<20))
		}, "record 2 of the page is over 1048576 bytes on page 3 (request req3)"},
		"status": {func(w io.Writer) {
			fmt.Fprintf(w, `[{"id":"00u00099","status":%q,"lastUpdated":%q}]`, strings.Repeat("x", 257), updated)
		}, `member "status" of record 1 of the page is over 256 bytes on page 3 (request req3)`},
		"records": {func(w io.Writer) {
			fmt.Fprintf(w, "[%s%s]", strings.Repeat(user("00u00099")+",", 10_000), user("00u00099"))
		}, "a page of over 10000 records on page 3 (request req3)"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrg(95)
			o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n >= 3 {
					test.body(w)
				}
				return n >= 3
			}
			if _, err := readError(t, o.client(t, nil)); err.Error() != "okta: "+test.want || err.Tries != 1 {
				t.Errorf("error = %q after %d tries, want %q", err, err.Tries, test.want)
			}
		})
	}
}

// The bound of pages ends a list that always has another page.
func TestListWithoutEnd(t *testing.T) {
	if !long() {
		t.Skip("100,000 pages: a long form")
	}
	o, n := newOrg(0), 0
	o.hook = func(request int, w http.ResponseWriter, r *http.Request) bool {
		o.writeLinks(w, "http://"+r.Host, fmt.Sprintf("http://%s/api/v1/users?after=%d", r.Host, request))
		fmt.Fprintf(w, "[%s]", user(fmt.Sprintf("00u%08d", request)))
		return true
	}
	_, err := newClient(t, "http://127.0.0.1", &http.Client{Transport: inProcess{o}}, nil).Read(t.Context(), everyone, counter{&n})
	if err == nil || !strings.Contains(err.Error(), "list does not end: 100000 pages") || n != 100_000 {
		t.Errorf("read %d users: %v", n, err)
	}
}

// waiting delays each body until another page is requested, or for a second.
type waiting struct {
	http.RoundTripper
	mu   sync.Mutex
	next chan struct{} // closed by the next request
}

func (p *waiting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next != nil {
		close(p.next)
	}
	p.next = make(chan struct{})
	if strings.Contains(strings.Join(resp.Header.Values("Link"), ","), `rel="next"`) {
		resp.Body = &delayedBody{resp.Body, p.next}
	}
	return resp, nil
}

type delayedBody struct {
	io.ReadCloser
	until chan struct{}
}

func (d *delayedBody) Read(b []byte) (int, error) {
	select {
	case <-d.until:
	case <-time.After(time.Second):
	}
	return d.ReadCloser.Read(b)
}

// A list requests the next page when the headers of a page have arrived.
func TestNextPageIsRequestedAfterTheHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, governor := newOrg(95), oktaclient.NewGovernor(0.5, 2)
		serial := newClient(t, "http://127.0.0.1", &http.Client{Transport: &waiting{RoundTripper: inProcess{o}}}, func(cfg *oktaclient.Config) { cfg.Governor = governor })
		began := time.Now()
		o.read(t, serial)
		if took := time.Since(began); took > 2*time.Second+time.Nanosecond { // the response that shows the limit, and the lag of the index
			t.Errorf("took %v, want at most 2s: no page waits for the body of the previous one", took)
		}
	})
}

// expiring rejects one cursor.
type expiring struct {
	http.RoundTripper
	done bool
}

func (e *expiring) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Has("after") && !e.done {
		e.done = true
		return &http.Response{StatusCode: 400, Header: http.Header{"Content-Type": {"application/json"}, "X-Okta-Request-Id": {"req"}},
			Body: io.NopCloser(strings.NewReader(`{"errorCode":"E0000029"}`)), Request: r}, nil
	}
	return e.RoundTripper.RoundTrip(r)
}

// After a rejected cursor, only the users of its span are read again.
func TestExpiredCursorRestartsOnlyItsSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSandbox(t, settled(300))
		q := known(everyone, b.org, 3*10) // three pages each
		expiring := &expiring{RoundTripper: b}
		c := newClient(t, b.org.URL(), &http.Client{Transport: expiring}, func(cfg *oktaclient.Config) {
			cfg.PageSize, cfg.Concurrency, cfg.RateLimitShare = 10, 4, 1
		})
		s := &sink{}
		result, err := c.Read(t.Context(), q, s)
		if err != nil {
			t.Fatal(err)
		}
		checkResult(t, b.org, s)
		if again := result.Rows - 300; !expiring.done || again < 10 || again > 100 {
			t.Errorf("%d users were read twice, want 10 to 100: about one span", again)
		}
	})
}

// The error for a header over a bound names page and path, and the request id
// unless the HTTP client rejects the header.
func TestHeaderOverABound(t *testing.T) {
	const (
		byRead = "okta: header of over 262144 bytes on page 3 (request req)"
		byHTTP = "okta: no readable header and no request id from /api/v1/users on page 3, tried 2 times"
	)
	for _, http2 := range []bool{false, true} {
		for _, test := range []struct {
			name  string
			sizes []int
			want  string
		}{
			{"over the bound of the read", []int{300 << 10}, byRead},
			{"over the bound of the read, many fields", slices.Repeat([]int{1000}, 300), byRead},
			{"over the bound of net/http", []int{2 << 20}, byHTTP},
			{"over the bound of net/http, many fields", slices.Repeat([]int{1000}, 2000), byHTTP},
		} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %t", test.name, http2), func(t *testing.T) {
				o := newOrg(95)
				o.hook = func(_ int, w http.ResponseWriter, r *http.Request) bool {
					if (r.ProtoMajor == 2) != http2 {
						t.Errorf("protocol = %s", r.Proto)
					}
					w.Header().Set("X-Okta-Request-Id", "req")
					if r.URL.Query().Get("after") > "00u00020" {
						for i, size := range test.sizes {
							w.Header().Set(fmt.Sprint("X-Large-", i), strings.Repeat("x", size))
						}
					}
					return false
				}
				server := newTLSServer(t, o, http2)
				server.Client().Transport.(*http.Transport).MaxResponseHeaderBytes = 1 << 20
				_, err := readError(t, newClient(t, server.URL, server.Client(), func(cfg *oktaclient.Config) { cfg.Tries = 2 }))
				if err.Error() != test.want || (err.Tries == 1) != (test.want == byRead) || (err.Class() == "large header") != (test.want == byRead) {
					t.Errorf("error = %q of class %q after %d tries, want %q", err, err.Class(), err.Tries, test.want)
				}
			})
		}
	}
}
