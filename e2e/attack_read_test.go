package e2e

import (
	"errors"
	"io/fs"
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
		}, "a journal line that the checkpoint covers is missing or changed"},
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

// Without @READ, the commands of quarantine take the newest read that the journal names,
// and no other one if that is missing or has changed.
func TestNewestReadIsMissingOrChanged(t *testing.T) {
	prepared := newRotatedSite(t)
	for _, test := range []struct {
		name   string
		change string // with the older and the newer read as $1 and $2
		want   string
	}{
		{"changed", `sed -i 's/"total":0/"total":1/' "$2/read.json"`, "has changed since the read"},
		{"read.json removed", `rm "$2/read.json"`, "is missing"},
		{"removed", `rm -r "$2"`, "is missing"},
		{"replaced by the older one", `rm -r "$2"; cp -a "$1" "$2"`, "has changed since the read"},
		{"swapped with the older one", `mv "$1" x; mv "$2" "$1"; mv x "$2"`, "has changed since the read"},
		{"replaced by a link to the older one", `rm -r "$2"; ln -s "$(basename "$1")" "$2"`, "is not a folder"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAttack(t, prepared.copy(t))
			newest := filepath.Base(filepath.Dir(a.quarantinedFile("read.json")))
			before := a.tree(t)
			a.sh(t, "cp -a snapshots/.quarantine original; set -- snapshots/.quarantine/all-users/*; "+test.change)
			changed := a.tree(t)
			for _, args := range [][]string{{"release", "all-users", "--reason", "x"}, {"diff", "all-users"}, {"show", "all-users"}} {
				r := a.must(t, 1, append([]string{"quarantine"}, args...)...)
				if !strings.Contains(r.stderr, "the newest quarantined read, all-users@"+newest) || !strings.Contains(r.stderr, test.want) || r.stdout != "" {
					t.Errorf("%s: stdout %q\n%swant %q, and %q", args, r.stdout, r.stderr, newest, test.want)
				}
			}
			if a.tree(t) != changed {
				t.Error("a command that fails has written to the store")
			}
			a.sh(t, "rm -r snapshots/.quarantine; mv original snapshots/.quarantine")
			if a.tree(t) != before {
				t.Fatal("the reads are not in place again")
			}
			a.must(t, 0, "quarantine", "release", "all-users", "--reason", "x")
		})
	}
	t.Run("removed, then dropped", func(t *testing.T) {
		a := newAttack(t, prepared.copy(t))
		newest := filepath.Dir(a.quarantinedFile("read.json"))
		check(t, os.RemoveAll(newest))
		a.must(t, 1, "verify")
		a.must(t, 0, "quarantine", "drop", "all-users@"+filepath.Base(newest), "--reason", "lost")
		a.must(t, 0, "verify")
		a.must(t, 0, "quarantine", "release", "all-users", "--reason", "x")
		a.must(t, 0, "verify")
	})
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

// If a released read is still in the quarantine, the next run removes it, and not a copy
// of it under another name.
func TestCopyOfAReleasedReadIsNotRemovedInstead(t *testing.T) {
	a := newAttack(t, newRotatedSite(t))
	read := filepath.Dir(a.quarantinedFile("read.json"))
	a.sh(t, "cp -a "+read+" read")
	a.must(t, 0, "quarantine", "release", "all-users", "--reason", "x")
	a.sh(t, "cp -a read "+read+"; cp -a read "+filepath.Dir(read)+"/20200101T000000Z")
	a.must(t, 0, "apply")
	if _, err := os.Stat(read); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the read is still there: %v", err)
	}
}

// If the allowed signers don't accept a checkpoint, status reports damage, and prints no
// head.
func TestStatusOfACheckpointThatIsNotAccepted(t *testing.T) {
	prepared := newRotatedSite(t)
	prepared.must(t, 0, "status", "--heads")
	for key, want := range map[string]string{retiredKey: "no longer valid", "": "the checkpoint is not signed"} {
		a := newAttack(t, prepared.copy(t))
		a.checkpoint(key, nil)
		if r := a.must(t, 1, "status", "--heads"); !strings.Contains(r.stderr, want) || r.stdout != "" {
			t.Errorf("status --heads prints\n%s%swant %q", r.stdout, r.stderr, want)
		}
		if out := a.must(t, 0, "status", "--json").stdout; !strings.Contains(out, want) {
			t.Errorf("status doesn't print %q:\n%s", want, out)
		}
	}
}

// status and the daemon report a covered line of the journal that was changed, also if it
// isn't the last one. Other exports have their usual states.
func TestStatusOfAChangedJournal(t *testing.T) {
	t.Parallel()
	const want = "a journal line that the checkpoint covers is missing or changed"
	s := newSite(t, sandbox.Config{Users: 30, Seed: 95})
	d := s.start(t, "    schedule: 0 0 1 1 *\n  - name: contractors\n    schedule: 0 0 1 1 *\n")
	s.must(t, 0, "apply")
	d.waitUpToDate()
	s.sh(t, "sed -i 1s/all-users/no-users/ snapshots/all-users/journal.ndjson")
	d.wait("export not accepted")
	d.wantPage("/fresh", http.StatusServiceUnavailable, "all-users: unknown since ", want)
	r := s.must(t, 1, "status")
	if !strings.Contains(r.stderr, "error: all-users: "+want+"\noktasync: hint: ") || !strings.Contains(r.stdout, "\nall-users    unknown     1 ") || !strings.Contains(r.stdout, "\ncontractors  up to date  1 ") {
		t.Errorf("status:\n%s%s", r.stdout, r.stderr)
	}
	if r := s.must(t, 1, "status", "--json"); !strings.Contains(r.stdout, `"last_error": "`+want) {
		t.Errorf("status --json:\n%s", r.stdout)
	}
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
	for !strings.Contains(d.wait("an older copy has replaced it"), "reconcile failed") {
	}
	d.stop(syscall.SIGTERM)
}
