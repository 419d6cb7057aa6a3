// Package recordtest makes and decodes records for the tests of package reconcile
// and of the packages below it. Start reading at [ListOf].
package recordtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

var update = flag.Bool("update", false, "write the golden files")

// Golden compares got with the file name in testdata.
func Golden(t testing.TB, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, got, 0o644)); err != nil {
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

// A List is a [diff.Reader] of records in memory.
type List struct {
	Records []diff.Record
	Err     error // after the last record; nil: io.EOF
	next    int
}

// ErrBroken is the error of a reader or writer that fails.
var ErrBroken = errors.New("broken")

// Broken returns a list whose first read fails with [ErrBroken].
func Broken() *List { return &List{Err: ErrBroken} }

// ListOf returns records, in any form of JSON, in the order given. The key is
// their member id; that of an edge consists of the members that end in _id.
func ListOf(t testing.TB, records ...string) *List {
	t.Helper()
	l := new(List)
	for _, src := range records {
		line := Canonical(t, src)
		l.Records = append(l.Records, diff.Record{Key: key(Decode(t, line)), JSON: line})
	}
	return l
}

func key(record any) []byte {
	object, _ := record.(map[string]any)
	if id, ok := object["id"].(string); ok {
		return []byte(id)
	}
	var ends []string
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if end, ok := object[name].(string); ok && strings.HasSuffix(name, "_id") {
			ends = append(ends, end)
		}
	}
	return []byte(strings.Join(ends, "\x00"))
}

// Next implements [diff.Reader].
func (l *List) Next() (diff.Record, error) {
	switch {
	case l.next < len(l.Records):
		l.next++
		return l.Records[l.next-1], nil
	case l.Err != nil:
		return diff.Record{}, l.Err
	}
	return diff.Record{}, io.EOF
}

// Close implements [diff.Reader]. The next read returns the first record again.
func (l *List) Close() error {
	l.next = 0
	return nil
}

// JSON returns the records from the first on.
func (l *List) JSON() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, r := range l.Records {
			if !yield(r.JSON, nil) {
				return
			}
		}
		if l.Err != nil {
			yield(nil, l.Err)
		}
	}
}

// ReadAll returns the JSON of all records by key, and closes r.
func ReadAll(t testing.TB, r diff.Reader, err error) map[string]string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	records := make(map[string]string)
	for {
		record, err := r.Next()
		if err == io.EOF {
			return records
		}
		if err != nil {
			t.Fatal(err)
		}
		records[string(record.Key)] = string(record.JSON)
	}
}

// Diff returns the lines of the changes between two readers, and the counts.
func Diff(t testing.TB, before, after diff.Reader, rules diff.Rules) ([]byte, diff.Counts) {
	t.Helper()
	var lines []byte
	counts, err := diff.Diff(before, after, rules, func(c *diff.Change) (err error) {
		lines, err = c.Line(lines)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines, counts
}

// Users returns n users as Okta sends them, about 1.4 kB each.
func Users(n int) []string {
	users := make([]string, n)
	for i := range users {
		users[i] = fmt.Sprintf(oktaUser, i, i, i, i%7, i, i, i, i)
	}
	return users
}

// oktaUser has its members in Okta's order, which isn't sorted.
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

// Canonical returns the canonical form of src, which must be valid.
func Canonical(t testing.TB, src string) []byte {
	t.Helper()
	b, err := canonjson.Canonical(nil, []byte(src))
	if err != nil {
		t.Fatalf("Canonical(%s): %v", src, err)
	}
	return b
}

// Decode decodes JSON with another library than package canonjson. Numbers are
// json.Number.
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

// Encode appends the canonical form of a decoded value. It shares no code with
// package canonjson.
func Encode(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return fmt.Append(dst, v)
	case json.Number:
		return append(dst, v...)
	case string:
		return encodeString(dst, v)
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
			dst = append(encodeString(dst, name), ':')
			dst = Encode(dst, v[name])
		}
		return append(dst, '}')
	}
	panic(fmt.Sprintf("not JSON: %T", v))
}

func encodeString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		if i := strings.IndexRune("\"\\\b\f\n\r\t", r); i >= 0 {
			dst = append(dst, '\\', `"\bfnrt`[i])
		} else if r < ' ' {
			dst = fmt.Appendf(dst, `\u%04x`, r)
		} else {
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}
