package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
)

// Export is the declaration of one export: which resources are read, how often,
// and how long snapshots are kept.
//
// Start from [DefaultExport], which has the default values.
type Export struct {
	// Name is the unique name of the export, in commands and in the store: up to 63
	// lower-case letters, digits and hyphens.
	Name string `yaml:"name" example:"all-users"`
	// Schedule is when the daemon reads the export: five fields as in crontab(5), or
	// @hourly, @daily, @weekly, @monthly, "@every 15m". Empty: only `apply` reads it.
	Schedule string `yaml:"schedule" example:"0 6 * * *"`
	// TimeZone is an IANA name such as Europe/Berlin, for the schedule, retention and
	// output for people.
	TimeZone string `yaml:"time_zone" example:"Europe/Berlin"`
	// Splay is the longest delay of a scheduled start. The delay is fixed per export,
	// host and store. It spreads the starts of many exports and hosts.
	Splay time.Duration `yaml:"splay" example:"10m"`
	// Timeout is the longest duration of a reconcile. A longer one fails, and isn't
	// retried.
	Timeout time.Duration `yaml:"timeout" example:"30m"`
	// Retry configures the retries of a failed reconcile before the next scheduled
	// time.
	Retry Retry `yaml:"retry"`
	// Users declares the users. If no resource is listed, users are read.
	Users *Users `yaml:"users"`
	// Groups declares the groups, without their members.
	Groups *Resource `yaml:"groups"`
	// GroupMembers declares the members of the groups. It needs groups.
	GroupMembers *GroupMembers `yaml:"group_members"`
	// GroupRules declares the membership rules of groups.
	GroupRules *Resource `yaml:"group_rules"`
	// Apps declares the app instances, without credentials, keys and provisioning
	// settings.
	Apps *Resource `yaml:"apps"`
	// AppUsers declares the users of the apps, without their profiles. It needs apps.
	AppUsers *Resource `yaml:"app_users"`
	// AppGroups declares the groups of the apps. It needs apps.
	AppGroups *Resource `yaml:"app_groups"`
	// APITokens declares the API tokens, without their values.
	APITokens *Resource `yaml:"api_tokens"`
	// Factors declares the enrolled factors of the users, without phone numbers, questions
	// and secrets. It needs users, and one request for each user: declare it in an export
	// of its own.
	Factors *Resource `yaml:"factors"`
	// RoleAssignments declares the admin roles of users, groups and service apps, with
	// their targets and permissions. A role through a group is recorded for the group; with
	// group_members, the CSV file also lists its members.
	RoleAssignments *Resource `yaml:"role_assignments"`
	// Formats are the formats of the files in a snapshot: ndjson, which is always written,
	// and csv.
	Formats []string `yaml:"formats" example:"[ndjson]"`
	// Snapshot is `always`, or `on_change`: publish only if records, the formats, or the
	// settings of a resource changed.
	Snapshot Publishing `yaml:"snapshot" example:"on_change"`
	// Retain declares which snapshots retention keeps. Empty: all of them.
	Retain Retain `yaml:"retain"`
	// Hold are the names of snapshots that retention never prunes.
	Hold []string `yaml:"hold" example:"[20261123T060000Z]"`
}

// Retry configures the retries of a failed reconcile before the next scheduled time.
type Retry struct {
	// Most is the maximum number of retries before the next scheduled time. 0: none.
	Most int `yaml:"most" example:"5"`
	// FirstWait is the wait before the first retry. Each further wait is twice as
	// long.
	FirstWait time.Duration `yaml:"first_wait" example:"30s"`
}

// Publishing is the condition for publishing a read.
type Publishing string

const (
	Always   Publishing = "always"
	OnChange Publishing = "on_change"
)

// Retain declares how many snapshots retention keeps: the newest ones, and the newest
// one of each day, week, month and year. The manifests of the others are kept. Empty:
// everything is kept.
type Retain struct {
	// Last is the number of newest snapshots.
	Last int `yaml:"last" example:"30"`
	// Daily is the number of days. Days without a snapshot don't count.
	Daily int `yaml:"daily" example:"400"`
	// Weekly is the number of weeks (ISO 8601).
	Weekly int `yaml:"weekly" example:"53"`
	// Monthly is the number of months.
	Monthly int `yaml:"monthly" example:"84"`
	// Yearly is the number of years.
	Yearly int `yaml:"yearly" example:"10"`
	// Changes is the number of months for which the changes files of pruned snapshots
	// are kept, so that all leavers of a period can be listed. 0: the value of monthly.
	Changes int `yaml:"changes" example:"84"`
}

