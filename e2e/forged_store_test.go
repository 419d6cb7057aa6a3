package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile/snapshot"
)

// A forgery changes the newest snapshot of all-users. The digests in the manifest,
// the journal, the checkpoint and the other files are computed again, so that only
// the content is false.
type forgery struct {
	testing.TB
	dir      string // of the export
	newest   string // folder of the snapshot
	manifest map[string]any
}

// forge applies a change to the store of a site.
func (s *site) forge(t testing.TB, change func(f *forgery)) {
	t.Helper()
	f := &forgery{TB: t, dir: s.path("snapshots/all-users")}
	newest, err := os.Readlink(filepath.Join(f.dir, "latest"))
	check(t, err)
	f.newest = filepath.Join(f.dir, newest)
	before := read(t, filepath.Join(f.newest, "manifest.json"))
	f.decode(before, &f.manifest)
	change(f)
	f.rewriteJournal(snapshot.DigestOf([]byte(before)), f.seal())
}

// seal computes the digests of the snapshot's files again, writes its manifest, and
// returns the digest of the manifest.
func (f *forgery) seal() string {
	f.Helper()
	var sums []snapshot.File
	for _, entry := range f.manifest["files"].([]any) {
		file := entry.(map[string]any)
		name, _ := file["name"].(string)
		if info, err := os.Lstat(filepath.Join(f.newest, name)); err != nil || !info.Mode().IsRegular() {
			continue // the change replaced it
		}
		digest, size := fileDigest(f, filepath.Join(f.newest, name))
		file["sha256"], file["bytes"] = digest, json.Number(fmt.Sprint(size))
		sums = append(sums, snapshot.File{Name: name, SHA256: digest})
	}
	after := f.encode(f.manifest)
	write(f, filepath.Join(f.newest, "manifest.json"), after)
	digest := snapshot.DigestOf([]byte(after))
	sums = append(sums, snapshot.File{Name: "manifest.json", SHA256: digest})
	write(f, filepath.Join(f.newest, "SHA256SUMS"), string(snapshot.Sums(sums)))
	return digest
}

// rewriteJournal replaces the digest of a manifest in the journal and the checkpoint.
func (f *forgery) rewriteJournal(was, is string) {
	path, last, lines := filepath.Join(f.dir, "journal.ndjson"), "", 0
	var journal strings.Builder
	for line := range strings.Lines(read(f, path)) {
		var event map[string]any
		f.decode(line, &event)
		if event["manifest_sha256"] == was {
			event["manifest_sha256"] = is
		}
		if last != "" {
			event["previous_line_sha256"] = last
		}
		line = f.encode(event)
		last = snapshot.DigestOf([]byte(line))
		journal.WriteString(line)
		lines++
	}
	write(f, path, journal.String())
	path = filepath.Join(f.dir, "checkpoint")
	var checkpoint map[string]any
	f.decode(read(f, path), &checkpoint)
	checkpoint["lines"], checkpoint["bytes"], checkpoint["line_sha256"] = lines, journal.Len(), last
	if checkpoint["manifest_sha256"] == was {
		checkpoint["manifest_sha256"] = is
	}
	write(f, path, f.encode(checkpoint))
}

func (f *forgery) users() map[string]any {
	return f.manifest["resources"].(map[string]any)["users"].(map[string]any)
}

func (f *forgery) file(name string) map[string]any {
	for _, entry := range f.manifest["files"].([]any) {
		if file := entry.(map[string]any); file["name"] == name {
			return file
		}
	}
	f.Fatalf("the manifest has no file %s", name)
	return nil
}

// records replaces the records of users, compressed as the program does.
func (f *forgery) records(content []byte) {
	f.Helper()
	cmd := exec.Command("zstd", "-q", "-c", "--zstd=wlog=20")
	cmd.Stdin = bytes.NewReader(content)
	packed, err := cmd.Output()
	check(f, err)
	write(f, filepath.Join(f.newest, "users.ndjson.zst"), string(packed))
	f.file("users.ndjson.zst")["content_sha256"] = snapshot.DigestOf(content)
}

func (f *forgery) decode(text string, v any) {
	f.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	check(f, d.Decode(v))
}

// encode returns v as canonical JSON, with a line feed.
func (f *forgery) encode(v any) string {
	f.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	check(f, e.Encode(v))
	return b.String()
}

func fileDigest(t testing.TB, path string) (digest string, size int64) {
	t.Helper()
	f, err := os.Open(path)
	check(t, err)
	defer f.Close()
	d := snapshot.NewDigest()
	if info, err := f.Stat(); err == nil && info.Size() < 1<<30 { // a sparse file is larger
		_, err = f.WriteTo(d)
		check(t, err)
	} else {
		d.Bytes = info.Size()
	}
	return d.String(), d.Bytes
}

// memory is the most memory that a reader of a small store may use, in KiB. The
// program itself uses about a third of it.
const memory = 96 << 10

// bounded runs a reader. It fails if the reader crashes, uses too much memory, or
// prints a control character.
func (s *site) bounded(t testing.TB, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute) // only a reader that hangs takes so long
	defer stop()
	cmd := s.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	check(t, cmd.Start())
	peak := peakMemory(cmd.Process.Pid)
	err := cmd.Wait()
	r := result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	name := strings.Join(args, " ")
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatalf("oktasync %s: %v", name, err)
	}
	if r.status != 0 && r.status != 1 {
		t.Errorf("oktasync %s: status %d\n%.2000s", name, r.status, r.stderr)
	}
	if peak := <-peak; peak > memory {
		t.Errorf("oktasync %s uses %d KiB, at most %d are allowed", name, peak, memory)
	}
	text := r.stderr
	if args[0] != "show" && !slices.Contains(args, "--json") { // which print data as it is, unless to a terminal
		text += r.stdout
	}
	if i := strings.IndexFunc(text, isControl); i >= 0 {
		t.Errorf("oktasync %s prints a control character: %q", name, text[max(0, i-80):i+1])
	}
	return r
}

