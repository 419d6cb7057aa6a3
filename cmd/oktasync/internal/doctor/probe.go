package doctor

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"oktasync/cmd/oktasync/internal/org"
)

// probePath tells which org answers, without a token (developer.okta.com, Org
// metadata). It is not rate limited.
const probePath = "/.well-known/okta-organization"

const probeTimeout = 15 * time.Second

// A probe is the first request to the org, taken apart into its steps: it goes
// the way that every other one will go, proxy included.
type probe struct {
	mu   sync.Mutex // of what trace notes
	over bool       // it is for the checks to read

	proxy  *url.URL // nil: direct
	denial int      // the proxy's status to CONNECT, where that is no 200

	addresses int // that the name has
	lookupErr error
	dialed    []string // addresses that were tried
	remote    string   // what it got through to; "": nowhere
	tls       *tls.ConnectionState
	tlsErr    error

	sent, received time.Time
	resp           *http.Response // its body is read
	body           []byte
	err            error // of the request as a whole
}

// probe sends the request, once for all checks.
func (x *checker) probe(ctx context.Context) *probe {
	if x.probed != nil {
		return x.probed
	}
	m := new(probe)
	x.probed = m
	base, _, err := org.Transport(x.cfg.Okta.CAFile)
	if err != nil { // checkTLS says so; until then anything is good enough
		base, _, _ = org.Transport("")
	}
	x.base = base
	once := base.Clone()
	defer once.CloseIdleConnections()
	once.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			m.denial = resp.StatusCode
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(httptrace.WithClientTrace(ctx, m.trace()), probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.cfg.Okta.OrgURL+probePath, nil)
	if err != nil {
		m.err = err
		return m
	}
	req.Header.Set("User-Agent", org.UserAgent(x.Tool))
	m.proxy, _ = http.ProxyFromEnvironment(req)
	m.sent = time.Now()
	resp, err := once.RoundTrip(req) // which follows no redirect
	m.received = time.Now()
	m.end()
	if err != nil {
		m.err = err
		return m
	}
	m.resp = resp
	m.body, m.err = readAll(resp)
	return m
}

// trace notes how far the request comes. Of several addresses that are tried at
// once one may still be tried when the request has ended.
func (m *probe) trace() *httptrace.ClientTrace {
	note := func(what func()) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.over {
			what()
		}
	}
	return &httptrace.ClientTrace{
		DNSDone:      func(d httptrace.DNSDoneInfo) { note(func() { m.addresses, m.lookupErr = len(d.Addrs), d.Err }) },
		ConnectStart: func(_, addr string) { note(func() { m.dialed = append(m.dialed, addr) }) },
		ConnectDone: func(_, addr string, err error) {
			if err == nil {
				note(func() { m.remote = addr })
			}
		},
		TLSHandshakeDone: func(s tls.ConnectionState, err error) { note(func() { m.tls, m.tlsErr = &s, err }) },
	}
}

func (m *probe) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = true
}
