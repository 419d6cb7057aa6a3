package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// A quarantined read isn't released after the read, or the line that covers it, was
// edited.
func TestEditedReadIsNotReleased(t *testing.T) {
	prepared := newRotatedSite(t)
	for _, test := range []struct {
		name string
		edit func(a *attack)
		want string
	}{
		{"read.json", func(a *attack) { a.edit(a.quarantinedFile("read.json"), `"total":0`, `"total":1`) }, "it has changed since the read"},
		{"transcript", func(a *attack) { a.edit(a.quarantinedFile("requests.ndjson"), "GET", "PUT") }, "requests.ndjson"},
		{"transcript and read.json", func(a *attack) {
			path := a.quarantinedFile("requests.ndjson")
			before, _ := fileDigest(a, path)
			a.edit(path, "GET", "PUT")
			after, _ := fileDigest(a, path)
			a.edit(a.quarantinedFile("read.json"), before, after)
		}, "it has changed since the read"},
		{"read.json and the covered line", func(a *attack) {
			path := a.quarantinedFile("read.json")
			before, _ := fileDigest(a, path)
			a.edit(path, `"total":0`, `"total":1`)
			after, _ := fileDigest(a, path)
			a.edit(filepath.Join(a.forgery.dir, "journal.ndjson"), before, after)
		}, "a journal line that its checkpoint covers is missing or changed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAttack(t, prepared.copy(t))
			test.edit(a)
			names := strings.Join(a.names(), " ")
			name := filepath.Base(filepath.Dir(a.quarantinedFile("read.json")))
			if r := a.run(t, "quarantine", "release", "all-users@"+name, "--reason", "x"); r.status != 1 || !strings.Contains(r.stderr, test.want) {
				t.Errorf("release: status %d\n%swant %q", r.status, r.stderr, test.want)
			}
			if after := strings.Join(a.names(), " "); after != names {
				t.Errorf("snapshots = %s, want %s", after, names)
			}
		})
	}
}

// quarantinedFile returns the path of a file of the newest quarantined read.
func (a *attack) quarantinedFile(name string) string {
	paths, err := filepath.Glob(a.path("snapshots/.quarantine/all-users/*", name))
	check(a, err)
	return paths[len(paths)-1]
}

// A journal line that was appended without a checkpoint removes no quarantined read
// that a covered line names.
func TestAppendedLineRemovesNoRead(t *testing.T) {
	a := newAttack(t, newRotatedSite(t))
	digest, _ := fileDigest(t, a.quarantinedFile("read.json"))
	a.append("started", nil)
	a.append("quarantined", map[string]any{"snapshot": "20261130T000000Z", "read_sha256": digest})
	a.must(t, 0, "apply")
	a.must(t, 0, "verify")
}

// The base of the diff is swapped while apply reads the users.
func TestBaseSwappedDuringRead(t *testing.T) {
	needs(t, "zstd")
	s := newSignedSite(t, sandbox.Config{Users: 30, Seed: 152}, signedExport)
	s.must(t, 0, "apply")
	a := newAttack(t, s)
	names := a.names()
	a.open(names[0])
	var once sync.Once
	s.org.OnRequest(func(int, *http.Request) { once.Do(func() { a.records(nil) }) })
	if r := s.must(t, 1, "apply"); !strings.Contains(r.stderr, names[0]+"/users.ndjson.zst: ") {
		t.Errorf("apply: %s", r.stderr)
	}
	if n := len(a.names()); n != 1 {
		t.Errorf("%d snapshots, want 1", n)
	}
}

// An older copy replaces the store of a running daemon. Other runs extend the copy
// beyond the lines that the daemon has written.
func TestOldCopyExtendedBesideTheDaemon(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 30, Seed: 153})
	s.must(t, 0, "apply")
	other := s.copy(t)
	d := s.start(t, "    schedule: \"@every 2s\"\n    retry: {most: 0}\n")
	d.wait("snapshot published")
	for range 4 {
		other.must(t, 0, "apply")
	}
	check(t, os.Rename(s.path("snapshots"), s.path("lost")))
	check(t, os.Rename(other.path("snapshots"), s.path("snapshots")))
	if line := d.wait("an older copy has replaced it"); !strings.Contains(line, "reconcile failed") {
		t.Errorf("log = %s", line)
	}
	d.stop(syscall.SIGTERM)
}
