package snapshot_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

const staff = storetest.Export

// manifest returns the golden manifest, which has every member, as a file.
func manifest(t testing.TB) string {
	t.Helper()
	return string(recordtest.Canonical(t, storetest.Read(t, "testdata", "manifest.json"))) + "\n"
}

// FuzzParseManifest checks that an accepted manifest is written as the same
// bytes, and lists no file outside of its folder.
func FuzzParseManifest(f *testing.F) {
	valid := manifest(f)
	if _, err := snapshot.ParseManifest([]byte(valid)); err != nil {
		f.Fatalf("the seed: %v", err)
	}
	f.Add([]byte(valid))
	f.Add([]byte(strings.Replace(valid, `"users.csv"`, `"../users.csv"`, 1)))
	f.Add([]byte(`{"format":"oktasync.snapshot/2"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := snapshot.ParseManifest(data)
		if err != nil {
			return
		}
		again, err := canonjson.Marshal(m)
		if err != nil || string(again)+"\n" != string(data) {
			t.Errorf("ParseManifest(%q) is written as %q, %v", data, again, err)
		}
		for _, file := range m.Files {
			if filepath.Base(file.Name) != file.Name || strings.HasPrefix(file.Name, ".") {
				t.Errorf("ParseManifest accepts a file named %q", file.Name)
			}
		}
	})
}

func TestParseManifestRejects(t *testing.T) {
	valid := manifest(t)
	for _, test := range []struct{ name, from, to, want string }{
		{"newer", "oktasync.snapshot/2", "oktasync.snapshot/3",
			"its format is oktasync.snapshot/3, and this version of oktasync reads only oktasync.snapshot/2"},
		{"other", "oktasync.snapshot/2", "terraform/4", "its format is not oktasync.snapshot/2"},
		{"white space", `{"client"`, `{ "client"`, "not in canonical form"},
		{"no line feed", "}\n", "}", "not in canonical form"},
		{"unknown member", `"sequence":1`, `"sequence":1,"sequencf":1`, "it has an unknown member"},
		{"duplicate member", `"sequence":1`, `"sequence":1,"sequence":1`, "it has a duplicate member"},
		{"file elsewhere", `"users.csv"`, `"../users.csv"`, `files: a file can't be named "../users.csv" here`},
		{"itself", `"users.csv"`, `"manifest.json"`, `files: a file can't be named "manifest.json" here`},
		{"no records", `"groups.ndjson.zst"`, `"groups.zst"`, "files: there is no groups.ndjson.zst"},
		{"unknown resource", `"groups":{`, `"robots":{`, `resources: doesn't match declared`},
		{"sequence", `"sequence":1`, `"sequence":2`, "sequence: doesn't match previous"},
		{"snapshot", `"snapshot":"20261123T060000Z"`, `"snapshot":"20261131T060000Z"`, "snapshot: "},
		{"export", `"export":"staff"`, `"export":"../staff"`, "export: not the name of an export"},
		{"time", `T06:00:00.000Z"`, `T06:00:00.00Z"`, `its member "/read/started" has a wrong type or value`},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := strings.Replace(valid, test.from, test.to, 1)
			if data == valid {
				t.Fatalf("no %s in %s", test.from, valid)
			}
			_, err := snapshot.ParseManifest([]byte(data))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("ParseManifest: %v, want %q", err, test.want)
			}
		})
	}
}

func TestManifest(t *testing.T) {
	s := storetest.New(t)
	s.SetClock(func() time.Time { return storetest.Day(1).Add(time.Hour) })
	d := storetest.Draft(t, s, storetest.Day(1), append(storetest.People(2), storetest.Group(1, "Everyone"))...)
	d.ClockOffset = 1234567 * time.Microsecond
	d.Org.TLS = []snapshot.TLS{{LeafSHA256: "ab", Issuer: "CN=x", PrivateCA: true, Requests: 1}}
	d.Run.Override = &snapshot.Override{User: "ops", Reason: "a reorganisation", Guard: "too few"}
	snap, err := storetest.Writer(t, s).Publish(t.Context(), d)
	storetest.Must(t, err)
	changing := []string{s.ID(), "STORE"}
	for _, f := range snap.Manifest.Files {
		if f.ContentSHA256 != "" { // another release of zstd may compress differently
			changing = append(changing, f.SHA256, "COMPRESSED", fmt.Sprintf(`"bytes":%d`, f.Bytes), `"bytes":0`)
		}
	}
	data := strings.NewReplacer(changing...).Replace(storetest.Read(t, snap.Dir(), "manifest.json"))
	var indented bytes.Buffer
	storetest.Must(t, json.Indent(&indented, []byte(data), "", "  "))
	recordtest.Golden(t, "manifest.json", indented.Bytes())
	events := storetest.Journal(t, s)
	if last := events[len(events)-1]; last.Event != snapshot.EventPublished || last.Reason != "a reorganisation" || last.User != "ops" {
		t.Errorf("last event = %+v", last)
	}
}
