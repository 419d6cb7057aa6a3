package snapshot_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// A forger changes the newest snapshot of a store and then makes every digest
// and the journal anew, as whoever can write the whole store could: what he
// can't make fit is what the snapshot says of itself in two ways.
type forger struct {
	t     testing.TB
	dir   string            // of the export
	files map[string]string // content of the snapshot's files, decompressed
	m     *snapshot.Manifest
}

func (f *forger) replace(file, from, to string) {
	f.t.Helper()
	if !strings.Contains(f.files[file], from) {
		f.t.Fatalf("no %q in %s:\n%s", from, file, f.files[file])
	}
	f.files[file] = strings.Replace(f.files[file], from, to, 1)
}

// counts changes the counts of users in the manifest.
func (f *forger) counts(change func(*snapshot.Counts)) {
	counts := f.m.Resources["users"]
	change(&counts)
	f.m.Resources["users"] = counts
}

func forge(t testing.TB, s *snapshot.Store, change func(f *forger)) {
	t.Helper()
	snap, err := s.Latest(staff)
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{t: t, dir: filepath.Join(s.Dir(), staff), files: make(map[string]string), m: &snap.Manifest}
	for _, file := range f.m.Files {
		data, err := os.ReadFile(filepath.Join(snap.Dir(), file.Name))
		if err != nil {
			t.Fatal(err)
		}
		if file.ContentSHA256 != "" {
			data = unzstd(t, data)
		}
		f.files[file.Name] = string(data)
	}
	said := slices.Clone(f.m.Files)
	change(f)
	for i := range f.m.Files {
		file := &f.m.Files[i]
		data := []byte(f.files[file.Name])
		if said[i].ContentSHA256 != "" {
			if file.ContentSHA256 == said[i].ContentSHA256 {
				file.ContentSHA256 = hexSum(data)
			}
			encoder, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			data = encoder.EncodeAll(data, nil)
		}
		file.Bytes, file.SHA256 = int64(len(data)), hexSum(data)
		write(t, filepath.Join(snap.Dir(), file.Name), string(data))
	}
	manifest, err := canonjson.Marshal(f.m)
	if err != nil {
		t.Fatal(err)
	}
	manifest = append(manifest, '\n')
	write(t, filepath.Join(snap.Dir(), "manifest.json"), string(manifest))
	var sums strings.Builder
	for _, file := range append(slices.Clone(f.m.Files), snapshot.File{Name: "manifest.json", SHA256: hexSum(manifest)}) {
		fmt.Fprintf(&sums, "%s  %s\n", file.SHA256, file.Name)
	}
	write(t, filepath.Join(snap.Dir(), "SHA256SUMS"), sums.String())
	f.journal(snap.Digest, hexSum(manifest))
}

// journal puts another manifest's digest into the journal.
func (f *forger) journal(was, is string) {
	path := filepath.Join(f.dir, "journal.ndjson")
	data, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	var journal []byte
	last := ""
	for line := range bytes.Lines(data) {
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			f.t.Fatal(err)
		}
		if e["manifest_sha256"] == was {
			e["manifest_sha256"] = is
		}
		if last != "" {
			e["previous_line_sha256"] = last
		}
		line, err := canonjson.Marshal(e)
		if err != nil {
			f.t.Fatal(err)
		}
		line = append(line, '\n')
		last, journal = hexSum(line), append(journal, line...)
	}
	write(f.t, path, string(journal))
}

