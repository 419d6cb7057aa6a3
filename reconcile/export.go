package reconcile

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"oktasync/reconcile/snapshot"
)

// Export is what a configuration declares of one export: which users, how
// often, and what becomes of the snapshots.
//
// Start from [DefaultExport], which holds what is meant where a configuration
// is silent.
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
	// Timeout is how long a reconcile may take before it has failed.
	Timeout time.Duration `yaml:"timeout" example:"30m"`
	// Retry says how a failed reconcile is tried again before the next regular
	// time.
	Retry Retry `yaml:"retry"`
	// Users says which users are read, what is kept of each, which changes
	// count, and what the guard holds back.
	Users snapshot.DeclaredUsers `yaml:"users"`
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

// DefaultExport returns what holds where a configuration is silent. It has no
// name. Each call returns slices of its own.
func DefaultExport() Export {
	declared := snapshot.DefaultDeclaration()
	return Export{
		TimeZone: "UTC",
		Timeout:  2 * time.Hour,
		Retry:    Retry{Most: 3, FirstWait: time.Minute},
		Users:    declared.Users,
		Formats:  declared.Formats,
		Snapshot: Always,
		Hold:     []string{},
	}
}

// Declaration returns the part of e that its snapshots' manifests record.
func (e Export) Declaration() snapshot.Declaration {
	return snapshot.Declaration{Users: e.Users, Formats: e.Formats}.Complete()
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

const (
	// maxSearch bounds a search expression, in bytes. Okta publishes no figure;
	// it warns of long expressions, and repeats them in its Link headers.
	maxSearch = 2000

	maxRetries = 100
)

var (
	exportName   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	snapshotName = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z$`)
)

// Validate reports everything that is wrong with e, as *[snapshot.FieldError]
// values joined by errors.Join. It leaves the schedule to whoever runs it.
func (e Export) Validate() error {
	var errs []error
	wrong := func(field, format string, args ...any) {
		errs = append(errs, &snapshot.FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	switch {
	case e.Name == "":
		wrong("name", "is missing")
	case !exportName.MatchString(e.Name):
		wrong("name", "%q: a name has up to 63 small letters, digits and hyphens, and begins with a letter or digit", e.Name)
	}
	if problem := zoneProblem(e.TimeZone); problem != "" {
		wrong("time_zone", "%s", problem)
	}
	if e.Timeout < time.Second {
		wrong("timeout", "%s is too short; use at least 1s", e.Timeout)
	}
	if n := e.Retry.Most; n < 0 || n > maxRetries {
		wrong("retry.most", "%d is not from 0 to %d", n, maxRetries)
	}
	if e.Retry.FirstWait < time.Second {
		wrong("retry.first_wait", "%s is too short; use at least 1s", e.Retry.FirstWait)
	}
	if problem := searchProblem(e.Users.Search); problem != "" {
		wrong("users.search", "%s", problem)
	}
	if e.Snapshot != Always && e.Snapshot != OnChange {
		wrong("snapshot", "%q is neither always nor on_change", e.Snapshot)
	}
	errs = append(errs, e.Retain.validate(), e.validateHold())
	errs = append(errs, snapshot.Declaration{Users: e.Users, Formats: e.Formats}.Validate())
	return errors.Join(errs...)
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

func searchProblem(search string) string {
	switch {
	case len(search) > maxSearch:
		return fmt.Sprintf("has %d bytes; Okta is known to take up to about %d", len(search), maxSearch)
	case !utf8.ValidString(search) || strings.ContainsFunc(search, unicode.IsControl):
		return "holds a line break or another control character"
	}
	return ""
}

func (r Retain) validate() error {
	var errs []error
	for _, f := range []struct {
		name string
		n    int
	}{{"last", r.Last}, {"daily", r.Daily}, {"weekly", r.Weekly}, {"monthly", r.Monthly}, {"yearly", r.Yearly}} {
		if f.n < 0 {
			errs = append(errs, &snapshot.FieldError{Field: "retain." + f.name, Problem: fmt.Sprintf("%d is negative", f.n)})
		}
	}
	return errors.Join(errs...)
}

func (e Export) validateHold() error {
	var errs []error
	for i, name := range e.Hold {
		var problem string
		switch {
		case !snapshotName.MatchString(name):
			problem = fmt.Sprintf("%q is no snapshot's name; one looks like 20261123T060000Z", name)
		case slices.Contains(e.Hold[:i], name):
			problem = fmt.Sprintf("%q stands here twice", name)
		default:
			continue
		}
		errs = append(errs, &snapshot.FieldError{Field: fmt.Sprintf("hold[%d]", i), Problem: problem})
	}
	return errors.Join(errs...)
}
