package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
)

// orgMetadata is what an org says of itself to everybody.
type orgMetadata struct {
	ID    string `json:"id"`
	Links struct {
		Organization link `json:"organization"`
		Alternate    link `json:"alternate"` // a domain of the customer's own, where there is one
	} `json:"_links"`
}

type link struct {
	Href string `json:"href"`
}

// checkOrg sees whether an Okta org answers, and the one that the address names.
func checkOrg(ctx context.Context, x *checker) Finding {
	m, url := x.probe(ctx), x.cfg.Okta.OrgURL
	const remedy = "set okta.org_url to the org's own address, such as https://acme.okta.com"
	switch {
	case m.resp == nil || m.err != nil:
		return failed(onHost, "see what breaks connections to the org: a firewall, or a proxy", "the connection broke before the answer was there")
	case m.blocked():
		return skipped("all that is answered is 403, see network_zone")
	case m.resp.StatusCode/100 == 3:
		to := "elsewhere"
		if at, err := m.resp.Location(); err == nil {
			to = "to " + clean(at.Scheme+"://"+at.Host)
		}
		return failed(inConfig, remedy, "%s leads %s", url, to)
	case m.resp.StatusCode >= http.StatusInternalServerError:
		return failed("", oktaTrouble, "the org answers with status %d", m.resp.StatusCode)
	}
	var org orgMetadata
	if m.resp.StatusCode != http.StatusOK || json.Unmarshal(m.body, &org) != nil || org.ID == "" {
		if m.resp.Header.Get("X-Okta-Request-Id") != "" { // every answer of Okta's own has it
			return ok("%s answers as Okta does, and does not say which org it is", url)
		}
		return failed(inConfig, remedy, "what answers at %s is no Okta org (status %d at %s)", url, m.resp.StatusCode, probePath)
	}
	own, other := config.NormalOrgURL(org.Links.Organization.Href), config.NormalOrgURL(org.Links.Alternate.Href)
	if own != "" && own != url && other != url {
		return failed(inConfig, "set okta.org_url to "+clean(own), "the org's address is %s, and %s only leads there", clean(own), url)
	}
	return ok("%s is org %s", url, clean(org.ID))
}

// oktaTrouble is Okta's own, with nothing to be done anywhere.
const oktaTrouble = "wait; status.okta.com says more. Then run doctor again"

// blocked reports whether the org has nothing but 403 for this address, as for
// one in a blocked network zone, before it looks at what is asked.
func (m *probe) blocked() bool { return m.resp.StatusCode == http.StatusForbidden }

// checkTokenEndpoint asks for a token. What is about the app the checks after it
// tell.
func checkTokenEndpoint(ctx context.Context, x *checker) Finding {
	if x.probe(ctx).blocked() {
		return skipped("all that is answered is 403, see network_zone")
	}
	a := x.requestToken(ctx)
	if a.cause != causeEndpoint {
		return ok("%s answers", org.TokenPath)
	}
	if e := a.oauth(); e == nil || e.Status == 0 && e.Hint() == "" || e.Status != 0 && e.Retryable() {
		return failed("", oktaTrouble, "%v", a.err)
	}
	return failed(onHost, cmp.Or(x.Hint(a.err), "see what stands between this machine and the org: it changes requests, or answers in the org's place"), "%v", a.err)
}

// checkNetworkZone sees whether this address is let in: at all, at the token
// endpoint, and at the API. Okta limits an app to zones at both (help.okta.com,
// Network restrictions for OAuth token endpoint).
func checkNetworkZone(ctx context.Context, x *checker) Finding {
	var seen string
	switch m := x.probe(ctx); {
	case m.blocked():
		seen = "all that the org answers to this address is 403"
	case x.requestToken(ctx).cause == causeZone:
		seen = "there is no token for this address: " + x.requestToken(ctx).err.Error()
	case x.requestToken(ctx).cause == "" && x.firstPage(ctx).cause == causeZone:
		seen = "there is a token, but the API refuses this address: " + x.firstPage(ctx).answer()
	default:
		return ok("this address is let in")
	}
	return failed(inOkta, "Reports > System Log shows the address that was denied. Add it to the network zone that the app is limited to (the app > General > Network), or take it out of the blocked zone (Security > Networks)",
		"%s; %s", seen, Origin(x.cfg.Okta.OrgURL))
}

// Origin says where the requests of this machine come from, as far as it knows.
func Origin(orgURL string) string {
	req, err := http.NewRequest(http.MethodGet, orgURL, nil)
	if err == nil {
		if proxy, err := http.ProxyFromEnvironment(req); err == nil && proxy != nil {
			return "requests come from the outward address of the proxy " + proxy.Hostname()
		}
	}
	// To connect a datagram socket sends nothing; it chooses the address that
	// would be sent from. The other end's is of no one (RFC 5737).
	conn, err := net.Dial("udp", "192.0.2.1:443")
	if err != nil {
		return "requests come from the outward address of this machine's network"
	}
	defer conn.Close()
	ip := conn.LocalAddr().(*net.UDPAddr).IP
	if ip.IsPrivate() || ip.IsLoopback() {
		return fmt.Sprintf("requests come from %s, and outside from what the network makes of it", ip)
	}
	return fmt.Sprintf("requests come from %s", ip)
}
