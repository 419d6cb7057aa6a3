package doctor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
)

// probePath returns the id of the org, without a token and without a rate limit
// (developer.okta.com, Org metadata).
const probePath = "/.well-known/okta-organization"

const (
	dialTimeout  = 10 * time.Second
	probeTimeout = 30 * time.Second
)

// probe sends the request once for all checks.
func (x *checker) probe(ctx context.Context) *probe {
	if x.probed == nil {
		x.probed = new(probe)
		x.probed.err = x.probed.send(ctx, x)
		x.probed.step = x.probed.failedStep()
	}
	return x.probed
}

func (m *probe) send(ctx context.Context, x *checker) error {
	x.base, _, m.caErr = org.Transport(x.cfg)
	if m.caErr != nil { // checkTLS reports it
		x.base, _, _ = org.Transport(new(config.Config))
	}
	once := x.base.Clone()
	defer once.CloseIdleConnections()
	once.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	once.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			m.denial = resp.StatusCode
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { m.remote = c.Conn.RemoteAddr().String() }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.cfg.Okta.OrgURL+probePath, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", org.UserAgent(x.Tool))
	m.proxy, _ = http.ProxyFromEnvironment(req)
	m.sent = time.Now()
	m.resp, err = once.RoundTrip(req) // follows no redirect
	m.received = time.Now()
	if err != nil {
		return err
	}
	m.body, err = readAll(m.resp)
	return err
}

// failedStep returns the id of the check that reports the error.
func (m *probe) failedStep() string {
	var op *net.OpError
	errors.As(m.err, &op)
	switch {
	case m.err == nil:
		return ""
	case m.denial != 0 || op != nil && op.Op == "proxyconnect":
		return "proxy"
	case errors.As(m.err, new(*net.DNSError)):
		return "dns"
	case op != nil && op.Op == "dial":
		return "tcp"
	case m.resp == nil:
		return "tls"
	}
	return "org"
}
