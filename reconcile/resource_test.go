package reconcile_test

import (
	"testing"

	"oktasync/reconcile"
	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot/canonjson"
)

func TestExportValidateResources(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*reconcile.Export)
		want  string
	}{
		{"empty path", func(d *reconcile.Export) { d.Users.Attributes.Include = []string{"profile.login", ""} },
			`users.attributes.include[1]: an empty path`},
		{"spaces", func(d *reconcile.Export) { d.Users.Changes.Ignore = []string{" lastLogin"} },
			`users.changes.ignore[0]: " lastLogin" has spaces around it`},
		{"dots", func(d *reconcile.Export) { d.Users.Changes.Moved = []string{"profile..title"} },
			`users.changes.moved[0]: "profile..title" has a dot without a name beside it`},
		{"without profile", func(d *reconcile.Export) { d.Users.Attributes.Exclude = []string{"mobilePhone"} },
			`users.attributes.exclude[0]: "mobilePhone" belongs to the profile: write "profile.mobilePhone"`},
		{"twice", func(d *reconcile.Export) { d.Users.Attributes.Exclude = []string{"_links", "_links"} },
			`users.attributes.exclude[1]: "_links" is listed twice`},
		{"id", func(d *reconcile.Export) { d.Users.Attributes.Exclude = []string{"id"} },
			`users.attributes.exclude[0]: "id" can't be excluded: users are compared by it`},
		{"both", func(d *reconcile.Export) { d.Users.Attributes.Include = []string{"_links"} },
			`users.attributes.include[0]: "_links" is both included and excluded`},
		{"below excluded", func(d *reconcile.Export) { d.Users.Attributes.Include = []string{"_links.self"} },
			`users.attributes.include[0]: "_links.self" is included, but excluded with all of "_links"`},
		{"search", func(d *reconcile.Export) { d.Users.Search = " " },
			`users.search: contains only spaces; leave it empty to read every user`},
		{"negative", func(d *reconcile.Export) { d.Users.Guard.AtLeast, d.Users.Guard.Min = -1, -2 },
			"users.guard.at_least: -1 is negative\nusers.guard.min: -2 is negative"},
		{"format", func(d *reconcile.Export) { d.Formats = []string{"xlsx", "csv", "csv"} },
			"formats[0]: unknown format \"xlsx\"; use ndjson or csv\nformats[2]: \"csv\" is listed twice"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := reconcile.DefaultExport()
			d.Name = "staff"
			test.spoil(&d)
			if err := d.Validate(); err == nil || err.Error() != test.want {
				t.Errorf("Validate() = %v, want %s", err, test.want)
			}
		})
	}
}

// The defaults are those that the tests of the store use, too, and each call
// returns its own.
func TestDefaultExport(t *testing.T) {
	e := reconcile.DefaultExport()
	e.Name = "staff"
	if err := e.Validate(); err != nil {
		t.Errorf("Validate() = %v, want none", err)
	}
	got, err := canonjson.Marshal(e.Declaration())
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := canonjson.Marshal(recordtest.Declaration()); string(got) != string(want) {
		t.Errorf("Declaration() = %s, want %s", got, want)
	}
	e.Users.Changes.Moved[0] = "else"
	if other := reconcile.DefaultExport(); other.Users.Changes.Moved[0] == "else" {
		t.Error("two calls share a slice")
	}
}

// A declaration lists ndjson and has no null.
func TestDeclarationIsComplete(t *testing.T) {
	e := reconcile.Export{Formats: []string{"csv"}, Users: new(reconcile.Users), Groups: new(reconcile.Resource)}
	b, err := canonjson.Marshal(e.Declaration())
	want := `{"formats":["ndjson","csv"],"groups":{"attributes":{"exclude":[],"include":[]},"changes":{"ignore":[]},` +
		`"guard":{"at_least":0,"max_removed":"0","min":0}},"users":{"attributes":{"exclude":[],"include":[]},` +
		`"changes":{"ignore":[]},"guard":{"at_least":0,"max_deactivated":"0","max_removed":"0","min":0},` +
		`"include_deprovisioned":false,"search":""}}`
	if err != nil || string(b) != want {
		t.Errorf("Declaration() = %s, %v, want %s", b, err, want)
	}
}