// Snapshots returns the largest number of snapshots that retention keeps, without those
// in hold. 0: it keeps all.
func (r Retain) Snapshots() int { return r.Last + r.Daily + r.Weekly + r.Monthly + r.Yearly }

// DefaultExport returns an export without a name that reads users. Each call
// returns its own slices.
func DefaultExport() Export {
	return Export{
		TimeZone: "UTC",
		Timeout:  2 * time.Hour,
		Retry:    Retry{Most: 3, FirstWait: time.Minute},
		Users:    defaultUsers(),
		Formats:  []string{snapshot.FormatNDJSON, snapshot.FormatCSV},
		Snapshot: Always,
		Hold:     []string{},
	}
}

// Resources returns the resources that e declares, parents before their children, and
// those of one scope together.
func (e Export) Resources() []Declared {
	var list []Declared
	if u := e.Users; u != nil {
		list = append(list, Declared{DeclaredResource: u.declared(), Resource: snapshot.Users, Read: oktaclient.Users, Scope: usersScope, Role: readOnlyAdmin})
	}
	for _, other := range []struct {
		declared   *Resource
		resource   *snapshot.Resource
		read       oktaclient.Resource
		scope      string
		permission string
		relist     bool
	}{
		{e.Factors, snapshot.Factors, oktaclient.Factors, usersScope, "", false},
		{e.Groups, snapshot.Groups, oktaclient.Groups, groupsScope, "", false},
		{e.GroupMembers.resource(), snapshot.GroupMembers, oktaclient.GroupMembers, groupsScope, "", false},
		{e.GroupRules, snapshot.GroupRules, oktaclient.GroupRules, groupsScope, "", true},
		{e.Apps, snapshot.Apps, oktaclient.Apps, appsScope, "", true},
		{e.AppUsers, snapshot.AppUsers, oktaclient.AppUsers, appsScope, "", false},
		{e.AppGroups, snapshot.AppGroups, oktaclient.AppGroups, appsScope, "", false},
		{e.APITokens, snapshot.APITokens, oktaclient.APITokens, "okta.apiTokens.read", "okta.users.apitokens.read", false},
		{e.RoleAssignments, snapshot.RoleAssignments, oktaclient.RoleAssignments, "okta.roles.read", "okta.iam.read", false},
	} {
		d := other.declared
		if d == nil {
			continue
		}
		role := readOnlyAdmin
		if other.permission != "" {
			role = "a custom role with " + other.permission
		}
		list = append(list, Declared{d.declared(), other.resource, other.read, other.scope, role, other.permission, other.relist})
		if other.resource == snapshot.GroupMembers {
			list[len(list)-1].Refreshing = e.GroupMembers.refreshing()
		}
	}
	return list
}

// Declaration returns the part of e that manifests record. It lists ndjson, which
// is always written.
func (e Export) Declaration() snapshot.Declaration {
	d := snapshot.Declaration{Formats: notNil(e.Formats), Resources: make(map[string]snapshot.DeclaredResource)}
	if !slices.Contains(d.Formats, snapshot.FormatNDJSON) {
		d.Formats = append([]string{snapshot.FormatNDJSON}, d.Formats...)
	}
	for _, r := range e.Resources() {
		d.Resources[r.Resource.Name] = r.DeclaredResource
	}
	return d
}

// Retention returns the retention that e declares, in its time zone.
func (e Export) Retention() snapshot.Retention {
	r := e.Retain
	return snapshot.Retention{
		Last: r.Last, Daily: r.Daily, Weekly: r.Weekly, Monthly: r.Monthly, Yearly: r.Yearly,
		Changes: cmp.Or(r.Changes, r.Monthly), Hold: e.Hold, Zone: e.Location(),
	}
}

// Location returns the export's time zone, or UTC if it is unknown on this machine.
// Validate reports an unknown time zone.
func (e Export) Location() *time.Location {
	zone, err := time.LoadLocation(e.TimeZone)
	if err != nil {
		return time.UTC
	}
	return zone
}

const maxRetries = 100

