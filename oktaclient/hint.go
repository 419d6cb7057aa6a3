package oktaclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"syscall"
)

// Hint says in a sentence what a person can do about e; "" where only Okta or
// time can help, or the message says it all.
func (e *Error) Hint() string {
	if e.Err != nil {
		return hintCause(e.Err)
	}
	if hint, known := hints[e.Code]; known {
		return hint
	}
	switch {
	case e.Status/100 == 3:
		return "the org URL redirects; use the address that Okta itself answers at, such as https://acme.okta.com"
	case e.Status == http.StatusUnauthorized:
		return "Okta does not accept the access token; check that client and org URL belong to the same org"
	case e.Status == http.StatusNotFound && e.Page > 0:
		return "nothing answers for users there; check the org URL: it is the org's own, without -admin"
	case e.Status == http.StatusTooManyRequests:
		return "others use up the org's rate limit; read at another hour, or raise the app's share of the limit in Okta"
	case e.Status/100 == 5:
		return "Okta has trouble answering; see status.okta.com, and read again later"
	}
	return ""
}

// hints by Okta's error code or the OAuth one. The codes are Okta's API
// documentation's; summaries may change, codes may not.
var hints = map[string]string{
	"E0000005":                "Okta saw no valid credentials; a proxy may have removed the Authorization header, or the org URL is another org's",
	"E0000006":                "the scope is granted but the app has no admin role; give it one that may view users, such as Read-Only Administrator",
	"insufficient_scope":      "the token lacks the scope; grant okta.users.read to the app under Okta API Scopes, and ask for it in scopes",
	"E0000031":                "Okta can't read the search expression; names of attributes are case-sensitive, and there is no ne, not or ew",
	"E0000029":                "Okta no longer takes the list's cursor; read again",
	"E0000256":                "the search expression is too long for Okta's Link headers; keep it under 2 kB",
	"E0000145":                "the data of a user no longer fit the profile schema; whoever was last updated then is the one to mend, and the request id leads Okta's support there",
	"E0000015":                "the org's licence does not include what was asked for",
	"invalid_dpop_proof":      "Okta refuses the DPoP proof; check this machine's clock, and that no proxy rewrites the URL",
	"use_dpop_nonce":          "Okta asks for a DPoP nonce again and again; check that no proxy removes the DPoP-Nonce header",
	"invalid_token":           "Okta does not accept the access token; check that client and org URL belong to the same org",
	"invalid_request":         "the app demands DPoP and the token came without; set dpop mode to required",
	"E0000008":                "Okta knows no such path; check it, and that the org URL is the org's own, without -admin",
	"E0000022":                "the path does not take GET",
	"E0000007":                "", // not found says it
	"temporarily_unavailable": "Okta is overloaded or in maintenance; see status.okta.com, and read again later",
}

func hintCause(err error) string {
	var (
		knows    interface{ Hint() string }
		name     *net.DNSError
		rejected *rejection
	)
	if errors.As(err, &knows) && knows.Hint() != "" {
		return knows.Hint()
	}
	if hint := hintTLS(err); hint != "" {
		return hint
	}
	switch {
	case errors.As(err, &name):
		return "no address is known by that name; check okta.org_url for a slip, and this machine's name service"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at that address; check okta.org_url, HTTPS_PROXY and the firewall"
	case timedOut(err):
		return "no answer came in time; check the network, HTTPS_PROXY and the firewall, and see status.okta.com"
	case errors.As(err, &rejected) && rejected.class == misdated:
		return "set this machine's clock if it is wrong (timedatectl set-ntp true); else see what changes the Date of answers on their way"
	case errors.As(err, &rejected) && rejected.class == headless:
		return "the answer's header is malformed or far too long; see what the proxy between adds to it, and status.okta.com, and read again later"
	case errors.As(err, &rejected) && rejected.class == "not JSON":
		return "something else than Okta's API answers; check the org URL and the proxy between"
	case errors.As(err, &rejected) && rejected.class == "broken JSON":
		return "the answer broke off or was changed on its way; check the proxy between, see status.okta.com, and read again later"
	case errors.As(err, &rejected) && rejected.class == "broken Link":
		return "the links between the pages are not Okta's own; check that the org URL is the address that Okta itself answers at, and the proxy between"
	case errors.As(err, &rejected) && rejected.class == "no connection":
		return "no connection to Okta; check the network, HTTPS_PROXY and the firewall"
	}
	return ""
}

func hintTLS(err error) string {
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		host        x509.HostnameError
		record      tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &authority):
		return "this machine does not know the authority that signed the server's certificate; if a company proxy inspects TLS, name its CA in okta.ca_file"
	case errors.As(err, &host):
		return "the server's certificate is another host's; check okta.org_url, and what answers in Okta's place"
	case errors.As(err, &certificate):
		return "the server's certificate is not valid; check this machine's clock, and what answers in Okta's place"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "the server does not speak TLS; check the port in okta.org_url, and HTTPS_PROXY"
	}
	return ""
}

func timedOut(err error) bool {
	var network net.Error
	return errors.Is(err, errStalled) || errors.Is(err, errSlow) || errors.As(err, &network) && network.Timeout()
}
