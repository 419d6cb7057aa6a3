package dpopauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"oktasync/dpopauth"
)

func TestD81_OnlyConfiguredOrigins(t *testing.T) {
	o, other := newOrg(t), newOrg(t)
	tr := o.transport()
	_, _, err := get(t, tr, other.URL+"/a")
	if !errors.Is(err, dpopauth.ErrOrigin) {
		t.Errorf("error = %v, want ErrOrigin", err)
	}
	o.wantRequests(0, 0)
	other.wantRequests(0, 0)
	if n := tr.Status().Counters.Refused; n != 1 {
		t.Errorf("refused = %d, want 1", n)
	}
}

func TestD82_HostileLinks(t *testing.T) {
	o := newOrg(t)
	base := o.base()
	base.DialContext = func(_ context.Context, _, addr string) (net.Conn, error) {
		t.Errorf("a connection to %s", addr)
		return nil, errors.New("no")
	}
	tr := o.transport(func(c *dpopauth.Config) {
		c.Base, c.Origins = base, []string{"https://acme.okta.com"}
	})
	from := must(url.Parse("https://acme.okta.com/api/v1/users"))
	for _, link := range []string{
		"https://evil.example/api/v1/users", "https://acme.okta.com@evil.example/", "https://acme.okta.com:x@evil.example/",
		"https://acme.okta.com.evil.example/", "//evil.example/a", "https://acme.okta.com:8443/", "http://acme.okta.com/", "http://acme.okta.com:443/",
		"ftp://acme.okta.com/", "file:///etc/passwd", "https://acme.oKta.com./", "https://acme-admin.okta.com/", "https:///a", "https:a",
		"https://acme.o\u212ata.com/", "https://аcme.okta.com/", "https://user@acme.okta.com/", "javascript:alert(1)", "https://[::1]/",
	} {
		u, err := from.Parse(link)
		if err != nil {
			continue // not a URL
		}
		resp, err := tr.RoundTrip(&http.Request{Method: "GET", URL: u})
		if err == nil {
			resp.Body.Close()
		}
		if !errors.Is(err, dpopauth.ErrOrigin) && !errors.Is(err, dpopauth.ErrRequest) {
			t.Errorf("%s: error = %v, want ErrOrigin or ErrRequest", link, err)
		}
	}
	for _, link := range []string{`https://acme.okta.com\@evil.example/`, `https://evil.example\.acme.okta.com/`} {
		u := &url.URL{Scheme: "https", Host: strings.TrimPrefix(link, "https://"), Path: "/"} // url.Parse takes none
		if _, err := tr.RoundTrip(&http.Request{URL: u}); err == nil {
			t.Errorf("%s: no error", link)
		}
	}
	o.wantRequests(0, 0)
}

func TestD83_Redirects(t *testing.T) {
	evil := newOrg(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		o := newOrg(t)
		o.api = func(w http.ResponseWriter, _ *seen) bool {
			w.Header().Set("Location", evil.URL+"/a")
			w.WriteHeader(status)
			return true
		}
		tr := o.transport()
		resp, err := tr.Client().Post(o.URL+"/a", "text/plain", strings.NewReader("secret"))
		if err != nil || resp.StatusCode != status {
			t.Fatalf("answer = %v, %v, want the %d itself", resp, err, status)
		}
		resp.Body.Close()
		o.wantRequests(1, 1)
		follower := &http.Client{Transport: tr} // follows redirects, but not to another origin
		if _, err := follower.Get(o.URL + "/a"); !errors.Is(err, dpopauth.ErrOrigin) {
			t.Errorf("error = %v, want ErrOrigin", err)
		}
	}
	evil.wantRequests(0, 0)
}

func TestD84_TokenRequestIsSeparate(t *testing.T) {
	o := newOrg(t)
	o.token = func(w http.ResponseWriter, s *seen) bool {
		w.Header().Set("Set-Cookie", "session=1")
		if s.header["Cookie"] != nil || s.header["Authorization"] != nil {
			t.Errorf("headers = %v", s.header)
		}
		return false
	}
	var lines []string
	var mu sync.Mutex
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		lines = append(lines, fmt.Sprint(r.Method, r.Header))
		mu.Unlock()
		if r.Method == http.MethodConnect {
			tunnel(w, r.RequestURI)
		}
	}))
	defer proxy.Close()
	tr := o.transport(func(c *dpopauth.Config) {
		base := o.base()
		base.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
		c.Base = base
	})
	jar := must(cookiejar.New(nil))
	client := &http.Client{Transport: tr, Jar: jar}
	for range 2 {
		resp := must(client.Get(o.URL + "/a"))
		resp.Body.Close()
		o.revoke()
	}
	o.wantRequests(2, 3)
	mu.Lock()
	defer mu.Unlock()
	for _, line := range lines {
		if !strings.HasPrefix(line, "CONNECT") || strings.Contains(line, "DPoP") || strings.Contains(line, "Authorization") {
			t.Errorf("the proxy saw %s", line)
		}
	}
	if len(lines) == 0 {
		t.Error("the proxy saw nothing")
	}
	tr.CloseIdleConnections()
}

// tunnel connects the proxy's client with the server at addr.
func tunnel(w http.ResponseWriter, addr string) {
	server, err := net.Dial("tcp", addr)
	if err != nil {
		w.WriteHeader(502)
		return
	}
	client, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { io.Copy(server, client); server.Close() }()
	io.Copy(client, server)
	client.Close()
}