// Validate returns all problems of e, as *[FieldError] values joined by
// errors.Join. It doesn't check the schedule.
func (e Export) Validate() error {
	f := new(fieldErrors)
	switch {
	case e.Name == "":
		f.add("name", "is missing")
	case !snapshot.IsExportName(e.Name):
		f.add("name", "%q: a name has up to 63 lower-case letters, digits and hyphens, and begins with a letter or digit", e.Name)
	}
	if problem := zoneProblem(e.TimeZone); problem != "" {
		f.add("time_zone", "%s", problem)
	}
	if e.Splay < 0 || e.Splay > 24*time.Hour {
		f.add("splay", "%s is not from 0s to 24h", e.Splay)
	}
	if e.Timeout < time.Second {
		f.add("timeout", "%s is too short; use at least 1s", e.Timeout)
	}
	if n := e.Retry.Most; n < 0 || n > maxRetries {
		f.add("retry.most", "%d is not from 0 to %d", n, maxRetries)
	}
	if e.Retry.FirstWait < time.Second {
		f.add("retry.first_wait", "%s is too short; use at least 1s", e.Retry.FirstWait)
	}
	if e.Snapshot != Always && e.Snapshot != OnChange {
		f.add("snapshot", "%q is neither always nor on_change", e.Snapshot)
	}
	e.Retain.check(f)
	e.checkHold(f)
	e.checkResources(f)
	checkFormats(f, "formats", e.Formats)
	return f.err()
}

// checkResources adds the problems of the declared resources.
func (e Export) checkResources(f *fieldErrors) {
	if u := e.Users; u != nil {
		checkSearch(f, u.Search)
		checkPaths(f, "users.changes.moved", u.Changes.Moved)
	}
	if e.GroupMembers != nil {
		e.GroupMembers.check(f)
	}
	declared := e.Resources()
	for _, d := range declared {
		name := d.Resource.Name
		if p := d.Resource.Parent; p != nil {
			switch i := slices.IndexFunc(declared, func(d Declared) bool { return d.Resource == p }); {
			case i < 0:
				f.add(name, "needs %s in the same export", p.Name)
			case declared[i].Optional && !d.Optional:
				f.add(name+".optional", "must be true, because %s are optional", p.Name)
			}
		}
		checkAttributes(f, name+".attributes.", d)
		checkPaths(f, name+".changes.ignore", d.Changes.Ignore)
		checkFormats(f, name+".formats", d.Formats)
		if n := d.Guard.AtLeast; n < 0 {
			f.add(name+".guard.at_least", "%d is negative", n)
		}
		if n := d.Guard.Min; n < 0 {
			f.add(name+".guard.min", "%d is negative", n)
		}
	}
}

func zoneProblem(name string) string {
	switch _, err := time.LoadLocation(name); {
	case name == "":
		return "is empty; use an IANA name such as UTC or Europe/Berlin"
	case name == "Local":
		return "\"Local\" differs from machine to machine; use an IANA name such as UTC or Europe/Berlin"
	case err != nil:
		return fmt.Sprintf("unknown time zone %q; use an IANA name such as UTC or Europe/Berlin", name)
	}
	return ""
}

func (r Retain) check(f *fieldErrors) {
	for _, count := range []struct {
		name string
		n    int
	}{{"last", r.Last}, {"daily", r.Daily}, {"weekly", r.Weekly}, {"monthly", r.Monthly}, {"yearly", r.Yearly}, {"changes", r.Changes}} {
		if count.n < 0 {
			f.add("retain."+count.name, "%d is negative", count.n)
		}
	}
}

func (e Export) checkHold(f *fieldErrors) {
	for i, name := range e.Hold {
		_, err := snapshot.ParseName(name)
		switch field := fmt.Sprintf("hold[%d]", i); {
		case err != nil:
			f.add(field, "%q is not the name of a snapshot; one looks like 20261123T060000Z", name)
		case slices.Contains(e.Hold[:i], name):
			f.add(field, "%q is listed twice", name)
		}
	}
}

func checkFormats(f *fieldErrors, field string, formats []string) {
	for i, format := range formats {
		switch field := fmt.Sprintf("%s[%d]", field, i); {
		case format != snapshot.FormatNDJSON && format != snapshot.FormatCSV:
			f.add(field, "unknown format %q; use ndjson or csv", format)
		case slices.Contains(formats[:i], format):
			f.add(field, "%q is listed twice", format)
		}
	}
}
