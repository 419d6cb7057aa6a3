package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// newSignedSite is a site whose snapshots are signed.
func newSignedSite(t testing.TB, cfg sandbox.Config, export string, scopes ...string) *site {
	t.Helper()
	needs(t, "ssh-keygen")
	s := newSite(t, cfg, scopes...)
	s.sh(t, `ssh-keygen -q -t ed25519 -N '' -f signing-key
echo "archive@acme.example $(cat signing-key.pub)" >allowed_signers`)
	s.configure(t, export, "store:\n", "store:\n  signing_key_file: signing-key\n  allowed_signers_file: allowed_signers\n")
	return s
}

// checker is the path of check.py, which shares no code with oktasync.
func checker(t testing.TB) string {
	t.Helper()
	needs(t, "python3", "zstd", "sha256sum", "ssh-keygen")
	path, err := filepath.Abs("../docs/check.py")
	check(t, err)
	return path
}

// checkStore runs check.py with arguments in the site's folder.
func (s *site) checkStore(t testing.TB, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("python3", append([]string{checker(t)}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// signers are the arguments of check.py for a signed site.
var signers = []string{"snapshots", "allowed_signers", "archive@acme.example"}

// check.py accepts a store of seven signed snapshots and two pruned ones. Okta's
// clock is set back once.
func TestIndependentChecker(t *testing.T) {
	t.Parallel()
	checker(t)
	s := newSignedSite(t, sandbox.Config{Users: 120, Seed: 31, Deprovisioned: 5}, "    users: {}\n    groups: {}\n    retain: {last: 7}\n", usersAndGroups...)
	var groups []string
	s.org.SetClockOffset(30 * time.Second)
	for day := range 9 {
		if day == 4 {
			s.org.SetClockOffset(0)
		}
		s.org.Join(day % 3)
		s.org.Move(day)
		s.org.Touch(5)
		s.org.Deactivate(day % 2)
		s.org.Delete(day % 4)
		groups = append(groups, s.org.AddGroup(fmt.Sprintf("Team %d", day), ""))
		check(t, s.org.SetGroup(groups[day/2], "profile.description", []byte(`"changed"`)))
		if day > 5 {
			check(t, s.org.DeleteGroup(groups[day-1]))
		}
		s.must(t, 0, "apply")
	}
	s.must(t, 0, "verify")
	s.equalsOrg(t)
	r := s.checkStore(t, signers...)
	if r.status != 0 || !strings.Contains(r.stdout, "all-users: manifests 9, snapshots 7, ") || strings.Contains(r.stdout, " changes 0") || r.stderr != "" {
		t.Errorf("check.py: status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	r = s.checkStore(t, append([]string{"snapshots/all-users/latest"}, signers[1:]...)...)
	if r.status != 0 || !strings.Contains(r.stdout, ": snapshots 1, ") || !strings.Contains(r.stderr, "the chain and the journal were not checked") {
		t.Errorf("check.py of a snapshot: status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
}

// check.py reports each change of a store in one line.
func TestIndependentCheckerReportsChanges(t *testing.T) {
	t.Parallel()
	checker(t)
	s := newSignedSite(t, sandbox.Config{Users: 30, Seed: 33}, "")
	for range 3 {
		s.org.Move(1)
		s.must(t, 0, "apply")
	}
	s.org.Wipe()
	for range 3 {
		s.must(t, 3, "apply")
	}
	s.must(t, 0, "quarantine", "drop", "all-users@"+strings.TrimSpace(s.sh(t, "ls snapshots/.quarantine/all-users | head -n1")), "--reason", "CHG-1")
	if r := s.checkStore(t, signers...); r.status != 0 || !strings.Contains(r.stdout, ", quarantined 2\n") || r.stderr != "" {
		t.Fatalf("check.py: status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	s.sh(t, "mv snapshots whole")
	for _, test := range []struct{ name, change, want string }{
		{"checkpoint missing", "rm checkpoint", "checkpoint: is missing"},
		{"signature of the checkpoint missing", "head -n1 checkpoint >x && mv x checkpoint", "checkpoint: only one of signature and signed_by is there"},
		{"checkpoint edited", `sed -i 's/"sequence":3/"sequence":4/' checkpoint`, "checkpoint: ssh-keygen: "},
		{"checkpoint of another store", `sed -i 's/"store_id":"./"store_id":"x/' ../oktasync.json`, "checkpoint: belongs to another store"},
		{"covered line edited", `sed -i '1s/started/stopped/' journal.ndjson`, "journal.ndjson: line 1: has another event or export"},
		{"covered line reformatted", `sed -i '2s/"export"/"Export"/' journal.ndjson`, "journal.ndjson: line 2: is not canonical JSON"},
		{"covered lines cut", "sed -i '$d' journal.ndjson", "journal.ndjson: lines that the checkpoint covers are missing"},
		{"first snapshot missing", "rm -r $(ls -d 2* | head -n1)", "a snapshot before it is missing"},
		{"newest snapshot missing", "rm -r $(ls -d 2* | tail -n1)", "the newest snapshot is not the one that the checkpoint covers"},
		{"forged tombstone", "mkdir pruned && cd pruned && cp -r ../$(ls .. | head -n1) . && rm -r ../$(ls) && find . -type f ! -name 'manifest*' -delete",
			"the journal has no event pruned for it"},
		{"manifest edited", "sed -i s/root/toor/ latest/manifest.json", "manifest.json: ssh-keygen: "},
		{"signature of a manifest missing", "rm latest/manifest.json.sig", "manifest.json.sig: is missing"},
		{"CSV edited", "sed -i s/ACTIVE/ACTIVF/ latest/users.csv", "sha256sum: "},
		{"another file", "touch latest/x", "a file is missing or not in the manifest"},
		{"quarantined read missing", "rm -r ../.quarantine/all-users/*", "read.json: is missing"},
		{"quarantined read edited", `sed -i 's/"total":0/"total":1/' ../.quarantine/all-users/*/read.json`, "read.json: is not the read that the journal names"},
		{"records of a quarantined read edited", "for f in ../.quarantine/all-users/*/requests.ndjson; do sed -i s/GET/PUT/ $f; done", "requests.ndjson: has another digest"},
		{"file of a quarantined read missing", "rm ../.quarantine/all-users/*/requests.ndjson", "a file is missing or not in read.json"},
		{"file added to a quarantined read", "for d in ../.quarantine/all-users/*; do touch $d/x; done", "a file is missing or not in read.json"},
		{"quarantine replaced by a file", "rm -r ../.quarantine && touch ../.quarantine", ".quarantine/all-users"},
		{"link to another snapshot", "ln -sfn $(ls -d 2* | head -n1) latest", "latest: doesn't lead to the newest snapshot"},
	} {
		s.sh(t, "rm -rf snapshots && cp -r whole snapshots && cd snapshots/all-users && "+test.change)
		r := s.checkStore(t, signers...)
		if r.status != 1 || strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "problem: ") || !strings.Contains(r.stderr, test.want) {
			t.Errorf("%s: check.py: status %d, want %q\n%s%s", test.name, r.status, test.want, r.stdout, r.stderr)
		}
	}
}

// Without a signature, only the content of the files contradicts them. check.py
// compares it with the manifest.
func TestIndependentCheckerReportsContent(t *testing.T) {
	t.Parallel()
	checker(t)
	for _, test := range []struct {
		name  string
		forge func(f *forgery)
		want  string
	}{
		{"nothing", func(*forgery) {}, ""},
		{"changes", func(f *forgery) { f.users()["changed"] = 2 }, "users.changes.ndjson: the manifest has other counts of changes"},
		{"kinds", func(f *forgery) { f.users()["kinds"] = map[string]int{"changed": 1} }, "users.changes.ndjson: the manifest has other kinds of changes"},
		{"total", func(f *forgery) { f.users()["total"] = 6 }, "requests.ndjson: rows of users are missing"},
		{"records", func(f *forgery) { f.records([]byte(`{"id":"00u1","profile":{"login":"x"},"status":"ACTIVE"}` + "\n")) },
			"users.ndjson.zst: the manifest has another number of records"},
		{"CSV", func(f *forgery) {
			path := filepath.Join(f.newest, "users.csv")
			write(f, path, strings.Replace(read(f, path), "ACTIVE", "PASSIVE", 1))
		}, "users.csv: row "},
	} {
		s := newSite(t, sandbox.Config{Users: 5, Seed: 34})
		s.must(t, 0, "apply")
		s.org.Move(1)
		s.must(t, 0, "apply")
		s.forge(t, test.forge)
		r := s.checkStore(t, "snapshots")
		if (r.status == 0) != (test.want == "") || !strings.Contains(r.stderr, test.want) || !strings.Contains(r.stderr, "is not signed") {
			t.Errorf("%s: check.py: status %d, want %q\n%s%s", test.name, r.status, test.want, r.stdout, r.stderr)
		}
	}
}

// verify and check.py compare the removals since a pruned snapshot with the transcript.
func TestRemovalSinceAPrunedSnapshot(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 30, Seed: 35})
	s.must(t, 0, "apply")
	s.org.Delete(1)
	s.must(t, 0, "apply")
	s.must(t, 0, "prune", "all-users@"+newAttack(t, s).names()[0], "--reason", "CHG-1")
	for _, test := range []struct{ file, from, to, want string }{
		{"users.changes.ndjson", `"request_id":"`, `"request_id":"x`, "line 1: the proof of a removal is not in requests.ndjson"},
		{"users.changes.ndjson", `"http_status":404`, `"http_status":200`, "line 1: the proof of a removal is not in requests.ndjson"},
		{"requests.ndjson", `"error":"E0000007"`, `"error":"E0000404"`, "line 1: the proof of a removal is not in requests.ndjson"},
		{"users.changes.ndjson", `"kind":"deleted"`, `"kind":"out_of_scope"`, "line 1: a removal is out_of_scope, and its proof shows deleted"},
	} {
		c := s.copy(t)
		c.must(t, 0, "verify")
		if r := c.checkStore(t, "snapshots"); r.status != 0 {
			t.Fatalf("check.py: %s", r.stderr)
		}
		c.forge(t, func(f *forgery) {
			path := filepath.Join(f.newest, test.file)
			before := read(t, path)
			write(f, path, strings.Replace(before, test.from, test.to, 1))
			if read(t, path) == before {
				t.Fatalf("%s has no %s", path, test.from)
			}
			if strings.Contains(test.to, "kind") {
				f.users()["kinds"] = map[string]int{"out_of_scope": 1}
			}
		})
		verify, script := c.must(t, 1, "verify").stdout, c.checkStore(t, "snapshots")
		if !strings.Contains(verify, test.want) || !strings.Contains(script.stderr, test.want) || script.status != 1 {
			t.Errorf("%s, %s: verify and check.py print\n%s%s%swant %q", test.file, test.to, verify, script.stdout, script.stderr, test.want)
		}
	}
}

// check.py accepts the snapshot of a released read without users, and the quarantined
// read that remains.
func TestIndependentCheckerAcceptsRelease(t *testing.T) {
	t.Parallel()
	checker(t)
	s := newSignedSite(t, sandbox.Config{Users: 30, Seed: 36}, "")
	s.must(t, 0, "apply")
	s.org.Wipe()
	s.must(t, 3, "apply")
	s.must(t, 3, "apply")
	s.must(t, 0, "quarantine", "release", "all-users", "--reason", "CHG-1")
	r := s.checkStore(t, signers...)
	if r.status != 0 || !strings.Contains(r.stdout, "snapshots 2, ") || !strings.Contains(r.stdout, ", quarantined 1\n") || r.stderr != "" {
		t.Errorf("check.py: status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
}

// check.py accepts the first signature in an unsigned store, and a loss, if a person
// adopted them.
func TestIndependentCheckerAcceptsAdoption(t *testing.T) {
	t.Parallel()
	checker(t)
	s := newSignedSite(t, sandbox.Config{Users: 30, Seed: 35}, "")
	signed := read(t, s.path("oktasync.yaml"))
	s.configure(t, "")
	s.must(t, 0, "apply")
	write(t, s.path("oktasync.yaml"), signed)
	s.must(t, 0, "adopt", "all-users", "--reason", "first signature")
	s.org.Move(1)
	s.must(t, 0, "apply")
	s.sh(t, "cd snapshots/all-users && rm -r $(ls -d 2* | tail -n1)")
	s.must(t, 0, "adopt", "all-users", "--reason", "INC-7: disk lost")
	s.org.Move(1)
	s.must(t, 0, "apply")
	s.must(t, 0, "verify")
	r := s.checkStore(t, signers...)
	if r.status != 0 || strings.Count(r.stderr, "adopted problems on") != 2 {
		t.Errorf("check.py: status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
}
