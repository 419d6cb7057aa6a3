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
	UsersScope   = "okta.users.read"
	DPoPRequired = "required"
	DPoPOff      = "off"

	isEmpty = "is empty"

	// maxConcurrency is what Okta takes of a workforce org; more only costs memory.
	maxConcurrency = 75
)

// Events is what daemon.notify can tell of.
var Events = []string{"published", "failed", "quarantined", "overdue", "recovered"}

// fieldProblem is what is wrong with the value of a field.
type fieldProblem struct{ field, text string }

// checks collects what is wrong with a configuration.
type checks struct{ problems []fieldProblem }

func (c *checks) wrong(field, format string, args ...any) {
	c.problems = append(c.problems, fieldProblem{field, fmt.Sprintf(format, args...)})
}

// oneOf checks that value is one of known.
func (c *checks) oneOf(field, value string, known ...string) {
	if !slices.Contains(known, value) {
		c.wrong(field, "unknown value %s; %s", term.Quoted(value), term.Suggestion(value, known))
	}
}

// check returns everything that is wrong with the values of c.
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
		k.wrong("okta.client_id", "holds a space or another character that no client ID has")
	case strings.ContainsAny(o.ClientID, "{}<>"):
		k.wrong("okta.client_id", "holds a placeholder; use the Client ID that stands at the app > General")
	}
	k.scopes(o.Scopes, required)
	if o.PrivateKeyFile == "" {
		k.wrong("okta.private_key_file", isEmpty)
	}
	k.oneOf("okta.dpop.mode", o.DPoP.Mode, DPoPRequired, DPoPOff)
	if !(o.RateLimitShare > 0 && o.RateLimitShare <= 1) { // NaN too
		k.wrong("okta.rate_limit_share", "%v is not more than 0 and up to 1", o.RateLimitShare)
	}
	switch {
	case o.Concurrency < 1:
		k.wrong("okta.concurrency", "%d is less than 1", o.Concurrency)
	case o.Concurrency > maxConcurrency:
		k.wrong("okta.concurrency", "%d is more than %d, which is all that Okta takes at once of a whole org", o.Concurrency, maxConcurrency)
	}
}

// ScopeProblems returns what is wrong with a list of scopes.
func ScopeProblems(scopes []string) []string {
	var k checks
	k.scopes(scopes, []requiredScope{{UsersScope, snapshot.Users.Name}})
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
			k.wrong(field, "%s is no scope; each is an item of the list", term.Quoted(scope))
			return
		case slices.Contains(scopes[:i], scope):
			k.wrong(field, "%s is listed twice", term.Word(scope))
		}
	}
	for _, r := range required {
		if !slices.Contains(scopes, r.scope) {
			k.wrong("okta.scopes", "%s is missing; it is needed to read %s", r.scope, r.resource)
		}
	}
}

// requiredScope is a scope that a declared resource needs.
type requiredScope struct{ scope, resource string }

func (c *Config) requiredScopes() []requiredScope {
	var required []requiredScope
	for _, export := range c.Exports {
		for _, d := range export.Resources() {
			r := requiredScope{d.Scope, d.Resource.Name}
			if !slices.Contains(required, r) {
				required = append(required, r)
			}
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

func OrgURLProblem(text string) string {
	if text == "" {
		return isEmpty
	}
	if strings.Contains(strings.ToLower(text), "yourokta") {
		return "holds a placeholder; use your org's address, such as https://acme.okta.com"
	}
	u, err := url.Parse(text)
	if err == nil && u.Scheme == "" && !strings.HasPrefix(text, "/") {
		if u, err = url.Parse("https://" + text); err == nil {
			return fmt.Sprintf("has no https://; did you mean %s?", orgOf(u))
		}
	}
	if err != nil || u.Opaque != "" || u.Hostname() == "" {
		return "is no address; one looks like https://acme.okta.com"
	}
	_, console := oktaclient.OfAdminConsole(u.Hostname())
	switch {
	case u.User != nil:
		return "holds a user name or password; an org's address has neither"
	case u.Scheme != "https" && u.Scheme != "http":
		return "begins with neither https:// nor, on this machine, http://"
	case u.Scheme == "http" && !oktaclient.IsLoopback(u.Hostname()):
		return "is not encrypted; plain http is only for this machine's own addresses"
	case console:
		return fmt.Sprintf("is the admin console; did you mean %s?", orgOf(u))
	case strings.TrimRight(text[len(u.Scheme):], "/") != "://"+u.Host:
		return fmt.Sprintf("has more than the org's address; did you mean %s?", orgOf(u))
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

// NormalOrgURL returns the one form of an org's address: small letters, no
// trailing slash, no port that goes without saying.
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
			k.wrong(field+".name", "%s is the name of exports[%d] too", term.Word(e.Name), first)
		} else {
			named[e.Name] = i
		}
	}
}

// fieldErrors returns the leaves of what Validate joins.
func fieldErrors(err error) []*reconcile.FieldError {
	var fe *reconcile.FieldError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*reconcile.FieldError
		for _, e := range joined.Unwrap() {
			all = append(all, fieldErrors(e)...)
		}
		return all
	}
	if errors.As(err, &fe) {
		return []*reconcile.FieldError{fe}
	}
	return nil
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
	if d.HeartbeatURL != "" && webAddressProblem(d.HeartbeatURL) { // a secret: whoever knows it can keep it beating
		k.wrong("daemon.heartbeat_url", "is no address; one begins with https://")
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

func ListenProblem(listen string, guarded bool) string {
	if listen == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Sprintf("%s is no address to listen on; one looks like 127.0.0.1:9467", term.Quoted(listen))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Sprintf("%s is no port; one is a number up to 65535", term.Quoted(port))
	} else if n == 0 && host == "" {
		return "has neither a host nor a port"
	}
	if !guarded && !oktaclient.IsLoopback(host) {
		return fmt.Sprintf("%s is open to other machines, which takes a web_config_file with TLS and users; 127.0.0.1:%s is not", term.Quoted(listen), port)
	}
	return ""
}

// PathProblem finds values that can't be meant as a path. It shows none of
// them: a key pasted in place of its file's name must not get into a log.
func PathProblem(path string) string {
	switch {
	case strings.Contains(path, "-----BEGIN") || strings.HasPrefix(strings.TrimSpace(path), "{"):
		return "holds a key; write the key to a file and name that here"
	case strings.ContainsAny(path, "\n\r\x00"):
		return "holds a line break; a path is expected"
	case path == "~" || strings.HasPrefix(path, "~/"):
		return "\"~\" is not expanded here; write the folder out"
	}
	return ""
}

func NotifyField(i int) string { return fmt.Sprintf("daemon.notify[%d].url_file", i) }

// NotifyAddress reads where the i-th of daemon.notify sends to.
func NotifyAddress(i int, n NotifyConfig) (string, error) {
	data, err := ReadFile(n.URLFile, 4<<10)
	if err != nil {
		return "", fmt.Errorf("%s: %w", NotifyField(i), err)
	}
	address := strings.TrimSpace(string(data))
	if webAddressProblem(address) {
		return "", fmt.Errorf("%s: %s holds no address; one begins with https://", NotifyField(i), n.URLFile)
	}
	return address, nil
}

func webAddressProblem(address string) bool {
	u, err := url.Parse(address)
	return err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http"
}
