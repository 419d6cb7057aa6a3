package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// Users declares which users are read, which attributes are kept, which changes
// count, and when the guard stops a read.
type Users struct {
	// IncludeDeprovisioned also reads deprovisioned users, which Okta's plain list omits.
	IncludeDeprovisioned bool `yaml:"include_deprovisioned" example:"false"`
	// Search is an Okta search expression that narrows the export. Empty: all
	// users.
	Search     string      `yaml:"search" example:"profile.department eq \"Sales\""`
	Attributes Attributes  `yaml:"attributes"`
	Changes    UserChanges `yaml:"changes"`
	Guard      UserGuard   `yaml:"guard"`
	// Optional publishes a snapshot without the users if the app can't read them,
	// because a scope, a role or a license is missing. The manifest has the reason.
	Optional bool `yaml:"optional" example:"true"`
	// Formats are the formats of the resource's files. Empty: those of the export.
	Formats []string `yaml:"formats" example:"[ndjson]"`
}

// Resource declares which attributes of a resource are kept, which changes count,
// and when the guard stops a read. All these resources have the same keys, with different
// defaults.
type Resource struct {
	Attributes Attributes `yaml:"attributes"`
	Changes    Changes    `yaml:"changes"`
	Guard      Guard      `yaml:"guard"`
	// Optional publishes a snapshot without the resource if the app can't read it,
	// because a scope, a role, a license or a feature is missing. The manifest has the reason.
	Optional bool `yaml:"optional" example:"true"`
	// Formats are the formats of the resource's files. Empty: those of the export.
	Formats []string `yaml:"formats" example:"[ndjson]"`
}

// GroupMembers declares the members of groups. It has the keys of the other resources, and
// also refresh and full.
type GroupMembers struct {
	Attributes Attributes `yaml:"attributes"`
	Changes    Changes    `yaml:"changes"`
	Guard      Guard      `yaml:"guard"`
	// Optional is the same as for the other resources.
	Optional bool `yaml:"optional" example:"true"`
	// Formats is the same as for the other resources.
	Formats []string `yaml:"formats" example:"[ndjson]"`
	// Refresh is `full` to read the members of all groups, or `incremental` to read those of
	// groups whose members have changed since their last read.
	Refresh string `yaml:"refresh" example:"incremental"`
	// Full is the longest time between two reads of all members, if refresh is
	// incremental: at least 1h.
	Full time.Duration `yaml:"full" example:"24h"`
}

// Attributes selects the attributes that are kept. A path consists of member
// names joined by dots, and covers everything below it: `profile` also stands for
// `profile.email`. Elements of a list have no paths; a list is kept or removed as
// a whole. The attributes that identify a record, and its `status`, are always kept.
type Attributes struct {
	// Include are the paths that are kept. Empty: everything that Okta returns.
	Include []string `yaml:"include" example:"[id, profile.login, profile.email]"`
	// Exclude are the paths that are removed. They are never written to disk.
	Exclude []string `yaml:"exclude" example:"[credentials, profile.mobilePhone]"`
}

// UserChanges selects the differences between two states of a user that are reported as
// changes. A path covers everything below it.
type UserChanges struct {
	// Ignore are paths that are ignored: if only these differ, no change is reported.
	Ignore []string `yaml:"ignore" example:"[lastLogin, lastUpdated, profile.nickName]"`
	// Moved are the paths whose change makes a user a mover.
	Moved []string `yaml:"moved" example:"[profile.department, profile.managerId]"`
}

// Changes selects the differences between two states of a record that are reported as
// changes. A path covers everything below it.
type Changes struct {
	// Ignore are paths that are ignored: if only these differ, no change is reported.
	Ignore []string `yaml:"ignore" example:"[lastUpdated, profile.description]"`
}

// UserGuard limits what a read may change, compared with the snapshot before it.
type UserGuard struct {
	// MaxRemoved is the maximum of missing users: a number, or a share of the users in the
	// snapshot before.
	MaxRemoved snapshot.Limit `yaml:"max_removed" example:"0.5%"`
	// MaxDeactivated is the maximum of newly deprovisioned users: a number, or a share of
	// those who weren't deprovisioned before.
	MaxDeactivated snapshot.Limit `yaml:"max_deactivated" example:"200"`
	// AtLeast is the number of missing or newly deprovisioned users from which these
	// limits apply.
	AtLeast int `yaml:"at_least" example:"10"`
	// Min is the fewest users that a read may have, also the first read.
	Min int `yaml:"min" example:"5000"`
}

// Guard limits what a read may change, compared with the snapshot before it.
type Guard struct {
	// MaxRemoved is the maximum of missing records: a number, or a share of the records in
	// the snapshot before.
	MaxRemoved snapshot.Limit `yaml:"max_removed" example:"2%"`
	// AtLeast is the number of missing records from which this limit applies.
	AtLeast int `yaml:"at_least" example:"20"`
	// Min is the fewest records that a read may have, also the first read.
	Min int `yaml:"min" example:"100"`
}

