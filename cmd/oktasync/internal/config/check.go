package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

const (
	// UsersScope is the scope that reading users needs.
	UsersScope = "okta.users.read"

	// maxConcurrency is the most requests in flight that Okta accepts for a
	// workforce org.
	maxConcurrency = 75
)

// Events are the events of daemon.notify.
var Events = []string{"published", "failed", "quarantined", "overdue", "damaged", "unsettled", "unreconciled", "privileged", "recovered"}

// fieldProblem is a problem with the value of a field.
type fieldProblem struct{ field, text string }

// checks collects the problems of a configuration.
type checks struct{ problems []fieldProblem }

func (k *checks) wrong(field, format string, args ...any) {
	k.problems = append(k.problems, fieldProblem{field, fmt.Sprintf(format, args...)})
}

// oneOf checks that value is one of known.
func (k *checks) oneOf(field, value string, known ...string) {
	if !slices.Contains(known, value) {
		k.wrong(field, "unknown value %s; %s", term.Quoted(value), term.Suggestion(value, known))
	}
}

// check returns the problems with the values of c.
func (c *Config) check(storeOnly bool) []fieldProblem {
	var k checks
	if !storeOnly {
		k.okta(c.Okta, c.requiredScopes())
		k.daemon(c.Daemon)
		if len(c.Exports) == 0 {
			k.wrong("exports", isEmpty)
		}
	}
	if c.Store.Path == "" {
		k.wrong("store.path", isEmpty)
	}
	if u := c.Store.TimestampURL; u != "" && !isWebAddress(u) {
		k.wrong("store.timestamp_url", "must begin with https:// or http://")
	}
	k.exports(c)
	k.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	k.oneOf("log.format", c.Log.Format, "auto", "text", "json")
	paths := c.paths()
	for _, field := range slices.Sorted(maps.Keys(paths)) {
		problem := PathProblem(*paths[field])
		if problem != "" && (!storeOnly || strings.HasPrefix(field, "store.")) {
			k.wrong(field, "%s", problem)
		}
	}
	return k.problems
}

var (
	visible    = regexp.MustCompile(`^[!-~]+$`)
	scopeToken = regexp.MustCompile(`^[!#-\[\]-~]+$`) // RFC 6749, section 3.3
)

func (k *checks) okta(o OktaConfig, required []requiredScope) {
	if problem := OrgURLProblem(o.OrgURL); problem != "" {
		k.wrong("okta.org_url", "%s", problem)
	}
	switch {
	case o.ClientID == "":
		k.wrong("okta.client_id", isEmpty)
	case !visible.MatchString(o.ClientID):
		k.wrong("okta.client_id", "contains a space, a control character or a character outside of ASCII")
	case strings.ContainsAny(o.ClientID, "{}<>"):
		k.wrong("okta.client_id", "is a placeholder; use the Client ID under the app > General")
	}
	k.scopes(o.Scopes, required)
	if o.PrivateKeyFile == "" {
		k.wrong("okta.private_key_file", isEmpty)
	}
	k.oneOf("okta.dpop.mode", o.DPoP.Mode, DPoPRequired, DPoPOff)
	if !(o.RateLimitShare > 0 && o.RateLimitShare <= 1) { // NaN too
		k.wrong("okta.rate_limit_share", "%v must be more than 0, and at most 1", o.RateLimitShare)
	}
	if o.Concurrency < 1 || o.Concurrency > maxConcurrency {
		k.wrong("okta.concurrency", "%d must be from 1 to %d", o.Concurrency, maxConcurrency)
	}
}

// ScopeProblems returns the problems with a list of scopes for users.
func ScopeProblems(scopes []string) []string {
	var k checks
	k.scopes(scopes, []requiredScope{{scope: UsersScope, resources: []string{snapshot.Users.Name}}})
	texts := make([]string, len(k.problems))
	for i, p := range k.problems {
		texts[i] = p.text
	}
	return texts
}

func (k *checks) scopes(scopes []string, required []requiredScope) {
	for i, scope := range scopes {
		field := fmt.Sprintf("okta.scopes[%d]", i)
		switch {
		case !scopeToken.MatchString(scope):
			k.wrong(field, "%s is not a scope; write each scope as an item of the list", term.Quoted(scope))
			return
		case slices.Contains(scopes[:i], scope):
			k.wrong(field, "%s is listed twice", term.Word(scope))
		}
	}
	for _, r := range required {
		if !slices.Contains(scopes, r.scope) {
			k.wrong("okta.scopes", "%s is missing; it is needed to read %s", r.scope, strings.Join(r.resources, ", "))
		}
	}
}

// requiredScope is a scope that declared resources need.
type requiredScope struct {
	scope     string
	resources []string
	optional  bool // all of them are
}

func (c *Config) requiredScopes() []requiredScope {
	var required []requiredScope
	for _, d := range c.Declared() {
		for _, scope := range d.Scopes() {
			i := slices.IndexFunc(required, func(r requiredScope) bool { return r.scope == scope })
			if i < 0 {
				i, required = len(required), append(required, requiredScope{scope: scope, optional: true})
			}
			required[i].resources = append(required[i].resources, d.Resource.Name)
			required[i].optional = required[i].optional && d.Optional
		}
	}
	return required
}

// RequiredScopes returns the scopes that the declared resources need.
func (c *Config) RequiredScopes() []string {
	var scopes []string
	for _, r := range c.requiredScopes() {
		scopes = append(scopes, r.scope)
	}
	return scopes
}

// OptionalScopes returns the scopes that only optional resources need.
func (c *Config) OptionalScopes() (scopes []string) {
	for _, r := range c.requiredScopes() {
		if r.optional {
			scopes = append(scopes, r.scope)
		}
	}
	return scopes
}

