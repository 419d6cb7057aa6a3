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

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
)

// checkProxy says which proxy requests go through, and whether it lets them.
func checkProxy(ctx context.Context, x *checker) Finding {
	name, value := proxySetting()
	host := hostOf(x.cfg.Okta.OrgURL)
	if value != "" && !isProxyURL(value) && !config.IsLoopback(host) {
		return failed(onHost, "set "+name+" to an address such as http://proxy.example:3128, or unset it", "%s is no address of a proxy", name)
	}
	m := x.probe(ctx)
	switch {
	case m.proxy == nil && value == "":
		return ok("none: no HTTPS_PROXY is set")
	case m.proxy == nil:
		return ok("none for %s: NO_PROXY has it, or it is this machine", host)
	}
	proxy := m.proxy.Scheme + "://" + m.proxy.Host // without a password
	remedy := fmt.Sprintf("correct %s, or have NO_PROXY name %s if it can be reached directly", name, host)
	switch {
	case m.denial == http.StatusProxyAuthRequired:
		return failed(onHost, "put the proxy's user and password into "+name+" (http://user:password@host:port)",
			"%s asks for a user and password: status 407", proxy)
	case m.denial != 0:
		return failed(onHost, "have whoever keeps the proxy let this machine connect to "+host, "%s does not connect to %s: status %d", proxy, host, m.denial)
	case m.lookupErr != nil:
		return failed(onHost, remedy, "%s: %s", proxy, lookupText(m.lookupErr))
	case m.remote == "":
		return failed(onHost, remedy, "%s can't be reached: %s", proxy, dialText(m.err))
	}
	return ok("%s, by %s", proxy, name)
}

// proxySetting returns the variable that names a proxy for https, and its value.
func proxySetting() (name, value string) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		if value := os.Getenv(name); value != "" {
			return name, value
		}
	}
	return "HTTPS_PROXY", ""
}

// isProxyURL reports whether value is an address of a proxy that net/http knows.
// What it does not understand it passes over, or takes for something odd.
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

func checkDNS(ctx context.Context, x *checker) Finding {
	m, host := x.probe(ctx), hostOf(x.cfg.Okta.OrgURL)
	switch {
	case m.proxy != nil:
		return ok("left to the proxy")
	case net.ParseIP(host) != nil:
		return ok("%s is an address", host)
	case m.lookupErr == nil && m.addresses == 0 && len(m.dialed) == 0:
		return failed(onHost, "see why the name service does not answer (/etc/resolv.conf)", "no answer about %s within %v", host, probeTimeout)
	case m.lookupErr == nil:
		return ok("%s resolves", host)
	}
	if d := (*net.DNSError)(nil); errors.As(m.lookupErr, &d) && !d.IsNotFound {
		return failed(onHost, "see why the name service does not answer (/etc/resolv.conf)", "%s", lookupText(m.lookupErr))
	}
	return failed(inConfig, "correct okta.org_url; the address is the one in the browser at the org's sign-in page, without -admin. If it is right: set HTTPS_PROXY where only a proxy knows the names outside",
		"%s", lookupText(m.lookupErr))
}

// lookupText is a failed lookup without the ports of the name service.
func lookupText(err error) string {
	var d *net.DNSError
	switch {
	case errors.As(err, &d) && d.IsNotFound:
		return "there is no host " + d.Name
	case errors.As(err, &d) && d.IsTimeout:
		return "the name service does not answer about " + d.Name
	case errors.As(err, &d):
		return "the name service fails for " + d.Name
	}
	return "the name service fails"
}

func checkTCP(ctx context.Context, x *checker) Finding {
	m := x.probe(ctx)
	switch {
	case m.proxy != nil:
		return ok("by way of the proxy")
	case m.remote != "":
		return ok("connected to %s", m.remote)
	}
	return failed(onHost, "let this machine connect to the org: a firewall, or HTTPS_PROXY where there is only a proxy; or correct okta.org_url in the configuration",
		"%s: %s", strings.Join(m.dialed, ", "), dialText(m.err))
}

// dialText is why there is no connection.
func dialText(err error) string {
	var system *os.SyscallError
	var network net.Error
	switch {
	case errors.As(err, &system):
		return system.Err.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return fmt.Sprintf("no answer within %v", probeTimeout)
	}
	return "no connection"
}

