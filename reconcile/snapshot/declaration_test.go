package snapshot_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/snapshot"
)

func TestDefaultDeclaration(t *testing.T) {
	d := snapshot.DefaultDeclaration()
	if err := d.Validate(); err != nil {
		t.Errorf("Validate() = %v, want none", err)
	}
	b, err := snapshot.MarshalCanonical(d)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "declaration.golden.json", append(b, '\n'))

	var again snapshot.Declaration
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if b2, _ := snapshot.MarshalCanonical(again); string(b2) != string(b) {
		t.Errorf("read back it is %s, want %s", b2, b)
	}
	d.Users.Changes.Moved[0] = "else"
	if other := snapshot.DefaultDeclaration(); slices.Contains(other.Users.Changes.Moved, "else") {
		t.Error("two calls share a slice")
	}
}

func TestComplete(t *testing.T) {
	b, err := snapshot.MarshalCanonical(snapshot.Declaration{Formats: []string{"csv"}}.Complete())
	want := `{"formats":["ndjson","csv"],"users":{"attributes":{"exclude":[],"include":[]},` +
		`"changes":{"ignore":[],"moved":[]},"guard":{"at_least":0,"max_deactivated":"0","max_removed":"0","min_users":0},` +
		`"include_deprovisioned":false,"search":""}}`
	if err != nil || string(b) != want {
		t.Errorf("Complete() = %s, %v, want %s", b, err, want)
	}
}

func TestDeclarationValidate(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*snapshot.Declaration)
		want  string
	}{
		{"empty path", func(d *snapshot.Declaration) { d.Users.Attributes.Include = []string{"profile.login", ""} },
			`users.attributes.include[1]: an empty path`},
		{"spaces", func(d *snapshot.Declaration) { d.Users.Changes.Ignore = []string{" lastLogin"} },
			`users.changes.ignore[0]: " lastLogin" has spaces around it`},
		{"dots", func(d *snapshot.Declaration) { d.Users.Changes.Moved = []string{"profile..title"} },
			`users.changes.moved[0]: "profile..title" has a dot without a name beside it`},
		{"without profile", func(d *snapshot.Declaration) { d.Users.Attributes.Exclude = []string{"mobilePhone"} },
			`users.attributes.exclude[0]: "mobilePhone" belongs to the profile: write "profile.mobilePhone"`},
		{"twice", func(d *snapshot.Declaration) { d.Users.Attributes.Exclude = []string{"_links", "_links"} },
			`users.attributes.exclude[1]: "_links" stands here twice`},
		{"id", func(d *snapshot.Declaration) { d.Users.Attributes.Exclude = []string{"id"} },
			`users.attributes.exclude[0]: "id" can't be left out: users are compared by it`},
		{"both", func(d *snapshot.Declaration) { d.Users.Attributes.Include = []string{"_links"} },
			`users.attributes.include[0]: "_links" is both included and excluded`},
		{"below excluded", func(d *snapshot.Declaration) { d.Users.Attributes.Include = []string{"_links.self"} },
			`users.attributes.include[0]: "_links.self" is included, but excluded with all of "_links"`},
		{"search", func(d *snapshot.Declaration) { d.Users.Search = " " },
			`users.search: only spaces; leave it empty to read every user`},
		{"negative", func(d *snapshot.Declaration) { d.Users.Guard.AtLeast, d.Users.Guard.MinUsers = -1, -2 },
			"users.guard.at_least: -1 is negative\nusers.guard.min_users: -2 is negative"},
		{"format", func(d *snapshot.Declaration) { d.Formats = []string{"xlsx", "csv", "csv"} },
			"formats[0]: unknown format \"xlsx\"; there are ndjson and csv\nformats[2]: \"csv\" stands here twice"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := snapshot.DefaultDeclaration()
			test.spoil(&d)
			if err := d.Validate(); err == nil || err.Error() != test.want {
				t.Errorf("Validate() = %v, want %s", err, test.want)
			}
		})
	}
}

func TestAttributesValidate(t *testing.T) {
	err := snapshot.Attributes{Include: []string{"id", "email"}, Exclude: []string{""}}.Validate()
	want := "include[1]: \"email\" belongs to the profile: write \"profile.email\"\nexclude[0]: an empty path"
	if err == nil || err.Error() != want {
		t.Errorf("Validate() = %v, want %s", err, want)
	}
	if err := (snapshot.Attributes{}).Validate(); err != nil {
		t.Errorf("Validate() = %v, want none", err)
	}
}

func TestLimit(t *testing.T) {
	for _, test := range []struct {
		text      string
		total, of int
	}{
		{"0", 1000, 0}, {"25", 1000, 25}, {"25", 3, 25}, {"1%", 1000, 10}, {"1%", 99, 0}, {"1%", 199, 1},
		{"0.5%", 1000, 5}, {"4.35%", 10000, 435}, {"2.9%", 1000, 29}, {"0.001%", 100000, 1}, {"100%", 7, 7},
		{"5%", 2_000_000_000, 100_000_000},
	} {
		var l snapshot.Limit
		if err := l.UnmarshalText([]byte(test.text)); err != nil {
			t.Errorf("UnmarshalText(%s): %v", test.text, err)
			continue
		}
		if l.String() != test.text {
			t.Errorf("String() = %s, want %s", l, test.text)
		}
		if got := l.Of(test.total); got != test.of {
			t.Errorf("%s of %d = %d, want %d", l, test.total, got, test.of)
		}
	}
	if l := snapshot.Count(25); l.String() != "25" || l.Of(7) != 25 {
		t.Errorf("Count(25) = %s", l)
	}
	for text, want := range map[string]string{"007": "7", "1.50%": "1.5%", "1.000%": "1%", "00.5%": "0.5%"} {
		var l snapshot.Limit
		if err := l.UnmarshalText([]byte(text)); err != nil || l.String() != want {
			t.Errorf("UnmarshalText(%s) = %s, %v, want %s", text, l, err, want)
		}
	}
	for _, text := range []string{"", "%", "-1", "+1", "1.5", "1 %", " 1%", "1.%", ".5%", "1.2345%", "1e3", "all",
		"100.001%", "101%", "99999999999999999999", "99999999999999999999%"} {
		var l snapshot.Limit
		if err := l.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), `"`+text+`"`) {
			t.Errorf("UnmarshalText(%q) = %s, %v, want an error that quotes it", text, l, err)
		}
	}
}