// OrgURLProblem returns the problem with the URL of an org, or "".
func OrgURLProblem(text string) string {
	if text == "" {
		return isEmpty
	}
	if strings.Contains(strings.ToLower(text), "yourokta") {
		return "is a placeholder; use your org's address, such as https://acme.okta.com"
	}
	u, err := url.Parse(text)
	if err == nil && u.Scheme == "" && !strings.HasPrefix(text, "/") {
		if u, err = url.Parse("https://" + text); err == nil {
			return fmt.Sprintf("has no https://; did you mean %s?", orgOf(u))
		}
	}
	if err != nil || u.Opaque != "" || u.Hostname() == "" {
		return "is not an address such as https://acme.okta.com"
	}
	_, console := oktaclient.OfAdminConsole(u.Hostname())
	switch {
	case u.User != nil:
		return "contains a user name or password; remove it"
	case u.Scheme != "https" && u.Scheme != "http":
		return "must begin with https://"
	case u.Scheme == "http" && !oktaclient.IsLoopback(u.Hostname()):
		return "is not encrypted; http:// works only with a loopback host"
	case console:
		return fmt.Sprintf("is the Admin Console; did you mean %s?", orgOf(u))
	case strings.TrimRight(text[len(u.Scheme):], "/") != "://"+u.Host:
		return fmt.Sprintf("has more than a host; did you mean %s?", orgOf(u))
	}
	return ""
}

// orgOf returns the address of the org that u probably means.
func orgOf(u *url.URL) string {
	if host, ok := oktaclient.OfAdminConsole(u.Hostname()); ok {
		return u.Scheme + "://" + host
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}

// NormalOrgURL returns the normal form of an org's address: in lower case, without
// a trailing slash and without the default port.
func NormalOrgURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return text
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host
}

func (k *checks) exports(c *Config) {
	named := make(map[string]int)
	for i, e := range c.Exports {
		field := fmt.Sprintf("exports[%d]", i)
		for _, problem := range fieldErrors(e.Validate()) {
			k.wrong(field+"."+problem.Field, "%s", problem.Problem)
		}
		if e.Schedule != "" {
			if _, err := scheduler.Parse(e.Schedule, e.Location()); err != nil {
				k.wrong(field+".schedule", "%v", err)
			}
		}
		if first, twice := named[e.Name]; twice && e.Name != "" {
			k.wrong(field+".name", "%s is also the name of exports[%d]", term.Word(e.Name), first)
		} else {
			named[e.Name] = i
		}
	}
}

// fieldErrors returns the errors that Validate joins.
func fieldErrors(err error) (list []*reconcile.FieldError) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			list = append(list, fieldErrors(e)...)
		}
	} else if e, ok := errors.AsType[*reconcile.FieldError](err); ok {
		list = append(list, e)
	}
	return list
}

func (k *checks) daemon(d DaemonConfig) {
	if problem := ListenProblem(d.Listen, d.WebConfigFile != ""); problem != "" {
		k.wrong("daemon.listen", "%s", problem)
	}
	if d.Verify != "" {
		if _, err := scheduler.Parse(d.Verify, time.UTC); err != nil {
			k.wrong("daemon.verify", "%v", err)
		}
	}
	if d.HeartbeatURL != "" && !isSecretAddress(d.HeartbeatURL) {
		k.wrong("daemon.heartbeat_url", secretAddress) // without the value, which is a secret
	}
	for i, n := range d.Notify {
		field := fmt.Sprintf("daemon.notify[%d]", i)
		if n.URLFile == "" {
			k.wrong(field+".url_file", isEmpty)
		}
		for j, event := range n.On {
			k.oneOf(fmt.Sprintf("%s.on[%d]", field, j), event, Events...)
		}
	}
}

// ListenProblem returns the problem with an address to listen on, or "". Only
// loopback addresses are allowed unless access is restricted.
func ListenProblem(listen string, restricted bool) string {
	if listen == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Sprintf("%s is not a host and port such as 127.0.0.1:9467", term.Quoted(listen))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Sprintf("%s is not a port; use a number up to 65535", term.Quoted(port))
	} else if n == 0 && host == "" {
		return "has neither a host nor a port"
	}
	if !restricted && !oktaclient.IsLoopback(host) {
		return fmt.Sprintf("%s is reachable from other machines; set daemon.web_config_file to a file with TLS and users, or use 127.0.0.1:%s", term.Quoted(listen), port)
	}
	return ""
}

func isWebAddress(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

// secretAddress is the rule for an address that is a secret.
const secretAddress = "must begin with https://; http:// works only with a loopback host"

func isSecretAddress(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && oktaclient.IsLoopback(u.Hostname()))
}

// Warnings returns what is valid in c, but probably a mistake.
func (c *Config) Warnings() (all []string) {
	for _, e := range c.Exports {
		every := Interval(e, time.Now())
		if e.Factors != nil && len(e.Resources()) > 2 && every > 0 && every <= 24*time.Hour {
			all = append(all, fmt.Sprintf("export %s reads factors with one request per user, at each start of its schedule: declare users and factors in an export of their own, such as once a week", e.Name))
		}
	}
	return all
}

// Interval returns the shortest time between the next scheduled starts of an export,
// or 0 if it has no schedule.
func Interval(e reconcile.Export, now time.Time) (shortest time.Duration) {
	const starts = 10
	schedule, err := scheduler.Parse(e.Schedule, e.Location())
	if e.Schedule == "" || err != nil {
		return 0
	}
	last := schedule.Next(now)
	for range starts {
		next := schedule.Next(last)
		if gap := next.Sub(last); shortest == 0 || gap < shortest {
			shortest = gap
		}
		last = next
	}
	return shortest
}