// defaultUsers returns the declaration of users that is used for missing keys.
func defaultUsers() *Users {
	return &Users{
		IncludeDeprovisioned: true,
		Attributes: Attributes{
			Include: []string{},
			Exclude: []string{"credentials.recovery_question", "credentials.emails", "_links"},
		},
		Changes: UserChanges{
			Ignore: []string{"lastLogin", "lastUpdated"},
			Moved: []string{
				"profile.title", "profile.department", "profile.division", "profile.costCenter",
				"profile.managerId", "profile.manager", "profile.userType",
			},
		},
		Guard:   UserGuard{MaxRemoved: snapshot.Percent(1), MaxDeactivated: snapshot.Percent(5), AtLeast: 25, Min: 1},
		Formats: []string{},
	}
}

// defaultGuards are the guards of the other resources, by name.
var defaultGuards = map[string]Guard{
	"groups":        {MaxRemoved: snapshot.Percent(5), AtLeast: 10, Min: 1},
	"group_members": {MaxRemoved: snapshot.Percent(10), AtLeast: 1000},
	"group_rules":   {MaxRemoved: snapshot.Percent(25), AtLeast: 5},
	"apps":          {MaxRemoved: snapshot.Percent(5), AtLeast: 5},
	"app_users":     {MaxRemoved: snapshot.Percent(10), AtLeast: 1000},
	"app_groups":    {MaxRemoved: snapshot.Percent(10), AtLeast: 50},
	"api_tokens":    {MaxRemoved: snapshot.Percent(100)}, // none
	"factors":       {MaxRemoved: snapshot.Percent(100)}, // none: a policy decides which are listed

	"role_assignments": {MaxRemoved: snapshot.Percent(25), AtLeast: 5, Min: 1},
}

// SetDefaults sets u to the default declaration of users.
func (u *Users) SetDefaults(string) { *u = *defaultUsers() }

// SetDefaults sets r to the default declaration of the resource with this key.
func (r *Resource) SetDefaults(key string) {
	*r = Resource{
		Attributes: Attributes{Include: []string{}, Exclude: []string{"_links"}},
		Changes:    Changes{Ignore: []string{"lastUpdated", "lastMembershipUpdated"}},
		Guard:      defaultGuards[key],
		Formats:    []string{},
	}
	if key == "app_users" {
		r.Changes.Ignore = append(r.Changes.Ignore, "lastSync")
	}
}

// SetDefaults sets g to the default declaration. key must be "group_members".
func (g *GroupMembers) SetDefaults(key string) {
	var r Resource
	r.SetDefaults(key)
	*g = GroupMembers{
		Attributes: r.Attributes, Changes: r.Changes, Guard: r.Guard, Formats: r.Formats, Refresh: snapshot.RefreshFull, Full: 168 * time.Hour,
	}
}

// Declared is one resource that an export declares.
type Declared struct {
	snapshot.DeclaredResource
	Resource *snapshot.Resource
	Read     oktaclient.Resource
	Scope    string // the OAuth 2.0 scope that reading needs
	Role     string // the smallest admin role that reading needs

	// Permission is the permission that a custom role needs, because no small standard
	// role sees the records. "": Role is a standard role.
	Permission string

	Relist bool // Okta can't list what changed during a read, so all records are listed again
}

const (
	readOnlyAdmin = "Read-only Administrator" // the smallest standard role that sees all users, groups and apps
	usersScope    = "okta.users.read"
	groupsScope   = "okta.groups.read"
	appsScope     = "okta.apps.read"
)

// Scopes returns all OAuth 2.0 scopes that reading needs, Scope first.
func (d Declared) Scopes() []string {
	scopes := []string{d.Scope}
	if d.Resource == snapshot.RoleAssignments { // the holders of roles are found in lists of groups and apps
		scopes = append(scopes, usersScope, groupsScope, appsScope)
	}
	return scopes
}

// ScopesOf returns the OAuth 2.0 scopes that reading these resources needs, each once.
func ScopesOf(declared []Declared) (scopes []string) {
	for _, d := range declared {
		for _, scope := range d.Scopes() {
			if !slices.Contains(scopes, scope) {
				scopes = append(scopes, scope)
			}
		}
	}
	return scopes
}

func (u *Users) declared() snapshot.DeclaredResource {
	limit := u.Guard.MaxDeactivated
	return snapshot.DeclaredResource{
		Narrowing:  &snapshot.Narrowing{IncludeDeprovisioned: u.IncludeDeprovisioned, Search: u.Search},
		Attributes: u.Attributes.selection(),
		Changes:    snapshot.Changes{Ignore: notNil(u.Changes.Ignore), Moved: notNil(u.Changes.Moved)},
		Guard: snapshot.Guard{
			MaxRemoved: u.Guard.MaxRemoved, MaxDeactivated: &limit, AtLeast: u.Guard.AtLeast, Min: u.Guard.Min,
		},
		Optional: u.Optional,
		Formats:  u.Formats,
	}
}

