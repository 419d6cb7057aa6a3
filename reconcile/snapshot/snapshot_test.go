package snapshot_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// manifest returns a manifest.json with everything in it.
func manifest(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(recordtest.Canonical(t, string(data))) + "\n"
}

// What ParseManifest accepts is what the manifest is written as, names a
// snapshot, and names no file outside of its folder.
func FuzzParseManifest(f *testing.F) {
	valid := manifest(f)
	if _, err := snapshot.ParseManifest([]byte(valid)); err != nil {
		f.Fatalf("the seed: %v", err)
	}
	f.Add([]byte(valid))
	f.Add([]byte(strings.Replace(valid, `"users.csv"`, `"../users.csv"`, 1)))
	f.Add([]byte(`{"format":"oktasync.snapshot/3"}` + "\n"))
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
				t.Errorf("ParseManifest lets pass a file named %q", file.Name)
			}
		}
	})
}

func TestParseManifestRefuses(t *testing.T) {
	valid := manifest(t)
	for _, test := range []struct{ name, from, to, want string }{
		{"newer", "oktasync.snapshot/2", "oktasync.snapshot/3",
			"its format is oktasync.snapshot/3, and this version of oktasync reads only oktasync.snapshot/2"},
		{"other", "oktasync.snapshot/2", "terraform/4", "its format is not oktasync.snapshot/2"},
		{"white space", `{"client"`, `{ "client"`, "not in canonical form"},
		{"no line feed", "}\n", "}", "not in canonical form"},
		{"unknown member", `"sequence":1`, `"sequence":1,"sequencf":1`, "it has an unknown member"},
		{"duplicate member", `"sequence":1`, `"sequence":1,"sequence":1`, "it has two members of one name"},
		{"file elsewhere", `"users.csv"`, `"../users.csv"`, `files: a file can't be named "../users.csv" here`},
		{"itself", `"users.csv"`, `"manifest.json"`, `files: a file can't be named "manifest.json" here`},
		{"sequence", `"sequence":1`, `"sequence":2`, "sequence: does not fit previous"},
		{"snapshot", `"snapshot":"20261123T060000Z"`, `"snapshot":"20261131T060000Z"`, "snapshot: "},
		{"export", `"export":"staff"`, `"export":"../staff"`, "export: not the name of an export"},
		{"time", `T06:00:00.000Z"`, `T06:00:00.00Z"`, `its member "/read/started" is not what it has to be`},
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

// Whoever knows no Go sees the manifest of the contract.
func TestManifestShape(t *testing.T) {
	s := newStore(t)
	d := draft(t, s, day(1), people(2)...)
	d.ClockOffset = 1234567 * time.Microsecond
	d.Org.TLS = &snapshot.TLS{LeafSHA256: "ab", Issuer: "CN=x", PrivateCA: true}
	d.Run.Override = &snapshot.Override{User: "ops", Reason: "a reorganisation", Guard: "too few"}
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	snap, err := w.Publish(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(snap.Dir(), "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	users := snap.Manifest.Files[0] // as another release of zstd may write it
	data = []byte(strings.NewReplacer(s.ID(), "STORE", users.SHA256, "COMPRESSED", fmt.Sprintf(`"bytes":%d`, users.Bytes), `"bytes":0`).Replace(string(data)))
	var shape bytes.Buffer
	if err := json.Indent(&shape, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	recordtest.Golden(t, "manifest.json", shape.Bytes())
	events := journalOf(t, s)
	if last := events[len(events)-1]; last.Event != snapshot.EventPublished || last.Reason != "a reorganisation" || last.User != "ops" {
		t.Errorf("last event = %+v", last)
	}
}
