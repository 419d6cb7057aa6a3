package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
)

// orgMetadata is the public metadata of an org.
type orgMetadata struct {
	ID    string `json:"id"`
	Links struct {
		Organization link `json:"organization"`
		Alternate    link `json:"alternate"` // a custom domain, if there is one
	} `json:"_links"`
}

type link struct {
	Href string `json:"href"`
}

// checkOrg checks that an Okta org answers, at its own address.
func checkOrg(ctx context.Context, x *checker) Finding {
	m, url := x.probe(ctx), x.cfg.Okta.OrgURL
	const remedy = "set okta.org_url to the org's own address, such as https://acme.okta.com"
	switch {
	case m.step == "org":
		return failed(org.OnHost, "find out what closes connections to the org: a firewall, or a proxy", "the connection was closed before the response was complete")
	case m.blocked():
		return skipped("the org answers with 403, see network_zone")
	case m.resp.StatusCode/100 == 3:
		to := "elsewhere"
		if at, err := m.resp.Location(); err == nil {
			to = "to " + clean(at.Scheme+"://"+at.Host)
		}
		return failed(org.InConfig, remedy, "%s redirects %s", url, to)
	case m.resp.StatusCode >= http.StatusInternalServerError:
		return failed(org.Wait.Where, org.Wait.Action, "the org answers with status %d", m.resp.StatusCode)
	}
	var meta orgMetadata
	if m.resp.StatusCode != http.StatusOK || json.Unmarshal(m.body, &meta) != nil || meta.ID == "" {
		if m.resp.Header.Get("X-Okta-Request-Id") != "" { // every response of Okta has it
			return ok("%s is an Okta org, but doesn't return its id", url)
		}
		return failed(org.InConfig, remedy, "%s is not an Okta org (status %d at %s)", url, m.resp.StatusCode, probePath)
	}
	own, alias := config.NormalOrgURL(meta.Links.Organization.Href), config.NormalOrgURL(meta.Links.Alternate.Href)
	if own != "" && own != url && alias != url {
		return failed(org.InConfig, "set okta.org_url to "+clean(own), "the org's address is %s; %s is only an alias", clean(own), url)
	}
	return ok("%s is org %s", url, clean(meta.ID))
}

// blocked reports whether the org answers every request from this address with
// 403, as for an address in a blocked network zone.
func (m *probe) blocked() bool { return m.resp.StatusCode == http.StatusForbidden }

// checkTokenEndpoint requests a token. Later checks report the failures that
// concern the app.
func checkTokenEndpoint(ctx context.Context, x *checker) Finding {
	if x.probe(ctx).blocked() {
		return skipped("the org answers with 403, see network_zone")
	}
	t := x.requestToken(ctx)
	if t.cause != causeEndpoint {
		return ok("%s answers", org.TokenPath)
	}
	if e := t.oauth(); e == nil || e.Status == 0 && e.Hint() == "" || e.Status != 0 && e.Retryable() {
		return failed(org.Wait.Where, org.Wait.Action, "%v", t.err)
	} else if hint := e.Hint(); hint != "" {
		return failed(org.OnHost, hint, "%v", t.err)
	}
	return failedWith(t.err, otherResponder, "%v", t.err)
}

// checkNetworkZone checks that this IP address is accepted by the org, the token
// endpoint and the API. Okta limits an app to zones at both endpoints
// (help.okta.com, Network restrictions for OAuth token endpoint).
func checkNetworkZone(ctx context.Context, x *checker) Finding {
	var seen string
	if x.probe(ctx).blocked() {
		seen = "the org answers every request from this address with 403"
	} else if t := x.requestToken(ctx); t.cause == causeZone {
		seen = "the token endpoint rejects this address: " + t.err.Error()
	} else if p := x.failedPage(ctx, causeZone); p != nil {
		seen = "the API rejects this address: " + p.err.Error()
	} else {
		return ok("this address is accepted")
	}
	return failed(org.InOkta, org.ChangeZone, "%s; %s", seen, Origin(x.cfg.Okta.OrgURL))
}

// Origin describes the IP address from which this machine's requests come, as far
// as the machine can determine it.
func Origin(orgURL string) string {
	req, err := http.NewRequest(http.MethodGet, orgURL, nil)
	if err == nil {
		if proxy, err := http.ProxyFromEnvironment(req); err == nil && proxy != nil {
			return "requests come from the public address of the proxy " + proxy.Hostname()
		}
	}
	// Connecting a datagram socket sends nothing, but selects the local address.
	// The remote address is reserved for documentation (RFC 5737).
	conn, err := net.Dial("udp", "192.0.2.1:443")
	if err != nil {
		return "requests come from the public address of this machine's network"
	}
	defer conn.Close()
	ip := conn.LocalAddr().(*net.UDPAddr).IP
	if ip.IsPrivate() || ip.IsLoopback() {
		return fmt.Sprintf("requests come from %s, which the network translates to a public address", ip)
	}
	return fmt.Sprintf("requests come from %s", ip)
}