func unzstd(t testing.TB, data []byte) []byte {
	t.Helper()
	decoder, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	content, err := io.ReadAll(decoder)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Whoever makes all digests fit is found out by what they can't: users, CSV,
// counts, requests and the snapshot before say the same in different ways.
func TestVerifyFindsForgeries(t *testing.T) {
	const (
		users, csv, changes = "users.ndjson.zst", "users.csv", "users.changes.ndjson"
		in                  = "staff@20261125T060000Z/"
	)
	days := threeDays(t)
	for _, test := range []struct {
		name  string
		forge func(f *forger)
		want  []string
	}{
		{"nothing", func(*forger) {}, nil},
		{"cell of the CSV", func(f *forger) { f.replace(csv, "Sales", "Sails") },
			[]string{in + csv + ": is not what the users render to"}},
		{"formula let loose in the CSV", func(f *forger) { f.replace(csv, "'=1+1", "=1+1") },
			[]string{in + csv + ": is not what the users render to"}},
		{"heads of the CSV", func(f *forger) { f.replace(csv, "login,email", "email,login") },
			[]string{in + csv + ": is not what the users render to"}},
		{"head of the CSV that nobody has", func(f *forger) { f.replace(csv, ",id\r\n", ",id,shoe\r\n") },
			[]string{in + csv + ": is not what the users render to"}},
		{"row left out of the CSV", func(f *forger) {
			rows := strings.SplitAfter(f.files[csv], "\n")
			f.files[csv] = strings.Join(slices.Delete(rows, 4, 5), "")
		}, []string{in + csv + ": is not what the users render to"}},
		{"last row left out of the CSV", func(f *forger) {
			rows := strings.SplitAfter(f.files[csv], "\n")
			f.files[csv] = strings.Join(rows[:len(rows)-2], "")
		}, []string{in + csv + ": is not what the users render to"}},
		{"row added to the CSV", func(f *forger) { f.files[csv] += "x\r\n" },
			[]string{in + csv + ": is not what the users render to"}},
		{"rows of the CSV", func(f *forger) { f.m.Files[1].Rows++ },
			[]string{in + csv + ": is not what the users render to"}},
		{"CSV empty", func(f *forger) { f.files[csv] = "" },
			[]string{in + csv + ": is not what the users render to"}},
		{"CSV not declared", func(f *forger) { f.m.Declared.Formats = []string{"ndjson"} },
			[]string{in + csv + ": doesn't match the declared formats"}},
		{"user", func(f *forger) { f.replace(users, "Sales", "Sails") },
			[]string{in + csv + ": is not what the users render to", in + changes + ": is not the difference from 20261124T060000Z"}},
		{"user, and the CSV", func(f *forger) {
			f.replace(users, "Sales", "Sails")
			f.replace(csv, "Sales", "Sails")
		}, []string{in + changes + ": is not the difference from 20261124T060000Z"}},
		{"user left out", func(f *forger) {
			lines := strings.SplitAfter(f.files[users], "\n")
			f.files[users] = strings.Join(slices.Delete(lines, 4, 5), "")
		}, []string{in + users + ": it has 18 users, and the manifest says 19"}},
		{"user left out, and one less", func(f *forger) {
			lines := strings.SplitAfter(f.files[users], "\n")
			f.files[users] = strings.Join(slices.Delete(lines, 4, 5), "")
			f.m.Files[0].Rows--
		}, []string{in + users + ": its users by status are not those of the manifest"}},
		{"users by status", func(f *forger) { f.m.Resources["users"].ByStatus["ACTIVE"]++ },
			[]string{in + users + ": its users by status are not those of the manifest"}},
		{"status that nobody has", func(f *forger) { f.m.Resources["users"].ByStatus["STAGED"] = 0 },
			[]string{in + users + ": its users by status are not those of the manifest"}},
		{"space in a user", func(f *forger) { f.replace(users, `"id":"00u0003"`, `"id": "00u0003"`) },
			[]string{in + users + ": line 3 is not canonical JSON"}},
		{"members of a user in another order", func(f *forger) {
			f.replace(users, `"department":"Sales","login":"p2@acme.example"`, `"login":"p2@acme.example","department":"Sales"`)
		}, []string{in + users + ": line 2 is not canonical JSON"}},
		{"order of users", func(f *forger) {
			lines := strings.SplitAfter(f.files[users], "\n")
			lines[7], lines[8] = lines[8], lines[7]
			f.files[users] = strings.Join(lines, "")
		}, []string{in + users + ": line 9: users are not in the order of their keys"}},
		{"user twice", func(f *forger) {
			lines := strings.SplitAfter(f.files[users], "\n")
			f.files[users] = strings.Join(slices.Insert(lines, 3, lines[2]), "")
		}, []string{in + users + ": line 4: users are not in the order of their keys"}},
		{"user without an id", func(f *forger) { f.replace(users, `"id":"00u0001",`, "") },
			[]string{in + users + ": line 1: a user without id"}},
		{"line that is no user", func(f *forger) { f.files[users] = "[]\n" + f.files[users] },
			[]string{in + users + ": line 1 is not canonical JSON"}},
		{"last line cut short", func(f *forger) { f.files[users] = strings.TrimSuffix(f.files[users], "\n") },
			[]string{in + users + ": it is cut short"}},
		{"digest of the content", func(f *forger) { f.m.Files[0].ContentSHA256 = strings.Repeat("0", 64) },
			[]string{in + users + ": the digest of its content is "}},
		{"change", func(f *forger) { f.replace(changes, "Law", "Art") },
			[]string{in + changes + ": is not the difference from 20261124T060000Z"}},
		{"change left out", func(f *forger) {
			lines := strings.SplitAfter(f.files[changes], "\n")
			f.files[changes] = strings.Join(lines[1:], "")
			f.m.Files[2].Rows--
		}, []string{in + changes + ": is not the difference from 20261124T060000Z"}},
		{"lines of the changes", func(f *forger) { f.m.Files[2].Rows++ },
			[]string{in + changes + ": it has "}},
		{"counts of changes", func(f *forger) { f.counts(func(c *snapshot.Counts) { c.Removed++ }) },
			[]string{in + "manifest.json: its counts of users are not those of the difference from 20261124T060000Z"}},
		{"kinds of changes", func(f *forger) { f.m.Resources["users"].Kinds["moved"]++ },
			[]string{in + "manifest.json: its counts of users are not those of the difference from 20261124T060000Z"}},
		{"base", func(f *forger) { f.counts(func(c *snapshot.Counts) { c.Base = "reset" }) },
			[]string{in + changes + ": doesn't match the base \"reset\""}},
		{"rules of changes", func(f *forger) {
			recordtest.Change(&f.m.Declared, func(u *snapshot.DeclaredResource) { u.Changes.Ignore = []string{"status"} })
		},
			[]string{in + changes + ": is not the difference from 20261124T060000Z"}},
		{"rows of requests", func(f *forger) { f.replace("requests.ndjson", `"rows":19`, `"rows":20`) },
			[]string{in + "requests.ndjson: "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "snapshots")
			if err := os.CopyFS(dir, os.DirFS(days.Dir())); err != nil {
				t.Fatal(err)
			}
			s, err := snapshot.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			forge(t, s, test.forge)
			problems, _ := findings(t, s)
			for _, want := range test.want {
				if !slices.ContainsFunc(problems, func(p string) bool { return strings.HasPrefix(p, want) }) {
					t.Errorf("found:\n\t%s\nwant:\n\t%s", strings.Join(problems, "\n\t"), want)
				}
			}
			if len(test.want) == 0 && len(problems) > 0 {
				t.Errorf("found %q, want nothing", problems)
			}
		})
	}
}