// peakMemory sends the most memory of a process, in KiB, when it has ended. It reads
// /proc every few milliseconds, and sends 0 where there is none. (The rusage of a
// process includes the memory of its parent before the exec.)
func peakMemory(pid int) <-chan int {
	result := make(chan int, 1)
	go func() {
		peak := 0
		for {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			_, after, ok := strings.Cut(string(status), "VmHWM:")
			if !ok { // it has ended
				result <- peak
				return
			}
			fmt.Sscan(after, &peak)
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return result
}

// isControl reports whether r may change the state of a terminal.
func isControl(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r >= 0x7f && r < 0xa0
}

// verify refuses a manifest that doesn't list requests.ndjson, because nothing proves its
// counts.
func TestVerifyNeedsTheTranscript(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 5, Seed: 131})
	s.configure(t, "")
	s.must(t, 0, "apply")
	s.forge(t, func(f *forgery) {
		f.manifest["files"] = slices.DeleteFunc(f.manifest["files"].([]any), func(file any) bool {
			return file.(map[string]any)["name"] == "requests.ndjson"
		})
		f.users()["rows"], f.users()["outside"] = 12345, 12340
		check(f, os.Remove(filepath.Join(f.newest, "requests.ndjson")))
	})
	if r := s.run(t, "verify"); r.status != 1 || !strings.Contains(r.stdout, "there is no requests.ndjson") {
		t.Errorf("verify: status %d\n%s", r.status, r.stdout)
	}
}

// The time and memory of verify are bounded by the size of the store on disk.
func TestVerifyIsBoundedByItsInput(t *testing.T) {
	needs(t, "zstd")
	essay := func(n, size int) []byte { // n users of this size
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, `{"id":"00u%04d","profile":{"essay":"%s","login":"x"},"status":"ACTIVE"}`+"\n", i, strings.Repeat("a", size))
		}
		return b.Bytes()
	}
	grow := func(f *forgery, name string) {
		if err := os.Truncate(filepath.Join(f.newest, name), 1<<32); err != nil {
			t.Skip("no sparse files here:", err)
		}
	}
	for _, test := range []struct {
		name  string
		forge func(f *forgery)
		want  string
	}{
		{"content of 64 MiB in a small file", func(f *forgery) { f.records(essay(64, 1<<20)) },
			"users.ndjson.zst: its content is more than 1000 times as large as the file"},
		{"line of 64 MiB", func(f *forgery) { f.records(essay(1, 64<<20)) }, "users.ndjson.zst: line longer than 4194304 bytes"},
		{"window of 128 MiB", func(f *forgery) {
			cmd := exec.Command("sh", "-c", "yes | head -c 1000000 | zstd -q -c --long=27")
			packed, err := cmd.Output()
			check(t, err)
			write(t, filepath.Join(f.newest, "users.ndjson.zst"), string(packed))
		}, "users.ndjson.zst: its compressed content is damaged"},
		{"sparse records of 4 GiB", func(f *forgery) { grow(f, "users.ndjson.zst") }, "users.ndjson.zst: it has a hole"},
		{"sparse CSV of 4 GiB", func(f *forgery) { grow(f, "users.csv") }, "users.csv: it has a hole"},
		{"sparse requests of 4 GiB", func(f *forgery) { grow(f, "requests.ndjson") }, "requests.ndjson: it has a hole"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, sandbox.Config{Users: 5, Seed: 131})
			s.configure(t, "    formats: [ndjson, csv]\n")
			s.must(t, 0, "apply")
			s.forge(t, test.forge)
			if r := s.bounded(t, "verify"); r.status != 1 || !strings.Contains(r.stdout, test.want) {
				t.Errorf("verify: status %d\n%swant %q", r.status, r.stdout, test.want)
			}
		})
	}
}

// The time of verify grows with the size of the store, not with the product of the
// lines of the journal and the folders.
func TestVerifyOfManyLinesAndFolders(t *testing.T) {
	if !long() {
		t.Skip("takes half a minute")
	}
	cpu := func(lines, folders int) time.Duration {
		s := newSite(t, sandbox.Config{Users: 1, Seed: 133})
		s.must(t, 0, "apply")
		name := func(i int) string {
			return time.Date(2000, 1, 1, 0, 0, i, 0, time.UTC).Format("20060102T150405Z")
		}
		for i := range folders {
			check(t, os.Mkdir(s.path("snapshots/all-users", name(i)), 0o700))
		}
		var journal strings.Builder
		for i := range lines {
			fmt.Fprintf(&journal, `{"event":"published","export":"all-users","manifest_sha256":"%064x","previous_line_sha256":"","snapshot":"%s","time":"2026-01-01T00:00:00.000Z"}`+"\n",
				i, name(folders+i))
		}
		write(t, s.path("snapshots/all-users/journal.ndjson"), s.journal(t)+journal.String())
		s.forge(t, func(*forgery) {})
		cmd := s.command(t.Context(), "verify", "--json")
		cmd.Run() // reports the missing snapshots
		if cmd.ProcessState.ExitCode() != 1 {
			t.Fatalf("verify = %v", cmd.ProcessState)
		}
		return cmd.ProcessState.UserTime()
	}
	small, large := cpu(20_000, 4_000), cpu(80_000, 16_000)
	t.Logf("%s, and %s for four times as many", small, large)
	if large > 8*small {
		t.Errorf("verify takes %s, and %s for four times as many lines and folders", small, large)
	}
}