func checkTLS(ctx context.Context, x *checker) Finding {
	m := x.probe(ctx)
	if _, _, err := org.Transport(x.cfg.Okta.CAFile); err != nil {
		return failed(inConfig, "set okta.ca_file to a file of PEM certificates, or leave it out", "%v", err)
	}
	switch {
	case strings.HasPrefix(x.cfg.Okta.OrgURL, "http://"):
		return ok("none: plain http on this machine")
	case m.tlsErr != nil:
		return badTLS(m)
	case m.tls == nil:
		return failed(onHost, "see what closes connections to the org: a firewall, or a proxy", "no handshake: %s", dialText(m.err))
	}
	leaf := m.tls.PeerCertificates[0]
	return ok("%s, certificate by %s, good until %s", tls.VersionName(m.tls.Version), issuerOf(leaf), leaf.NotAfter.Format(time.DateOnly))
}

// badTLS says whose certificate was seen in place of the org's.
func badTLS(m *probe) Finding {
	var (
		shown     *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(m.tlsErr, &record):
		return failed(inConfig, "correct the port in okta.org_url; Okta speaks TLS on 443", "what answers at %s does not speak TLS", m.remote)
	case !errors.As(m.tlsErr, &shown) || len(shown.UnverifiedCertificates) == 0:
		return failed(onHost, "see what stands between this machine and the org", "the handshake failed: %v", m.tlsErr)
	}
	leaf := shown.UnverifiedCertificates[0]
	switch {
	case errors.As(m.tlsErr, &host):
		return failed(inConfig, "correct okta.org_url; if it is right, something answers in the org's place",
			"the certificate is for %s, not for %s", certificateNames(leaf), host.Host)
	case errors.As(m.tlsErr, &invalid) && invalid.Reason == x509.Expired:
		return failed(onHost, "set the clock if it is wrong (timedatectl); else see what answers in the org's place",
			"the certificate by %s is good from %s to %s; this machine's clock shows %s",
			issuerOf(leaf), leaf.NotBefore.Format(time.DateOnly), leaf.NotAfter.Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339))
	case errors.As(m.tlsErr, &authority):
		return failed(inConfig, "if that is your company's proxy, which reads along, set okta.ca_file to its CA certificate, or have it leave the org alone; if it is nobody you know, stop here",
			"the certificate for %s is by %q, which this machine does not know", certificateNames(leaf), issuerOf(leaf))
	}
	return failed(onHost, "see what answers in the org's place", "the certificate by %s is not valid: %v", issuerOf(leaf), shown.Err)
}

func issuerOf(c *x509.Certificate) string {
	return clean(cmp.Or(c.Issuer.CommonName, strings.Join(c.Issuer.Organization, ", "), "nobody named"))
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

// clean makes what somebody else has written fit for a terminal.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), 100)]
}

// The limits of a clock that is off: what Okta's own Date can't show better, and
// what the client can work around (RFC 9449, section 11.1).
const (
	clockGrain = 2 * time.Second
	clockMost  = 15 * time.Minute
)

func checkClock(ctx context.Context, x *checker) Finding {
	const remedy = "set the clock and have it kept: timedatectl set-ntp true"
	m := x.probe(ctx)
	if m.resp == nil {
		return skipped("there was no answer with a date")
	}
	date, err := http.ParseTime(m.resp.Header.Get("Date"))
	if err != nil {
		return warning(onHost, "see that this machine's clock is right, and what takes the Date out of answers", "the answer had no date")
	}
	// Date is cut to the second, and was written between sent and received.
	least, most := date.Sub(m.received), date.Add(time.Second).Sub(m.sent)
	off := max(0, least) + min(0, most)
	side := "behind"
	if off < 0 {
		side = "ahead of"
	}
	text := fmt.Sprintf("this machine's clock is %s %s the org's", term.Duration(off.Abs().Round(time.Second)), side)
	switch {
	case off.Abs() <= clockGrain:
		return ok("within %v of the org's", clockGrain)
	case off.Abs() <= clockMost:
		return warning(onHost, remedy, "%s; requests are dated by the org's, up to %s off", text, term.Duration(clockMost))
	}
	return failed(onHost, remedy, "%s; tokens and proofs would be refused", text)
}
