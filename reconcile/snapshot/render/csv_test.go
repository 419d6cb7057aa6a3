package render_test

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/render"
)

var schema = snapshot.Users.Schema()

// writeCSV returns users as CSV.
func writeCSV(t testing.TB, users *recordtest.List, attrs canonjson.Attributes) []byte {
	t.Helper()
	columns, err := render.LearnColumns(users.JSON(), schema, attrs)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := render.WriteCSV(&b, users.JSON(), columns); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWriteCSV(t *testing.T) {
	users := func() *recordtest.List {
		return recordtest.ListOf(t,
			`{"id":"00u1","status":"ACTIVE","created":"2024-02-14T09:00:00.000Z","type":{"id":"oty1"},"profile":{"login":"a@x",
			  "firstName":"Zoë","lastName":"O'Neil, \"Z\"","title":"=HYPERLINK(\"http://x\")","langs":["de","en"],"badge":-12345678901234567890,
			  "remote":true,"motto":"line\none\r\nline two","phone":"+49 30 1","quote":"'tis"}}`,
			`{"id":"00u2","status":"STAGED","activated":null,"profile":{"login":"-","firstName":"","lastName":null,"badge":1.50,
			  "motto":" \t=1+1","phone":"＝1","nobody":null,"zone":{"b":"x,y"}},"_links":{"self":{"href":"https://x/"}},"title":"not the profile's"}`,
		)
	}
	for _, test := range []struct {
		name  string
		attrs canonjson.Attributes
	}{
		{"everything", canonjson.Attributes{}},
		{"excluded", canonjson.Attributes{Exclude: []string{"_links", "profile.manager", "profile.badge", "title", "type"}}},
		{"included", canonjson.Attributes{Include: []string{"id", "profile.zone.b", "profile.title", "profile.zone", "created", "profile.shoe"}}},
		{"one", canonjson.Attributes{Include: []string{"activated"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cut := users()
			p := test.attrs.Projector(schema.Always)
			for i := range cut.Records {
				var err error
				if cut.Records[i].JSON, err = p.Project(nil, cut.Records[i].JSON); err != nil {
					t.Fatal(err)
				}
			}
			recordtest.Golden(t, "csv/"+test.name+".golden.csv", writeCSV(t, cut, test.attrs))
		})
	}
	for r, want := range map[*snapshot.Resource]string{
		snapshot.Users: "login,email,firstName,lastName,status,title,department,manager,employeeNumber,userType," +
			"created,activated,lastLogin,statusChanged,passwordChanged,id\r\n",
		snapshot.Groups: "name,description,type,created,lastUpdated,lastMembershipUpdated,id\r\n",
	} {
		var empty bytes.Buffer
		err := render.WriteCSV(&empty, new(recordtest.List).JSON(), render.NewColumns(r.Schema(), canonjson.Attributes{}))
		if err != nil || empty.String() != want {
			t.Errorf("no %s: %q, %v, want %q", r.Name, empty.String(), err, want)
		}
	}
}

func TestWriteCSVFails(t *testing.T) {
	one := recordtest.ListOf(t, `{"id":"1","profile":{"login":"a"}}`)
	two := recordtest.ListOf(t, `{"id":"2","profile":{"shoe":41}}`)
	columns, err := render.LearnColumns(one.JSON(), schema, canonjson.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	err = render.WriteCSV(io.Discard, two.JSON(), columns)
	if want := `no column for "profile.shoe"`; err == nil || err.Error() != want {
		t.Errorf("WriteCSV() error = %v, want %s", err, want)
	}
	if err := render.WriteCSV(io.Discard, recordtest.Broken().JSON(), columns); err != recordtest.ErrBroken {
		t.Errorf("WriteCSV() error = %v, want the reader's", err)
	}
	if _, err := render.LearnColumns(recordtest.Broken().JSON(), schema, canonjson.Attributes{}); err != recordtest.ErrBroken {
		t.Errorf("LearnColumns() error = %v, want the reader's", err)
	}
	if err := render.WriteCSV(brokenWriter{}, one.JSON(), columns); err != recordtest.ErrBroken {
		t.Errorf("WriteCSV() error = %v, want the writer's", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, recordtest.ErrBroken }

// No cell begins with a character that makes a spreadsheet run it.
func TestNoFormulas(t *testing.T) {
	for _, text := range []string{"=1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "\ufeff=1",
		"\u200b-1", "\x00=1", "＝1", "＋1", "－1", "＠x", "'", "'=1", "''"} {
		value, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		out := writeCSV(t, recordtest.ListOf(t, `{"id":`+string(value)+`}`), canonjson.Attributes{Include: []string{"id"}})
		rows := readCSV(t, out)
		if want := "'" + text; rows[1][0] != want {
			t.Errorf("%q is written as %q, want %q", text, rows[1][0], want)
		}
	}
	for _, text := range []string{"", "a=1", "1-1", "a@b", "名前", "#1", `"=1"`} {
		value, _ := json.Marshal(text)
		rows := readCSV(t, writeCSV(t, recordtest.ListOf(t, `{"id":`+string(value)+`}`), canonjson.Attributes{Include: []string{"id"}}))
		if rows[1][0] != text {
			t.Errorf("%q is written as %q, want it unchanged", text, rows[1][0])
		}
	}
	rows := readCSV(t, writeCSV(t, recordtest.ListOf(t, `{"=cmd":1,"n":-5}`), canonjson.Attributes{Exclude: []string{"profile"}}))
	if header := rows[0]; !slices.Contains(header, "'=cmd") || rows[1][slices.Index(header, "n")] != "-5" {
		t.Errorf("rows = %q, want a header without a formula and an unchanged number", rows)
	}
}

// FuzzWriteCSV reads the file by the rules in the doc comment of WriteCSV, and
// compares each value with the decoded JSON.
func FuzzWriteCSV(f *testing.F) {
	for _, seed := range append(recordtest.Users(1), `{"profile":{"a":"'=\r\n\",","b":[null,"="],"c":"\t"},"title":null,"login":"x"}`,
		`{"profile":"none","x":{"y":1e5}}`, `{"":"","profile":{"":"-"}}`) {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "profile.login profile.a profile x.y id")
	}
	f.Fuzz(func(t *testing.T, src []byte, include string) {
		user, err := canonjson.Canonical(nil, src)
		if err != nil || user[0] != '{' {
			return
		}
		checkRendered(t, user, include)
		object := recordtest.Decode(t, user).(map[string]any)
		if dotted(object) {
			return // a path could stand for two values
		}
		attrs := including(include)
		list := &recordtest.List{Records: []diff.Record{{JSON: user}}}
		rows := readCSV(t, writeCSV(t, list, attrs))
		if len(rows) != 2 || len(rows[0]) != len(rows[1]) {
			t.Fatalf("%q: %d rows, want a header and one row of its length", rows, len(rows))
		}
		got := map[string]string{}
		for i, name := range rows[0] {
			got[strings.TrimPrefix(name, "'")] = strings.TrimPrefix(rows[1][i], "'")
		}
		if len(attrs.Include) == 0 {
			compareAll(t, got, object)
		}
		for _, path := range attrs.Include {
			var value any = object
			for name := range strings.SplitSeq(path, ".") {
				inside, _ := value.(map[string]any)
				value = inside[name]
			}
			compareCell(t, got, headerOf(path), value)
		}
	})
}

// dotted reports whether a name in v has a dot.
func dotted(v any) bool {
	object, _ := v.(map[string]any)
	for name, value := range object {
		if strings.Contains(name, ".") || dotted(value) {
			return true
		}
	}
	return false
}

// headerOf returns the header of the column for path.
func headerOf(path string) string {
	name, inProfile := strings.CutPrefix(path, "profile.")
	switch short := slices.Contains(profileNames, name); {
	case short && inProfile:
		return name
	case short:
		return "." + name
	}
	return path
}

// profileNames are the profile attributes whose columns have a short header.
var profileNames = strings.Fields("login email firstName lastName title department manager employeeNumber userType")

// compareAll compares a row with all attributes of a user.
func compareAll(t *testing.T, got map[string]string, object map[string]any) {
	t.Helper()
	profile, _ := object["profile"].(map[string]any)
	for name, value := range profile {
		compareCell(t, got, headerOf("profile."+name), value)
		delete(got, headerOf("profile."+name))
	}
	for name, value := range object {
		if name != "profile" || profile == nil {
			compareCell(t, got, headerOf(name), value)
			delete(got, headerOf(name))
		}
	}
	for column, text := range got {
		if text != "" {
			t.Errorf("column %q = %q without such an attribute", column, text)
		}
	}
}

func compareCell(t *testing.T, got map[string]string, column string, value any) {
	t.Helper()
	want, isString := value.(string)
	if !isString && value != nil {
		want = string(recordtest.Encode(nil, value))
	}
	if got[column] != want {
		t.Errorf("%q = %q, want %q", column, got[column], want)
	}
}

// readCSV parses CSV as strictly as RFC 4180: a bare line feed outside of quotes
// is an error.
func readCSV(t *testing.T, b []byte) [][]string {
	t.Helper()
	var rows [][]string
	row := []string{}
	for i := 0; i < len(b); {
		var cell []byte
		if b[i] == '"' {
			for i++; ; i++ {
				if i == len(b) {
					t.Fatalf("%q: an open quote", b)
				}
				if b[i] == '"' {
					if i++; i == len(b) || b[i] != '"' {
						break
					}
				}
				cell = append(cell, b[i])
			}
		} else {
			for i < len(b) && b[i] != ',' && b[i] != '\r' {
				if b[i] == '"' || b[i] == '\n' {
					t.Fatalf("%q: %q outside of quotes", b, b[i])
				}
				cell = append(cell, b[i])
				i++
			}
		}
		row = append(row, string(cell))
		switch {
		case i < len(b) && b[i] == ',':
			if i++; i == len(b) {
				t.Fatalf("%q: no end of line", b)
			}
		case bytes.HasPrefix(b[i:], []byte("\r\n")):
			i += 2
			rows, row = append(rows, row), []string{}
		default:
			t.Fatalf("%q: no comma and no end of line at %d", b, i)
		}
	}
	return rows
}

func BenchmarkWriteCSV1000Users(b *testing.B) {
	users := recordtest.ListOf(b, recordtest.Users(1000)...)
	for b.Loop() {
		writeCSV(b, users, canonjson.Attributes{})
	}
}

// including returns attributes that include the paths in text.
func including(text string) (attrs canonjson.Attributes) {
	for path := range strings.FieldsSeq(text) {
		if !slices.Contains(attrs.Include, path) {
			attrs.Include = append(attrs.Include, path)
		}
	}
	return attrs
}

// checkCSV reports whether a CSVChecker accepts file as the CSV of users.
func checkCSV(users *recordtest.List, attrs canonjson.Attributes, file []byte) (bool, error) {
	c := render.NewCSVChecker(schema, attrs, bytes.NewReader(file))
	scanner := c.Scanner(nil)
	for _, user := range users.Records {
		c.Begin()
		if err := scanner.Scan(append(bytes.Clone(user.JSON), '\n')); err != nil {
			return false, err
		}
		c.Add()
	}
	return c.Close()
}

// checkRendered checks that a CSVChecker accepts the output of WriteCSV, and no
// other file.
func checkRendered(t *testing.T, user []byte, include string) {
	t.Helper()
	attrs := including(include)
	first := recordtest.Canonical(t, `{"id":"0","a":{"b":[{"c":null}]},"profile":{"x":1}}`)
	users := &recordtest.List{Records: []diff.Record{{JSON: first}, {JSON: user}, {JSON: user}}}
	file := writeCSV(t, users, attrs)
	if same, err := checkCSV(users, attrs, file); err != nil || !same {
		t.Fatalf("checkCSV(%s) = %t, %v, want the output of WriteCSV accepted", file, same, err)
	}
	others := [][]byte{nil, file[:len(file)-1], append(bytes.Clone(file), '\n')}
	for i := 0; i < len(file); i += 1 + len(file)/16 {
		other := bytes.Clone(file)
		other[i] ^= 1
		others = append(others, other)
	}
	for _, other := range others {
		if same, err := checkCSV(users, attrs, other); err != nil || same {
			t.Fatalf("checkCSV(%q) = %t, %v, want only %q accepted", other, same, err, file)
		}
	}
}

// Two columns with the same header are in the order in which they were found.
func TestCheckCSVHeaders(t *testing.T) {
	for _, user := range []string{`{"id":"1","login":"a",".login":"b"}`, `{".login":"b","id":"1","login":"a","profile":{".login":2,"login":1}}`} {
		checkRendered(t, recordtest.Canonical(t, user), "")
	}
}
