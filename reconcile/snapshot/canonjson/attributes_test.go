package canonjson_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot/canonjson"
)

var always = []string{"id", "status"}

func TestProject(t *testing.T) {
	const user = `{"_links":{"self":{"href":"x"}},"credentials":{"emails":[{"value":"a@b"}],"password":{}},` +
		`"id":"00u1","profile":{"a.b":1,"email":"a@b","emailX":"c@d","login":"a","nested":{"deep":1,"deeper":{"x":2}}},` +
		`"status":"ACTIVE","statusChanged":null}`
	for _, test := range []struct {
		name             string
		include, exclude []string
		want             string
	}{
		{"everything", nil, nil, user},
		{"the defaults", nil, []string{"credentials.recovery_question", "credentials.emails", "_links"},
			`{"credentials":{"password":{}},"id":"00u1","profile":{"a.b":1,"email":"a@b","emailX":"c@d","login":"a",` +
				`"nested":{"deep":1,"deeper":{"x":2}}},"status":"ACTIVE","statusChanged":null}`},
		{"a prefix ends at a dot", nil, []string{"_links", "credentials", "profile.email", "profile.nested"},
			`{"id":"00u1","profile":{"a.b":1,"emailX":"c@d","login":"a"},"status":"ACTIVE","statusChanged":null}`},
		{"include", []string{"profile.login"}, nil, `{"id":"00u1","profile":{"login":"a"},"status":"ACTIVE"}`},
		{"include missing paths", []string{"profile.shoe", "nothing.at.all"}, nil, `{"id":"00u1","status":"ACTIVE"}`},
		{"include and exclude", []string{"profile"}, []string{"profile.nested.deeper"},
			`{"id":"00u1","profile":{"a.b":1,"email":"a@b","emailX":"c@d","login":"a","nested":{"deep":1}},"status":"ACTIVE"}`},
		{"include deep", []string{"profile.nested.deeper.x"}, nil,
			`{"id":"00u1","profile":{"nested":{"deeper":{"x":2}}},"status":"ACTIVE"}`},
		{"exclude all members of an object", []string{"profile.nested", "profile.login"}, []string{"profile.nested.deep", "profile.nested.deeper"},
			`{"id":"00u1","profile":{"login":"a","nested":{}},"status":"ACTIVE"}`},
		{"a dot in a name", nil, []string{"_links", "credentials", "profile.a.b", "profile.nested"},
			`{"id":"00u1","profile":{"email":"a@b","emailX":"c@d","login":"a"},"status":"ACTIVE","statusChanged":null}`},
		{"a list is kept as a whole", nil, []string{"_links", "credentials.emails.value", "profile"},
			`{"credentials":{"emails":[{"value":"a@b"}],"password":{}},"id":"00u1","status":"ACTIVE","statusChanged":null}`},
		{"always kept", []string{"profile.login"}, []string{"id", "status"},
			`{"id":"00u1","profile":{"login":"a"},"status":"ACTIVE"}`},
		{"a path below a scalar", []string{"profile.login.x"}, nil, `{"id":"00u1","status":"ACTIVE"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := canonjson.Attributes{Include: test.include, Exclude: test.exclude}.Projector(always)
			for range 2 { // a Projector is reused
				got, err := p.Project([]byte("before"), recordtest.Canonical(t, user))
				if err != nil {
					t.Fatal(err)
				}
				if want := "before" + test.want; string(got) != want {
					t.Errorf("Project() = %s, want %s", got, want)
				}
			}
		})
	}
}

func TestProjectRejects(t *testing.T) {
	p := canonjson.Attributes{Include: []string{"profile.login"}}.Projector(always)
	for _, user := range []string{``, `[]`, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1]`, `{"a:1}`, `{"profile":{"x}}`, `{"a":1 "b":2}`} {
		got, err := p.Project([]byte("before"), []byte(user))
		if err == nil || string(got) != "before" {
			t.Errorf("Project(%s) = %s, %v, want an error", user, got, err)
		}
	}
}

// FuzzProject compares Project with a projection of decoded values.
func FuzzProject(f *testing.F) {
	for _, seed := range recordtest.Users(1) {
		f.Add([]byte(seed), "profile.email profile.title credentials", "credentials.emails profile.title")
	}
	f.Add([]byte(`{"a":{"b":{"c":1}},"a.b":2,"id":"x"}`), "a", "a.b")
	f.Add([]byte(`{"a":{"b\"":{},"x":{"y":null}}}`), "a.x", "a.b\" id")
	f.Fuzz(func(t *testing.T, src []byte, include, exclude string) {
		user, err := canonjson.Canonical(nil, src)
		if err != nil {
			return
		}
		attrs := canonjson.Attributes{Include: strings.Fields(include), Exclude: strings.Fields(exclude)}
		got, err := attrs.Projector(always).Project(nil, user)
		object, ok := recordtest.Decode(t, user).(map[string]any)
		if !ok {
			if err == nil && len(attrs.Include)+len(attrs.Exclude) > 0 {
				t.Fatalf("Project(%s) = %s, want an error", user, got)
			}
			return
		}
		if err != nil {
			t.Fatalf("Project(%s): %v", user, err)
		}
		if want := recordtest.Encode(nil, project(attrs, "", object)); !bytes.Equal(got, want) {
			t.Errorf("Project(%s) by %q = %s, want %s", user, attrs, got, want)
		}
		if again := recordtest.Canonical(t, string(got)); !bytes.Equal(again, got) {
			t.Errorf("Project(%s) = %s, not canonical", user, got)
		}
	})
}

// project decides about each value by its path. It drops an object of which no
// member is kept, unless the object itself is kept.
func project(a canonjson.Attributes, prefix string, object map[string]any) map[string]any {
	out := map[string]any{}
	for name, value := range object {
		path := prefix + name
		under := func(list []string) bool {
			return slices.ContainsFunc(list, func(p string) bool { return path == p || strings.HasPrefix(path, p+".") })
		}
		kept := path == "id" || path == "status" ||
			!under(a.Exclude) && (len(a.Include) == 0 || under(a.Include))
		if inner, ok := value.(map[string]any); ok {
			inner = project(a, path+".", inner)
			value, kept = inner, kept || len(inner) > 0
		}
		if kept {
			out[name] = value
		}
	}
	return out
}
