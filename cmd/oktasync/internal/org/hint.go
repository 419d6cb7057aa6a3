package org

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"syscall"

	"oktasync/oktaclient"
)

// Hint returns what a person can do about an error of the client, or "" if the
// message is enough, or if only Okta can help. A hint of dpopauth comes first:
// callers check for that.
func Hint(err error) string {
	e, ok := errors.AsType[*oktaclient.Error](err)
	if !ok {
		return ""
	}
	if e.Err != nil {
		return hintForCause(e)
	}
	if hint, known := hints[e.Code]; known {
		return hint
	}
	switch {
	case e.Status/100 == 3:
		return "the org URL redirects; set okta.org_url to the address that Okta itself uses, such as https://acme.okta.com"
	case e.Status == http.StatusUnauthorized:
		return "Okta rejects the access token; check that okta.client_id and okta.org_url belong to the same org"
	case e.Status == http.StatusNotFound && e.Page > 0:
		return "this address has no list of users; check okta.org_url: it must be the org's own address, without -admin"
	case e.Status == http.StatusTooManyRequests:
		return "other clients use up the org's rate limit; read at another hour, or raise the app's share of the limit in Okta"
	case e.Status/100 == 5:
		return "Okta has a failure; see status.okta.com, and read again later"
	}
	return ""
}

// hints maps error codes of Okta's API and of OAuth to remedies. Okta documents
// the codes; its summaries may change, the codes don't.
// See https://developer.okta.com/docs/reference/error-codes/.
var hints = map[string]string{
	"E0000005":                "Okta saw no valid credentials; a proxy may have removed the Authorization header, or okta.org_url is another org's",
	"E0000006":                "the scope is granted but the app has no admin role; assign one that can view users, such as Read-Only Administrator",
	"insufficient_scope":      "the token lacks the scope; grant okta.users.read to the app under Okta API Scopes, and request it in okta.scopes",
	"E0000031":                "Okta can't parse the search expression; attribute names are case-sensitive, and ne, not and ew don't exist",
	"E0000029":                "Okta no longer accepts the list's cursor; read again",
	"E0000256":                "the search expression is too long for Okta's Link headers; keep it under 2 kB",
	"E0000145":                "a user's data no longer fits the profile schema; correct the user who was last updated then; Okta's support can find the user by the request id",
	"E0000015":                "the org's license doesn't include this resource",
	"invalid_dpop_proof":      "Okta rejects the DPoP proof; check this machine's clock, and that no proxy rewrites the URL",
	"use_dpop_nonce":          "Okta requests a DPoP nonce again and again; check that no proxy removes the DPoP-Nonce header",
	"invalid_token":           "Okta rejects the access token; check that okta.client_id and okta.org_url belong to the same org",
	"invalid_request":         "the app requires DPoP, and the request had none; set okta.dpop.mode to required",
	"E0000008":                "Okta has no such path; check it, and that okta.org_url is the org's own address, without -admin",
	"E0000022":                "the path doesn't accept GET",
	"E0000007":                "", // the message is enough
	"temporarily_unavailable": "Okta is overloaded or in maintenance; see status.okta.com, and read again later",
}

// classHints maps classes of oktaclient.Error to remedies.
var classHints = map[string]string{
	"timeout":       "no response came in time; check the network, HTTPS_PROXY and the firewall, and see status.okta.com",
	"wrong Date":    "set this machine's clock if it is wrong (timedatectl set-ntp true); otherwise find out what changes the Date of responses on their way",
	"no header":     "the response's header is malformed or far too long; check what a proxy adds to it, see status.okta.com, and read again later",
	"not JSON":      "the response is not from Okta's API; check okta.org_url and any proxy",
	"broken JSON":   "the response was cut short or changed on its way; check any proxy, see status.okta.com, and read again later",
	"broken Link":   "the links between the pages are not Okta's own; check that okta.org_url is the address that Okta itself uses, and any proxy",
	"no connection": "no connection to Okta; check the network, HTTPS_PROXY and the firewall",
}

func hintForCause(e *oktaclient.Error) string {
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		host        x509.HostnameError
		record      tls.RecordHeaderError
		name        *net.DNSError
	)
	switch {
	case errors.As(e, &authority):
		return "this machine doesn't trust the authority that signed the server's certificate; if a company proxy inspects TLS, set okta.ca_file to its CA certificate"
	case errors.As(e, &host):
		return "the server's certificate is for another host; check okta.org_url, and which server responds in place of Okta"
	case errors.As(e, &certificate):
		return "the server's certificate is not valid; check this machine's clock, and which server responds in place of Okta"
	case errors.As(e, &record), errors.Is(e, http.ErrSchemeMismatch):
		return "the server doesn't use TLS; check the port in okta.org_url, and HTTPS_PROXY"
	case errors.As(e, &name):
		return "the host name has no address; check okta.org_url for a typing error, and this machine's DNS"
	case errors.Is(e, syscall.ECONNREFUSED):
		return "the server accepts no connection on that port; check okta.org_url, HTTPS_PROXY and the firewall"
	}
	return classHints[e.Class()]
}
