package reconcile

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"oktasync/reconcile/snapshot"
)

// Export is the declaration of one export: which resources are read, how often,
// and how long snapshots are kept.
//
// Start from [DefaultExport], which has the values for missing keys.
type Export struct {
	// Name is the export's folder in the store and what commands call it: up to
	// 63 small letters, digits and hyphens, unique.
	Name string `yaml:"name" example:"all-users"`
	// Schedule is when the daemon reconciles: five fields as in crontab(5), or
	// @daily, @weekly, "@every 15m" and so on. Empty: only by `apply`.
	Schedule string `yaml:"schedule" example:"0 6 * * *"`
	// TimeZone is an IANA name such as Europe/Berlin, for the schedule, for
	// retention and for what people read.
	TimeZone string `yaml:"time_zone" example:"Europe/Berlin"`
	// Splay is the longest delay of a scheduled start. The delay is fixed per export,
	// host and store, so that many of them don't start at the same second.
	Splay time.Duration `yaml:"splay" example:"10m"`
	// Timeout is how long a reconcile may take before it has failed.
	Timeout time.Duration `yaml:"timeout" example:"30m"`
	// Retry says how a failed reconcile is tried again before the next regular
	// time.
	Retry Retry `yaml:"retry"`
	// Users declares the users. If no resource is listed, users are read.
	Users *Users `yaml:"users"`
	// Groups declares the groups.
	Groups *Resource `yaml:"groups"`
	// Formats are what a snapshot is kept in: ndjson and csv. The first is
	// always kept: it is the snapshot.
	Formats []string `yaml:"formats" example:"[ndjson]"`
	// Snapshot is `always`, or `on_change` to publish only where users or the
	// declaration changed.
	Snapshot Publishing `yaml:"snapshot" example:"on_change"`
	// Retain says which snapshots retention keeps. Empty: all of them.
	Retain Retain `yaml:"retain"`
	// Hold names snapshots that retention may never prune.
	Hold []string `yaml:"hold" example:"[20261123T060000Z]"`
}

// Retry says how a failed reconcile is tried again before the next regular
// time.
type Retry struct {
	// Most is how many times at most. 0: not tried again.
	Most int `yaml:"most" example:"5"`
	// FirstWait is the wait before the first of them. Each further one is twice as
	// long.
	FirstWait time.Duration `yaml:"first_wait" example:"30s"`
}

// Publishing says when a reconcile publishes.
type Publishing string

const (
	Always   Publishing = "always"
	OnChange Publishing = "on_change"
)

// Retain says how many snapshots retention keeps: the last ones, and the newest
// of so many days, weeks, months and years. Empty: everything.
type Retain struct {
	// Last is how many of the newest are kept.
	Last int `yaml:"last" example:"30"`
	// Daily is of how many days the newest is kept. Days without one don't count.
	Daily int `yaml:"daily" example:"400"`
	// Weekly is the same for weeks, as ISO 8601 has them.
	Weekly int `yaml:"weekly" example:"53"`
	// Monthly is the same for months.
	Monthly int `yaml:"monthly" example:"84"`
	// Yearly is the same for years.
	Yearly int `yaml:"yearly" example:"10"`
}

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
		Hold: e.Hold, Zone: e.Location(),
	}
}

// Location returns the export's time zone, UTC where it names none that this
// machine knows; Validate reports that.
func (e Export) Location() *time.Location {
	zone, err := time.LoadLocation(e.TimeZone)
	if err != nil {
		return time.UTC
	}
	return zone
}

const maxRetries = 100

var (
	exportName   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	snapshotName = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z$`)
)

// Validate returns all problems of e, as *[FieldError] values joined by
// errors.Join. It doesn't check the schedule.
func (e Export) Validate() error {
	f := new(fieldErrors)
	switch {
	case e.Name == "":
		f.add("name", "is missing")
	case !exportName.MatchString(e.Name):
		f.add("name", "%q: a name has up to 63 small letters, digits and hyphens, and begins with a letter or digit", e.Name)
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
	e.checkFormats(f)
	return f.err()
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
	}{{"last", r.Last}, {"daily", r.Daily}, {"weekly", r.Weekly}, {"monthly", r.Monthly}, {"yearly", r.Yearly}} {
		if count.n < 0 {
			f.add("retain."+count.name, "%d is negative", count.n)
		}
	}
}

func (e Export) checkHold(f *fieldErrors) {
	for i, name := range e.Hold {
		switch field := fmt.Sprintf("hold[%d]", i); {
		case !snapshotName.MatchString(name):
			f.add(field, "%q is not the name of a snapshot; one looks like 20261123T060000Z", name)
		case slices.Contains(e.Hold[:i], name):
			f.add(field, "%q is listed twice", name)
		}
	}
}

func (e Export) checkFormats(f *fieldErrors) {
	for i, format := range e.Formats {
		switch field := fmt.Sprintf("formats[%d]", i); {
		case format != snapshot.FormatNDJSON && format != snapshot.FormatCSV:
			f.add(field, "unknown format %q; use ndjson or csv", format)
		case slices.Contains(e.Formats[:i], format):
			f.add(field, "%q is listed twice", format)
		}
	}
}
