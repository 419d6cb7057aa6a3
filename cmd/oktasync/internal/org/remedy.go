package org

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth"
	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// The places where a remedy is applied.
const (
	InConfig = "config"
	InOkta   = "okta"
	OnHost   = "host"
)

// A Remedy is what a person can do about an error.
type Remedy struct {
	Where  string // a place; "" if only waiting helps
	Cause  string // what is wrong, a clause
	Action string // what to do; "" if there is nothing to do
}

// Wait is the remedy for a failure of Okta.
var Wait = Remedy{"", "Okta has a failure", "wait, and try again; status.okta.com shows Okta's state"}

// The actions that several remedies and checks have in common.
const (
	AssignRole   = "assign Read-only Administrator to the app, not limited to groups (the app > Admin roles)"
	ChangeZone   = "find the denied IP address under Reports > System Log; add it to the network zone of the app (the app > General > Network), or remove it from the blocked zone (Security > Networks)"
	ChangeLimit  = "read at another hour, or raise the app's share of the limit (Reports > Rate limits)"
	setOrgURL    = "set okta.org_url to the org's own address, such as https://acme.okta.com, without -admin"
	checkNetwork = "check the network, HTTPS_PROXY and the firewall"
	checkProxy   = "check whether a proxy changes responses"
)

// remedies maps the error codes of Okta's API and of OAuth to remedies. Okta
// documents the codes; its summaries may change, the codes don't.
// See https://developer.okta.com/docs/reference/error-codes/.
var remedies = map[string]Remedy{
	"E0000005":                {OnHost, "Okta received no valid credentials", "check that no proxy removes the Authorization header, and that okta.org_url is the app's org"},
	"E0000006":                {InOkta, "the scope is granted, but the app has no admin role", AssignRole},
	"E0000007":                {}, // the message is enough
	"E0000008":                {InConfig, "Okta has no such path", "check the path, and that okta.org_url is the org's own address, without -admin"},
	"E0000015":                {InOkta, "the org's license doesn't include this resource", "don't declare the resource"},
	"E0000022":                {InConfig, "the path doesn't accept GET", "use another path"},
	"E0000029":                {"", "Okta no longer accepts the cursor of the list", "read again"},
	"E0000031":                {InConfig, "Okta can't parse the search expression", "correct it: attribute names are case-sensitive, and Okta's search has no operators `ne`, `not` and `ew`"},
	"E0000047":                {InOkta, "other clients use up the org's rate limit", ChangeLimit},
	"E0000145":                {InOkta, "a user's data no longer fits the profile schema", "correct the user in Okta; Okta's support can find the user by the request id"},
	"E0000256":                {InConfig, "the search expression is too long for Okta's Link headers", "keep it under 2 kB"},
	"access_denied":           {InOkta, "Okta rejects this IP address", ChangeZone},
	"insufficient_scope":      {InOkta, "the token lacks the scope", "grant it to the app under Okta API Scopes, and request it in okta.scopes"},
	"invalid_dpop_proof":      {OnHost, "Okta rejects the DPoP proof", "check this machine's clock, and that no proxy changes the URL or removes headers"},
	"invalid_request":         {InConfig, "the app requires DPoP, and the request had no DPoP proof", "set okta.dpop.mode to required"},
	"invalid_token":           {InConfig, "Okta rejects the access token", "check that okta.client_id and okta.org_url belong to the same org"},
	"temporarily_unavailable": Wait,
	"unauthorized_client":     {InOkta, "the app is not a service app", "create an app of the type API Services, with Public key / Private key as client authentication"},
	"use_dpop_nonce":          {OnHost, "Okta repeatedly requests another DPoP nonce", "check that no proxy removes the DPoP-Nonce header"},
}