func (r *Resource) declared() snapshot.DeclaredResource {
	return snapshot.DeclaredResource{
		Attributes: r.Attributes.selection(),
		Changes:    snapshot.Changes{Ignore: notNil(r.Changes.Ignore)},
		Guard:      snapshot.Guard{MaxRemoved: r.Guard.MaxRemoved, AtLeast: r.Guard.AtLeast, Min: r.Guard.Min},
		Optional:   r.Optional,
		Formats:    r.Formats,
	}
}

// resource returns the keys that other resources have too, or nil.
func (g *GroupMembers) resource() *Resource {
	if g == nil {
		return nil
	}
	return &Resource{Attributes: g.Attributes, Changes: g.Changes, Guard: g.Guard, Optional: g.Optional, Formats: g.Formats}
}

func (g *GroupMembers) refreshing() *snapshot.Refreshing {
	return &snapshot.Refreshing{Refresh: g.Refresh, Full: snapshot.Interval{Duration: g.Full}}
}

// check adds the problems of the keys that only group members have.
func (g *GroupMembers) check(f *fieldErrors) {
	if g.Refresh != snapshot.RefreshFull && g.Refresh != snapshot.RefreshIncremental {
		f.add("group_members.refresh", "%q is neither full nor incremental", g.Refresh)
	}
	if g.Full < time.Hour {
		f.add("group_members.full", "%s is too short; use at least 1h", g.refreshing().Full)
	}
}

func (a Attributes) selection() canonjson.Attributes {
	return canonjson.Attributes{Include: notNil(a.Include), Exclude: notNil(a.Exclude)}
}

// notNil returns a copy of list that is not nil, so that a manifest has no null.
func notNil(list []string) []string { return append([]string{}, list...) }

// A FieldError is a problem with one field of an export.
type FieldError struct {
	Field   string // "users.attributes.exclude[1]"
	Problem string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// fieldErrors collects the problems of an export.
type fieldErrors struct{ errs []error }

func (f *fieldErrors) add(field, format string, args ...any) {
	f.errs = append(f.errs, &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
}

func (f *fieldErrors) err() error { return errors.Join(f.errs...) }

// maxSearch is the longest search expression, in bytes. Okta documents no limit,
// but warns of long expressions and repeats them in its Link headers.
const maxSearch = 2000

func checkSearch(f *fieldErrors, search string) {
	switch {
	case len(search) > maxSearch:
		f.add("users.search", "has %d bytes; Okta accepts up to about %d", len(search), maxSearch)
	case !utf8.ValidString(search) || strings.ContainsFunc(search, unicode.IsControl):
		f.add("users.search", "contains a line break or another control character")
	case strings.TrimSpace(search) == "" && search != "":
		f.add("users.search", "contains only spaces; leave it empty to read every user")
	}
}

func checkAttributes(f *fieldErrors, prefix string, d Declared) {
	a := d.Attributes
	checkPaths(f, prefix+"include", a.Include)
	checkPaths(f, prefix+"exclude", a.Exclude)
	for i, path := range a.Exclude {
		if slices.Contains(d.Resource.Always(), path) {
			f.add(fmt.Sprintf("%sexclude[%d]", prefix, i), "%q can't be excluded: %s are compared by it", path, d.Resource.Name)
		}
	}
	for i, path := range a.Include {
		for _, excluded := range a.Exclude {
			field := fmt.Sprintf("%sinclude[%d]", prefix, i)
			switch {
			case path == excluded:
				f.add(field, "%q is both included and excluded", path)
			case canonjson.Covers(excluded, path):
				f.add(field, "%q is included, but excluded with all of %q", path, excluded)
			}
		}
	}
}

func checkPaths(f *fieldErrors, field string, paths []string) {
	for i, path := range paths {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch _, inProfile := profileAttributes[path]; {
		case path == "":
			f.add(at, "an empty path")
		case strings.TrimSpace(path) != path:
			f.add(at, "%q has spaces around it", path)
		case slices.Contains(strings.Split(path, "."), ""):
			f.add(at, "%q has a dot without a name beside it", path)
		case inProfile:
			f.add(at, "%q belongs to the profile: write %q", path, "profile."+path)
		case slices.Contains(paths[:i], path):
			f.add(at, "%q is listed twice", path)
		}
	}
}

// profileAttributes are the attributes of every Okta user profile. Such a path
// without "profile." is a mistake that would keep what should be excluded.
var profileAttributes = func() map[string]struct{} {
	set := make(map[string]struct{})
	for name := range strings.FieldsSeq(`login email secondEmail firstName lastName middleName
		honorificPrefix honorificSuffix title displayName nickName profileUrl primaryPhone
		mobilePhone streetAddress city state zipCode countryCode postalAddress
		preferredLanguage locale timezone userType employeeNumber costCenter organization
		division department managerId manager`) {
		set[name] = struct{}{}
	}
	return set
}()
