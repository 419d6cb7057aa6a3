package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

// findings returns the findings of verify, problems and notes apart.
func findings(t testing.TB, s *snapshot.Store) (problems, notes []string) {
	t.Helper()
	_, err := verify.Verify(t.Context(), s, verify.Options{}, func(f verify.Finding) {
		if f.Note {
			notes = append(notes, f.String())
		} else {
			problems = append(problems, f.String())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return problems, notes
}

// threeDays returns a store with three snapshots.
func threeDays(t testing.TB) *snapshot.Store {
	t.Helper()
	s := newStore(t)
	publish(t, s, day(1), people(20)...)
	publish(t, s, day(2), append(people(18), person(21, "STAGED", "Law"))...)
	publish(t, s, day(3), append(people(17), person(18, "DEPROVISIONED", "Sales"), person(21, "ACTIVE", "=1+1"))...)
	return s
}

func TestVerify(t *testing.T) {
	s := threeDays(t)
	var findings []verify.Finding
	sum, err := verify.Verify(t.Context(), s, verify.Options{}, func(f verify.Finding) { findings = append(findings, f) })
	if err != nil || len(findings) > 0 {
		t.Fatalf("Verify: %v, %v", findings, err)
	}
	latest, err := s.Latest(staff)
	if err != nil {
		t.Fatal(err)
	}
	head := verify.Head{Export: staff, Sequence: 3, Snapshot: latest.Name(), Digest: latest.Digest}
	if sum.Snapshots != 3 || sum.Files != 11 || sum.Records["users"] != 20+19+19 || !slices.Equal(sum.Heads, []verify.Head{head}) {
		t.Errorf("Verify() = %+v", sum)
	}
	var told []verify.Progress
	o := verify.Options{Progress: func(p verify.Progress) { told = append(told, p) }}
	if _, err := verify.Verify(t.Context(), s, o, nil); err != nil {
		t.Fatal(err)
	}
	if last := (verify.Progress{Export: staff, Records: 20 + 19, Expected: 20 + 19 + 19}); len(told) != 3 || told[2] != last {
		t.Errorf("told of %+v, last of %+v", told, last)
	}
	if _, err := verify.Verify(t.Context(), s, verify.Options{Exports: []string{"others"}}, nil); err == nil {
		t.Error("Verify of an export that is not there: no error")
	}
}

// The tools that an auditor has find nothing wrong either.
func TestSystemTools(t *testing.T) {
	s := threeDays(t)
	for _, command := range []string{"sha256sum -c SHA256SUMS", "zstd -t users.ndjson.zst"} {
		args := strings.Fields(command)
		if _, err := exec.LookPath(args[0]); err != nil {
			t.Logf("skipped %s: %v", command, err)
			continue
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = filepath.Join(s.Dir(), staff, "latest")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	cmd := exec.Command("sh", "-c", "sed -n 2p journal.ndjson | sha256sum")
	cmd.Dir = filepath.Join(s.Dir(), staff)
	out, err := cmd.Output()
	if want := *journalOf(t, s)[2].PreviousLineSHA256; err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("sed -n 2p journal.ndjson | sha256sum: %s, %v, want %s", out, err, want)
	}
}

// One bit, anywhere in any file of any snapshot, is found, and named.
func TestVerifyFindsEveryFlippedBit(t *testing.T) {
	s := signedDays(t, newSigner(t))
	files, err := filepath.Glob(filepath.Join(s.Dir(), staff, "2*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 20 {
		t.Fatalf("%d files, want 20: %v", len(files), files)
	}
	bits := 6 // of each file
	if long() {
		bits = 48
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		step := max(1, len(data)/bits)
		for offset := 0; offset < len(data); offset += step {
			flipped := bytes.Clone(data)
			flipped[offset] ^= 1 << (offset % 8)
			write(t, path, string(flipped))
			problems, _ := findings(t, s)
			name := filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path)
			if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, name) }) {
				t.Errorf("%s, bit %d of byte %d flipped: %q", name, offset%8, offset, problems)
			}
		}
		write(t, path, string(data))
	}
	if problems, _ := findings(t, s); len(problems) > 0 {
		t.Errorf("put right again: %q", problems)
	}
}

func TestVerifyFindsTampering(t *testing.T) {
	const (
		first  = "20261123T060000Z"
		second = "20261124T060000Z"
		third  = "20261125T060000Z"
	)
	for _, test := range []struct {
		name   string
		tamper func(dir string) error
		want   []string
	}{
		{"file added", func(dir string) error { return os.WriteFile(filepath.Join(dir, second, "notes"), nil, 0o600) },
			[]string{"staff@20261124T060000Z/notes: is not listed in the manifest"}},
		{"file removed", func(dir string) error { return os.Remove(filepath.Join(dir, second, "users.csv")) },
			[]string{"staff@20261124T060000Z/users.csv: is missing"}},
		{"file renamed", func(dir string) error {
			return os.Rename(filepath.Join(dir, second, "users.csv"), filepath.Join(dir, second, "people.csv"))
		}, []string{
			"staff@20261124T060000Z/people.csv: is not listed in the manifest",
			"staff@20261124T060000Z/users.csv: is missing",
		}},
		{"file linked elsewhere", func(dir string) error {
			path := filepath.Join(dir, second, "users.csv")
			if err := os.Rename(path, filepath.Join(dir, "..", ".users.csv")); err != nil {
				return err
			}
			return os.Symlink("../../.users.csv", path)
		}, []string{"staff@20261124T060000Z/users.csv: is no plain file"}},
		{"folder added to a snapshot", func(dir string) error { return os.Mkdir(filepath.Join(dir, second, "old"), 0o700) },
			[]string{"staff@20261124T060000Z/old: is not listed in the manifest"}},
		{"folder in the place of a file", func(dir string) error {
			path := filepath.Join(dir, second, "requests.ndjson")
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
		}, []string{"staff@20261124T060000Z/requests.ndjson: is no plain file"}},
		{"files swapped", func(dir string) error {
			a, b, x := filepath.Join(dir, second, "users.csv"), filepath.Join(dir, third, "users.csv"), filepath.Join(dir, "..", ".x")
			return errors.Join(os.Rename(a, x), os.Rename(b, a), os.Rename(x, b))
		}, []string{
			"staff@20261124T060000Z/users.csv: it has 1116 bytes, and the manifest says 1107",
			"staff@20261125T060000Z/users.csv: its digest is …",
		}},
		{"snapshot linked elsewhere", func(dir string) error {
			path := filepath.Join(dir, second)
			return errors.Join(os.Rename(path, filepath.Join(dir, "..", ".away")), os.Symlink("../.away", path))
		}, []string{
			"staff/20261124T060000Z: is no part of an export",
			"staff@20261125T060000Z/manifest.json: follows 20261124T060000Z, which is gone",
		}},
		{"journal linked elsewhere", func(dir string) error {
			path := filepath.Join(dir, "journal.ndjson")
			return errors.Join(os.Rename(path, filepath.Join(dir, "..", ".journal")), os.Symlink("../.journal", path))
		}, []string{
			"staff/journal.ndjson: is no part of an export",
			"staff/journal.ndjson: is missing or empty",
		}},
		{"manifest removed", func(dir string) error { return os.Remove(filepath.Join(dir, second, "manifest.json")) },
			[]string{"staff@20261124T060000Z/manifest.json: is missing"}},
		{"snapshot cut from the middle", func(dir string) error { return os.RemoveAll(filepath.Join(dir, second)) },
			[]string{"staff@20261125T060000Z/manifest.json: follows 20261124T060000Z, which is gone"}},
		{"snapshot cut from the end", func(dir string) error {
			if err := os.RemoveAll(filepath.Join(dir, third)); err != nil {
				return err
			}
			return relink(dir, second)
		}, []string{"staff@20261125T060000Z: was published, and is gone"}},
		{"snapshot renamed", func(dir string) error {
			return os.Rename(filepath.Join(dir, first), filepath.Join(dir, "20261123T070000Z"))
		}, []string{
			"staff@20261123T070000Z/manifest.json: its manifest is that of staff@20261123T060000Z",
			"staff@20261124T060000Z/manifest.json: follows 20261123T060000Z, which is gone",
		}},
		{"snapshots swapped", func(dir string) error {
			for _, names := range [][2]string{{first, "x"}, {second, first}, {"x", second}} {
				if err := os.Rename(filepath.Join(dir, names[0]), filepath.Join(dir, names[1])); err != nil {
					return err
				}
			}
			return nil
		}, []string{
			"staff@20261123T060000Z/manifest.json: its manifest is that of staff@20261124T060000Z",
			"staff@20261124T060000Z/manifest.json: its manifest is that of staff@20261123T060000Z",
		}},
		{"snapshot copied in", func(dir string) error {
			return os.CopyFS(filepath.Join(dir, "20261126T060000Z"), os.DirFS(filepath.Join(dir, third)))
		}, []string{
			"staff@20261126T060000Z/manifest.json: its manifest is that of staff@20261125T060000Z",
			`staff/latest: leads to "20261125T060000Z", and the newest is "20261126T060000Z"`,
		}},
		{"folder added", func(dir string) error { return os.Mkdir(filepath.Join(dir, "old"), 0o700) },
			[]string{"staff/old: is no part of an export"}},
		{"file added to the store", func(dir string) error { return os.WriteFile(filepath.Join(dir, "..", "notes.txt"), nil, 0o600) },
			[]string{"notes.txt: is no part of a store"}},
		{"journal line edited", func(dir string) error { return edit(filepath.Join(dir, "journal.ndjson"), `"ops"`, `"nob"`) },
			[]string{"staff/journal.ndjson: line 3 does not follow the line before it"}},
		{"journal line cut from the middle", func(dir string) error { return cutLines(filepath.Join(dir, "journal.ndjson"), 3, 4) },
			[]string{"staff/journal.ndjson: line 4 does not follow the line before it"}},
		{"journal cut before the last snapshot", func(dir string) error { return cutLines(filepath.Join(dir, "journal.ndjson"), 6, 9) },
			[]string{
				"staff/journal.ndjson: has 6 lines, and had 7 before 20261125T060000Z",
				"staff@20261125T060000Z: the journal does not know it",
			}},
		{"journal removed", func(dir string) error { return os.Remove(filepath.Join(dir, "journal.ndjson")) },
			[]string{"staff/journal.ndjson: is missing or empty"}},
		{"latest turned back", func(dir string) error { return relink(dir, second) },
			[]string{`staff/latest: leads to "20261124T060000Z", and the newest is "20261125T060000Z"`}},
		{"latest elsewhere", func(dir string) error { return relink(dir, "../../"+third) },
			[]string{`staff/latest: leads to "../../20261125T060000Z", and the newest is "20261125T060000Z"`}},
		{"latest removed", func(dir string) error { return os.Remove(filepath.Join(dir, "latest")) },
			[]string{"staff/latest: is missing"}},
		{"latest a folder", func(dir string) error {
			if err := os.Remove(filepath.Join(dir, "latest")); err != nil {
				return err
			}
			return os.Mkdir(filepath.Join(dir, "latest"), 0o700)
		}, []string{"staff/latest: is no symbolic link"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := threeDays(t)
			dir := filepath.Join(s.Dir(), staff)
			if err := test.tamper(dir); err != nil {
				t.Fatal(err)
			}
			problems, _ := findings(t, s)
			same := func(problem, want string) bool {
				digest, ok := strings.CutPrefix(problem, strings.TrimSuffix(want, "…"))
				return problem == want || ok && strings.HasSuffix(want, "…") && digest != ""
			}
			if !slices.EqualFunc(problems, test.want, same) {
				t.Errorf("found:\n\t%s\nwant:\n\t%s", strings.Join(problems, "\n\t"), strings.Join(test.want, "\n\t"))
			}
		})
	}
}

func relink(dir, target string) error {
	if err := os.Remove(filepath.Join(dir, "latest")); err != nil {
		return err
	}
	return os.Symlink(target, filepath.Join(dir, "latest"))
}

// edit replaces the first of a text in a file.
func edit(path, from, to string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(data, []byte(from)) {
		return fmt.Errorf("no %s in %s", from, path)
	}
	return os.WriteFile(path, bytes.Replace(data, []byte(from), []byte(to), 1), 0o600)
}

// cutLines takes the lines from number from+1 to number to out of a file.
func cutLines(path string, from, to int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	return os.WriteFile(path, bytes.Join(slices.Concat(lines[:from], lines[to:]), nil), 0o600)
}

// A file that somebody has made so long that reading it would take days is no
// longer one that was published.
func TestVerifyReadsNoFurtherThanPublished(t *testing.T) {
	s := newStore(t)
	snap := publish(t, s, day(1), people(3)...)
	publish(t, s, day(2), people(3)...)
	sums, err := os.Stat(filepath.Join(snap.Dir(), "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(snap.Manifest.Files, snapshot.File{Name: "SHA256SUMS", Bytes: sums.Size()}) {
		path := filepath.Join(snap.Dir(), file.Name)
		if err := os.Truncate(path, 1<<33); err != nil {
			t.Skip("no sparse files here:", err)
		}
		want := []string{fmt.Sprintf("staff@%s/%s: it has %d bytes, and the manifest says %d", snap.Name(), file.Name, 1<<33, file.Bytes)}
		if file.Name == "SHA256SUMS" {
			want = []string{"staff@" + snap.Name() + "/SHA256SUMS: does not say what the manifest says"}
		}
		if problems, notes := findings(t, s); !slices.Equal(problems, want) || len(notes) > 0 {
			t.Errorf("Verify: %q %q, want %q", problems, notes, want)
		}
		if err := os.Truncate(path, file.Bytes); err != nil {
			t.Fatal(err)
		}
	}
}

// A copy of a store is as good as the store, and so is one that nothing can
// be written to.
func TestVerifyCopy(t *testing.T) {
	s := threeDays(t)
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(s.Dir())); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			err = os.Chmod(path, 0o400)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := snapshot.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if problems, notes := findings(t, c); len(problems)+len(notes) > 0 {
		t.Errorf("Verify of a copy: %q %q", problems, notes)
	}
}

// An export that was emptied does not pass in silence. What a crash in its
// first run leaves looks the same, so it is a note.
func TestVerifyEmptiedExport(t *testing.T) {
	for _, left := range []string{".lock", "journal.ndjson"} {
		s := threeDays(t)
		removeAll(t, s.Dir(), staff)
		write(t, filepath.Join(s.Dir(), staff, left), "")
		want := []string{"staff: holds no snapshot and no journal: its first run was cut off, or all that it had was taken away"}
		if problems, notes := findings(t, s); len(problems) > 0 || !slices.Equal(notes, want) {
			t.Errorf("Verify with %q left: %q %q, want the note %q", left, problems, notes, want)
		}
	}
}
