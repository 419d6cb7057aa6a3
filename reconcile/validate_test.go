package reconcile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile"
	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot/canonjson"
)

// problems returns the errors that Validate joins.
func problems(err error) (list []string) {
	if err == nil {
		return nil
	}
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		text := e.Error()
		if _, ok := errors.AsType[*reconcile.FieldError](e); !ok {
			text = "not a FieldError: " + text
		}
		list = append(list, text)
	}
	return list
}

func TestDefaults(t *testing.T) {
	e := reconcile.DefaultExport()
	if got, want := problems(e.Validate()), []string{"name: is missing"}; !slices.Equal(got, want) {
		t.Errorf("Validate() = %q, want %q", got, want)
	}
	e.Name, e.Groups = "all-users", new(reconcile.Resource)
	e.Groups.SetDefaults("groups")
	if err := e.Validate(); err != nil {
		t.Errorf("Validate() = %v, want nil", err)
	}
	b, err := canonjson.Marshal(e.Declaration())
	if err != nil {
		t.Fatal(err)
	}
	recordtest.Golden(t, "declaration.golden.json", append(b, '\n'))

	e.Formats[0], e.Users.Changes.Ignore[0] = "csv", "status"
	if other := reconcile.DefaultExport(); other.Formats[0] == "csv" || other.Users.Changes.Ignore[0] == "status" {
		t.Error("two default exports share a slice")
	}
}

// A declaration lists ndjson, and has no null.
func TestDeclarationIsComplete(t *testing.T) {
	e := reconcile.Export{Formats: []string{"csv"}, Users: new(reconcile.Users), Groups: new(reconcile.Resource)}
	got, err := canonjson.Marshal(e.Declaration())
	want := `{"formats":["ndjson","csv"],` +
		`"groups":{"attributes":{"exclude":[],"include":[]},"changes":{"ignore":[]},"guard":{"at_least":0,"max_removed":"0","min":0}},` +
		`"users":{"attributes":{"exclude":[],"include":[]},"changes":{"ignore":[]},` +
		`"guard":{"at_least":0,"max_deactivated":"0","max_removed":"0","min":0},"include_deprovisioned":false,"search":""}}`
	if err != nil || string(got) != want {
		t.Errorf("Declaration() = %s, %v, want %s", got, err, want)
	}
}