// classRemedies maps classes of oktaclient.Error to remedies.
var classRemedies = map[string]Remedy{
	"timeout":       {OnHost, "no response came in time", checkNetwork + ", and see status.okta.com"},
	"wrong Date":    {OnHost, "the response has an impossible Date", "set this machine's clock if it is wrong (timedatectl set-ntp true); otherwise " + checkProxy},
	"no header":     {OnHost, "the response's header is malformed or too long", checkProxy + ", see status.okta.com, and read again later"},
	"not JSON":      {OnHost, "the response is not from Okta's API", "check okta.org_url, and whether a proxy changes responses"},
	"broken JSON":   {OnHost, "the response was cut short or changed on its way", checkProxy + ", see status.okta.com, and read again later"},
	"broken Link":   {OnHost, "the links between the pages are not Okta's own", "check okta.org_url, and whether a proxy changes responses"},
	"no connection": {OnHost, "there is no connection to Okta", checkNetwork},
}

// Hint returns the remedy for an error of the client or of the token request in
// one sentence, or "" if there is none. A hint of dpopauth is more specific.
func Hint(err error) string {
	r := RemedyFor(err)
	if r.Cause == "" {
		return ""
	}
	return r.Cause + "; " + r.Action
}

// RemedyFor returns the remedy for an error of the client or of a token request.
// It is empty if there is none.
func RemedyFor(err error) Remedy {
	status, code := Response(err)
	token, fromToken := errors.AsType[*dpopauth.Error](err)
	client, fromClient := errors.AsType[*oktaclient.Error](err)
	if !fromToken && !fromClient {
		return Remedy{}
	}
	atTokenEndpoint := fromToken && token.Op == "get token" // there, invalid_request has other causes
	if r, known := remedies[code]; known && !(atTokenEndpoint && code == "invalid_request") {
		return r
	}
	if r := networkRemedy(err); r.Cause != "" {
		return r
	}
	if fromClient && client.Err != nil {
		return classRemedies[client.Class()]
	}
	return statusRemedy(status, code)
}

// Response returns the status and the error code of the response that caused err,
// if there was one.
func Response(err error) (status int, code string) {
	if e, ok := errors.AsType[*dpopauth.Error](err); ok {
		return e.Status, e.Code
	}
	if e, ok := errors.AsType[*oktaclient.Error](err); ok {
		return e.Status, e.Code
	}
	return 0, ""
}

// statusRemedy returns the remedy for a status with an unknown code, or with none,
// as in the response of a proxy.
func statusRemedy(status int, code string) Remedy {
	switch {
	case status/100 == 3:
		return Remedy{InConfig, "the org URL redirects", setOrgURL}
	case status == http.StatusUnauthorized:
		return remedies["invalid_token"]
	case status == http.StatusForbidden && code == "":
		return remedies["access_denied"]
	case status == http.StatusNotFound && code == "":
		return Remedy{InConfig, "this address has no Okta API", setOrgURL}
	case status == http.StatusTooManyRequests:
		return remedies["E0000047"]
	case status/100 == 5:
		return Wait
	}
	return Remedy{}
}

// explain returns err with a hint if a scope, a role or a license is missing. The hint
// names the resource, and the scope and the role that reading it needs. declared is
// what the token is for. If other resources may still be readable, the error is a
// *reconcile.UnavailableError.
func explain(err error, resource string, declared []reconcile.Declared) error {
	if err == nil {
		return nil
	}
	status, code := Response(err)
	needed := func(need func(reconcile.Declared) bool) []reconcile.Declared {
		return slices.DeleteFunc(slices.Clone(declared), func(d reconcile.Declared) bool { return !need(d) })
	}
	these := needed(func(d reconcile.Declared) bool { return d.Resource.Name == resource })
	partly, isPartly := errors.AsType[*dpopauth.ScopeError](err)
	if isPartly {
		these = needed(func(d reconcile.Declared) bool {
			return slices.ContainsFunc(d.Scopes(), func(s string) bool { return slices.Contains(partly.Missing, s) })
		})
	}
	switch {
	case len(these) == 0:
		return err
	case isPartly, code == "consent_required", code == "invalid_scope":
		return config.WithHint(err, grantScope(these))
	}
	reason, hint := missing(err, these[0])
	if reason == "" {
		return err
	}
	return &reconcile.UnavailableError{Resource: resource, Reason: fmt.Sprintf("%s (%d %s)", reason, status, code), Err: config.WithHint(err, hint)}
}

