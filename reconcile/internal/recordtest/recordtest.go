// Package recordtest has records and helpers for the tests of the store.
package recordtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// A List is a UserReader of users held in memory.
type List struct {
	Records []diff.Record
	Pos     int // index of the next record
}

func (l *List) Next() (diff.Record, error) {
	if l.Pos == len(l.Records) {
		return diff.Record{}, io.EOF
	}
	l.Pos++
	return l.Records[l.Pos-1], nil
}

func (l *List) Close() error { return nil }

// Of returns users, given in any form of JSON, in the order given.
func Of(t testing.TB, users ...string) *List {
	t.Helper()
	l := new(List)
	for _, u := range users {
		line := Canonical(t, u)
		id, _ := Decode(t, line).(map[string]any)["id"].(string)
		l.Records = append(l.Records, diff.Record{Key: []byte(id), JSON: line})
	}
	return l
}

// Org returns n made-up users as Okta sends them, about 1.4 kB each.
func Org(n int) []string {
	users := make([]string, n)
	for i := range users {
		users[i] = fmt.Sprintf(oktaUser, i, i, i, i%7, i, i, i, i)
	}
	return users
}

func BytesOf(texts []string) [][]byte {
	var all [][]byte
	for _, text := range texts {
		all = append(all, []byte(text))
	}
	return all
}

// oktaUser has its members in Okta's order, which is no order.
const oktaUser = `{"id":"00u%017d","status":"ACTIVE","created":"2024-02-14T09:00:00.000Z","activated":"2024-02-14T09:00:01.000Z",` +
	`"statusChanged":"2024-02-14T09:00:01.000Z","lastLogin":"2026-11-20T07:12:33.000Z","lastUpdated":"2026-10-02T11:20:00.000Z",` +
	`"passwordChanged":null,"type":{"id":"otyfnjfba4ye7pgjB0g4"},"profile":{"firstName":"Zoë-%d","lastName":"Müller",` +
	`"mobilePhone":null,"secondEmail":null,"login":"user-%d@acme.example","email":"zoe.mueller@acme.example","displayName":"Zoë Müller",` +
	`"title":"Site Reliability Engineer %d","department":"Platform Engineering","division":"Technology","organization":"Acme GmbH",` +
	`"costCenter":"CC-%d","employeeNumber":"E%07d","manager":"José Álvarez","managerId":"00u00000000000000017","userType":"Employee",` +
	`"streetAddress":"Chausseestraße 12","city":"Berlin","state":"Berlin","zipCode":"10115","countryCode":"DE","locale":"de_DE",` +
	`"timezone":"Europe/Berlin","preferredLanguage":"de","badge":%d,"salaryBand":12345678901234567890,"entitlements":["vpn","git","wiki"]},` +
	`"credentials":{"password":{},"emails":[{"value":"zoe.mueller@acme.example","status":"VERIFIED","type":"PRIMARY"}],` +
	`"recovery_question":{"question":"What was your first exam?"},"provider":{"type":"OKTA","name":"OKTA"}},` +
	`"_links":{"self":{"href":"https://acme.okta.com/api/v1/users/00u%017d"}}}`

// Canonical returns the canonical form of src, which is valid.
func Canonical(t testing.TB, src string) []byte {
	t.Helper()
	b, err := canonjson.Canonical(nil, []byte(src))
	if err != nil {
		t.Fatalf("Canonical(%s): %v", src, err)
	}
	return b
}

// Decode decodes JSON as another library sees it, with numbers as texts.
func Decode(t testing.TB, src []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("decode %s: %v", src, err)
	}
	return v
}

var update = flag.Bool("update", false, "write the golden files anew")

// Golden compares got with the file name in testdata.
func Golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", path, got, want)
	}
}

// Encode is a canonical Encoder in the simplest form.
func Encode(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return fmt.Append(dst, v)
	case json.Number:
		return append(dst, v...)
	case string:
		dst = append(dst, '"')
		for _, r := range v {
			if i := strings.IndexRune("\"\\\b\f\n\r\t", r); i >= 0 {
				dst = append(dst, '\\', `"\bfnrt`[i])
			} else if r < ' ' {
				dst = fmt.Appendf(dst, `\u%04x`, r)
			} else {
				dst = append(dst, string(r)...)
			}
		}
		return append(dst, '"')
	case []any:
		dst = append(dst, '[')
		for i, element := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = Encode(dst, element)
		}
		return append(dst, ']')
	case map[string]any:
		var names []string
		for name := range v {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int {
			return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		})
		dst = append(dst, '{')
		for i, name := range names {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(Encode(dst, name), ':')
			dst = Encode(dst, v[name])
		}
		return append(dst, '}')
	}
	panic(fmt.Sprintf("no JSON: %T", v))
}

// ErrBroken is the error of a Broken reader and writer.
var ErrBroken = errors.New("broken")

// Broken is a Reader and a writer that fails.
type Broken struct{ List }

// Next returns ErrBroken.
func (*Broken) Next() (diff.Record, error) { return diff.Record{}, ErrBroken }

// Write returns ErrBroken.
func (*Broken) Write([]byte) (int, error) { return 0, ErrBroken }

// Declaration returns the declaration of an export of users with all defaults.
func Declaration() snapshot.Declaration {
	limit := snapshot.Percent(5)
	return snapshot.Declaration{
		Formats: []string{snapshot.FormatNDJSON, snapshot.FormatCSV},
		Resources: map[string]snapshot.DeclaredResource{"users": {
			Narrowing: &snapshot.Narrowing{IncludeDeprovisioned: true},
			Attributes: canonjson.Attributes{
				Include: []string{},
				Exclude: []string{"credentials.recovery_question", "credentials.emails", "_links"},
			},
			Changes: snapshot.Changes{
				Ignore: []string{"lastLogin", "lastUpdated"},
				Moved: []string{
					"profile.title", "profile.department", "profile.division", "profile.costCenter",
					"profile.managerId", "profile.manager", "profile.userType",
				},
			},
			Guard: snapshot.Guard{MaxRemoved: snapshot.Percent(1), MaxDeactivated: &limit, AtLeast: 25, Min: 1},
		}},
	}
}

// Change changes the declaration of users in d.
func Change(d *snapshot.Declaration, change func(*snapshot.DeclaredResource)) {
	users := d.Resources["users"]
	change(&users)
	d.Resources["users"] = users
}

// Rules returns the rules for comparing users of two snapshots under changes.
func Rules(changes snapshot.Changes) diff.Rules {
	d := snapshot.Declaration{Resources: map[string]snapshot.DeclaredResource{"users": {Changes: changes}}}
	rules, _ := snapshot.RulesFor(snapshot.Users, &d, d)
	return rules
}
