package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/oktaclient"
)

// checkProxy checks that the proxy, if there is one, connects to the org.
func checkProxy(ctx context.Context, x *checker) Finding {
	name := "HTTPS_PROXY"
	value := os.Getenv(name)
	if lower := os.Getenv("https_proxy"); value == "" && lower != "" {
		name, value = "https_proxy", lower
	}
	host := hostOf(x.cfg.Okta.OrgURL)
	if value != "" && !isProxyURL(value) && !oktaclient.IsLoopback(host) {
		return failed(org.OnHost, "set "+name+" to a URL such as http://proxy.example:3128, or unset it", "%s is not the URL of a proxy", name)
	}
	m := x.probe(ctx)
	switch {
	case m.proxy == nil && value == "":
		return ok("none: HTTPS_PROXY is not set")
	case m.proxy == nil:
		return ok("none for %s: NO_PROXY excludes it, or it is this machine", host)
	}
	proxy := m.proxy.Scheme + "://" + m.proxy.Host // without a password
	switch {
	case m.denial == http.StatusProxyAuthRequired:
		return failed(org.OnHost, "add the user name and password for the proxy to "+name+" (http://user:password@host:port)", "%s requires a password: status 407", proxy)
	case m.denial != 0:
		return failed(org.OnHost, "ask the administrator of the proxy to allow connections to "+host, "%s refuses to connect to %s: status %d", proxy, host, m.denial)
	case m.step == "proxy":
		return failed(org.OnHost, fmt.Sprintf("correct %s, or add %s to NO_PROXY if no proxy is needed", name, host), "%s can't be reached: %s", proxy, reason(m.err))
	}
	return ok("%s, from %s", proxy, name)
}

// isProxyURL reports whether net/http can use value as a proxy. It ignores other
// values, or misinterprets them.
func isProxyURL(value string) bool {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	return err == nil && u.Hostname() != "" && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme)
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Hostname()
}

// reason describes why there is no connection, without the ports of a name server.
func reason(err error) string {
	var (
		lookup  *net.DNSError
		system  *os.SyscallError
		network net.Error
	)
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "there is no host " + lookup.Name
	case errors.As(err, &lookup):
		return "the name server doesn't answer for " + lookup.Name
	case errors.As(err, &system):
		return system.Err.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "no answer in time"
	}
	text, _, _ := strings.Cut(err.Error(), `"`) // net/http quotes a malformed response
	return strings.TrimRight(text, ": ")
}

// checkDNS checks that the host name of the org has an address.
func checkDNS(ctx context.Context, x *checker) Finding {
	m, host := x.probe(ctx), hostOf(x.cfg.Okta.OrgURL)
	var lookup *net.DNSError
	switch {
	case m.proxy != nil:
		return ok("the proxy resolves the name")
	case net.ParseIP(host) != nil:
		return ok("%s is an address", host)
	case m.step != "dns":
		return ok("%s resolves", host)
	case errors.As(m.err, &lookup) && !lookup.IsNotFound:
		return failed(org.OnHost, "check the name servers (/etc/resolv.conf)", "%s", reason(m.err))
	}
	return failed(org.InConfig, "correct okta.org_url: it is the address of the org's sign-in page, without -admin. If it is correct, and only a proxy can resolve the name, set HTTPS_PROXY",
		"%s", reason(m.err))
}

// checkTCP checks that a connection to the org was established.
func checkTCP(ctx context.Context, x *checker) Finding {
	m := x.probe(ctx)
	switch {
	case m.step == "tcp":
		return failed(org.OnHost, "allow connections from this machine to the org in the firewall, or set HTTPS_PROXY; check okta.org_url too",
			"no connection to %s: %s", hostOf(x.cfg.Okta.OrgURL), reason(m.err))
	case m.proxy != nil:
		return ok("through the proxy")
	case m.remote != "":
		return ok("connected to %s", m.remote)
	}
	return ok("connected")
}

// checkTLS checks the certificate of the org.
func checkTLS(ctx context.Context, x *checker) Finding {
	m := x.probe(ctx)
	switch {
	case m.caErr != nil:
		return failed(org.InConfig, "set okta.ca_file to a file of PEM certificates, or remove it", "%v", m.caErr)
	case m.step == "tls":
		return failedWith(&oktaclient.Error{Err: m.err}, otherResponder, "%s", tlsFailure(m.err))
	case m.resp.TLS == nil:
		return ok("none: plain http on this machine")
	}
	leaf := m.resp.TLS.PeerCertificates[0]
	return ok("%s, certificate from %s, valid until %s", tls.VersionName(m.resp.TLS.Version), issuerOf(leaf), leaf.NotAfter.Format(time.DateOnly))
}

// tlsFailure describes the certificate that was presented, or why there was no
// response.
func tlsFailure(err error) string {
	var shown *tls.CertificateVerificationError
	switch {
	case errors.As(err, new(tls.RecordHeaderError)):
		return "the server doesn't use TLS"
	case !errors.As(err, &shown) || len(shown.UnverifiedCertificates) == 0:
		return "no response: " + reason(err)
	}
	leaf := shown.UnverifiedCertificates[0]
	return fmt.Sprintf("the certificate is for %s, from %q, valid from %s to %s: %s", certificateNames(leaf), issuerOf(leaf),
		leaf.NotBefore.Format(time.DateOnly), leaf.NotAfter.Format(time.DateOnly), clean(shown.Err.Error()))
}

func issuerOf(c *x509.Certificate) string {
	return clean(cmp.Or(c.Issuer.CommonName, strings.Join(c.Issuer.Organization, ", "), "an unnamed issuer"))
}

func certificateNames(c *x509.Certificate) string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) > 3 {
		names = append(names[:3:3], "others")
	}
	return clean(cmp.Or(strings.Join(names, ", "), "no host"))
}

// Limits of the difference between two clocks: the resolution of Okta's Date, and
// the most that the client corrects (RFC 9449, section 11.1).
const (
	clockResolution = 2 * time.Second
	maxClockOffset  = 15 * time.Minute
)

// checkClock compares this machine's clock with the org's.
func checkClock(ctx context.Context, x *checker) Finding {
	const remedy = "synchronize the clock: timedatectl set-ntp true"
	m := x.probe(ctx)
	date, err := http.ParseTime(m.resp.Header.Get("Date"))
	if err != nil {
		return warning(org.OnHost, "check this machine's clock, and what removes Date from responses", "the response has no date")
	}
	// Date is truncated to the second, and is from between sent and received.
	least, most := date.Sub(m.received), date.Add(time.Second).Sub(m.sent)
	off := max(0, least) + min(0, most)
	side := "behind"
	if off < 0 {
		side = "ahead of"
	}
	text := fmt.Sprintf("this machine's clock is %s %s the org's", term.Duration(off.Abs().Round(time.Second)), side)
	switch {
	case off.Abs() <= clockResolution:
		return ok("within %v of the org's", clockResolution)
	case off.Abs() <= maxClockOffset:
		return warning(org.OnHost, remedy, "%s; oktasync corrects up to %s", text, term.Duration(maxClockOffset))
	}
	return failed(org.OnHost, remedy, "%s; Okta would reject tokens and proofs", text)
}