// missing returns why the app can't read a resource, and what to do, if err shows that a
// scope, a role, a license or a feature is missing. Otherwise, it returns "".
func missing(err error, d reconcile.Declared) (reason, hint string) {
	status, code := Response(err)
	name, these := d.Resource.Name, []reconcile.Declared{d}
	client, _ := errors.AsType[*oktaclient.Error](err)
	switch {
	case code == "insufficient_scope":
		if scopes := d.Scopes(); len(scopes) > 1 {
			return "one of the scopes " + term.List(scopes) + " is not granted", grantScope(these)
		}
		return "the scope " + d.Scope + " is not granted", grantScope(these)
	case code == "E0000006":
		assign := "assign the role to the app, not limited to groups (the app > Admin roles)"
		if d.Permission != "" {
			assign = AssignRoles(these)
		}
		return "the app has no admin role for it", Needs(these) + ": " + assign
	case code == "E0000015":
		return "the org has no license for it", "the org has no license for " + name + ": remove the resource from the export"
	case status == http.StatusBadRequest && client != nil && client.Page == 1 && d.Narrowing == nil:
		return "its feature may be off in the org", "the feature for " + name + " may be off in the org: turn it on, or remove the resource from the export"
	}
	return "", ""
}

func grantScope(these []reconcile.Declared) string {
	return Needs(these) + ": grant the " + scopeNoun(reconcile.ScopesOf(these)) + " to the app (the app > Okta API Scopes)"
}

// AssignRoles returns the actions that give the app the roles that reading these resources
// needs.
func AssignRoles(these []reconcile.Declared) string {
	var actions, permissions, resources []string
	for _, d := range these {
		switch {
		case d.Permission == "":
			actions = []string{AssignRole}
			continue
		case d.Resource == snapshot.RoleAssignments:
			resources = append(resources, "all Identity and Access Management resources")
		default:
			resources = append(resources, "all users")
		}
		permissions = append(permissions, d.Permission)
	}
	if len(permissions) > 0 {
		noun := "permission"
		if len(permissions) > 1 {
			noun = "permissions"
		}
		actions = append(actions, fmt.Sprintf("create a custom role with the %s %s, and a resource set of %s (Security > Administrators), and assign both to the app (the app > Admin roles)",
			noun, term.List(permissions), term.List(resources)))
	}
	return strings.Join(actions, "; ")
}

// Needs returns a clause with the scopes and the smallest admin roles that reading
// these resources needs.
func Needs(these []reconcile.Declared) string {
	var names, roles []string
	for _, d := range these {
		role := "the admin role " + d.Role
		if d.Permission != "" {
			role = d.Role
		}
		names, roles = append(names, d.Resource.Name), append(roles, role)
	}
	scopes := reconcile.ScopesOf(these)
	return fmt.Sprintf("reading %s needs the %s %s and %s", term.List(names), scopeNoun(scopes), term.List(scopes), term.List(slices.Compact(roles)))
}

func scopeNoun(scopes []string) string {
	if len(scopes) == 1 {
		return "scope"
	}
	return "scopes"
}

// networkRemedy returns the remedy for an error of TLS, DNS or TCP.
func networkRemedy(err error) Remedy {
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		host        x509.HostnameError
		record      tls.RecordHeaderError
		name        *net.DNSError
	)
	switch {
	case errors.As(err, &authority):
		return Remedy{InConfig, "this machine has no CA certificate for the server's certificate", "if a company proxy inspects TLS, set okta.ca_file to its CA certificate, or exempt the org from inspection; otherwise, don't continue"}
	case errors.As(err, &host):
		return Remedy{InConfig, "the server's certificate is for another host", "check okta.org_url, and which server responds in place of Okta"}
	case errors.As(err, &certificate):
		return Remedy{OnHost, "the server's certificate is not valid", "check this machine's clock, and which server responds in place of Okta"}
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return Remedy{InConfig, "the server doesn't use TLS", "check the port in okta.org_url, and HTTPS_PROXY"}
	case errors.As(err, &name):
		return Remedy{InConfig, "the host name has no address", "check okta.org_url for a typing error, and this machine's DNS"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return Remedy{OnHost, "the server accepts no connection on that port", "check okta.org_url, HTTPS_PROXY and the firewall"}
	}
	return Remedy{}
}