func TestValidate(t *testing.T) {
	type export = reconcile.Export
	const name = `: a name has up to 63 lower-case letters, digits and hyphens, and begins with a letter or digit`
	for _, test := range []struct {
		change func(*export)
		want   string
	}{
		{func(e *export) { e.Name = "All" }, `name: "All"` + name},
		{func(e *export) { e.Name = "../x" }, `name: "../x"` + name},
		{func(e *export) { e.TimeZone = "Mars/Olympus" }, `time_zone: unknown time zone "Mars/Olympus"; use an IANA name such as UTC or Europe/Berlin`},
		{func(e *export) { e.TimeZone = "Local" }, `time_zone: "Local" differs from machine to machine; use an IANA name such as UTC or Europe/Berlin`},
		{func(e *export) { e.TimeZone = "" }, `time_zone: is empty; use an IANA name such as UTC or Europe/Berlin`},
		{func(e *export) { e.Timeout = 0 }, `timeout: 0s is too short; use at least 1s`},
		{func(e *export) { e.Retry.Most = -1 }, `retry.most: -1 is not from 0 to 100`},
		{func(e *export) { e.Retry.FirstWait = 0 }, `retry.first_wait: 0s is too short; use at least 1s`},
		{func(e *export) { e.Snapshot = "never" }, `snapshot: "never" is neither always nor on_change`},
		{func(e *export) { e.Retain.Weekly = -1 }, `retain.weekly: -1 is negative`},
		{func(e *export) { e.Hold = []string{"latest"} }, `hold[0]: "latest" is not the name of a snapshot; one looks like 20261123T060000Z`},
		{func(e *export) { e.Hold = []string{"20261123T060000Z", "20261123T060000Z"} }, `hold[1]: "20261123T060000Z" is listed twice`},
		{func(e *export) { e.Formats = []string{"xlsx", "csv", "csv"} },
			"formats[0]: unknown format \"xlsx\"; use ndjson or csv\nformats[2]: \"csv\" is listed twice"},
		{func(e *export) { e.Users.Search = strings.Repeat("x", 2001) }, `users.search: has 2001 bytes; Okta accepts up to about 2000`},
		{func(e *export) { e.Users.Search = "a eq \"b\"\n" }, `users.search: contains a line break or another control character`},
		{func(e *export) { e.Users.Search = " " }, `users.search: contains only spaces; leave it empty to read every user`},
		{func(e *export) { e.Users.Attributes.Include = []string{"profile.login", ""} }, `users.attributes.include[1]: an empty path`},
		{func(e *export) { e.Users.Changes.Ignore = []string{" lastLogin"} }, `users.changes.ignore[0]: " lastLogin" has spaces around it`},
		{func(e *export) { e.Users.Changes.Moved = []string{"profile..title"} }, `users.changes.moved[0]: "profile..title" has a dot without a name beside it`},
		{func(e *export) { e.Users.Attributes.Exclude = []string{"mobilePhone"} },
			`users.attributes.exclude[0]: "mobilePhone" belongs to the profile: write "profile.mobilePhone"`},
		{func(e *export) { e.Users.Attributes.Exclude = []string{"_links", "_links"} }, `users.attributes.exclude[1]: "_links" is listed twice`},
		{func(e *export) { e.Users.Attributes.Exclude = []string{"status"} },
			`users.attributes.exclude[0]: "status" can't be excluded: users are compared by it`},
		{func(e *export) { e.Users.Attributes.Include = []string{"_links"} }, `users.attributes.include[0]: "_links" is both included and excluded`},
		{func(e *export) { e.Users.Attributes.Include = []string{"_links.self"} },
			`users.attributes.include[0]: "_links.self" is included, but excluded with all of "_links"`},
		{func(e *export) { e.Users.Guard.AtLeast, e.Users.Guard.Min = -1, -2 }, "users.guard.at_least: -1 is negative\nusers.guard.min: -2 is negative"},
		{func(e *export) {
			e.Groups = &reconcile.Resource{Attributes: reconcile.Attributes{Exclude: []string{"id"}}}
		},
			`groups.attributes.exclude[0]: "id" can't be excluded: groups are compared by it`},
		{func(e *export) {
			e.Groups = &reconcile.Resource{Changes: reconcile.Changes{Ignore: []string{""}}, Guard: reconcile.Guard{Min: -1}}
		},
			"groups.changes.ignore[0]: an empty path\ngroups.guard.min: -1 is negative"},
		{func(e *export) { e.Name, e.Timeout = "", 0 }, "name: is missing\ntimeout: 0s is too short; use at least 1s"},
	} {
		e := reconcile.DefaultExport()
		e.Name = "all-users"
		test.change(&e)
		if got := problems(e.Validate()); strings.Join(got, "\n") != test.want {
			t.Errorf("Validate()\n got %q\nwant %q", got, test.want)
		}
	}
}

func TestLocationOfAnUnknownZoneIsUTC(t *testing.T) {
	if got := (reconcile.Export{TimeZone: "Mars/Olympus"}).Location(); got != time.UTC {
		t.Errorf("Location() = %v, want UTC", got)
	}
}

// Changes files outlive their snapshots for as many months as monthly says, unless
// changes says another number.
func TestRetentionOfChangesByDefault(t *testing.T) {
	e := reconcile.DefaultExport()
	for changes, want := range map[int]int{0: 84, 12: 12} {
		e.Retain = reconcile.Retain{Monthly: 84, Changes: changes}
		if got := e.Retention().Changes; got != want {
			t.Errorf("with changes: %d, changes files are kept for %d months, want %d", changes, got, want)
		}
	}
}
