package e2e

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// A rollback is a site with two signed exports of two snapshots each, and a copy of
// its store that has only the first ones.
type rollback struct {
	*site
	older string // the copy
	head  string // the noted head of all-users in the newer state, for verify --head
}

func newRollback(t *testing.T) *rollback {
	t.Helper()
	s := newSignedSite(t, sandbox.Config{Users: 20, Seed: 141}, everySecond+"  - name: staff\n")
	r := &rollback{site: s, older: s.path("older")}
	s.must(t, 0, "apply")
	check(t, os.CopyFS(r.older, os.DirFS(s.path("snapshots"))))
	s.org.Move(1)
	s.must(t, 0, "apply")
	r.head, _, _ = strings.Cut(s.must(t, 0, "status", "--heads").stdout, "\n")
	return r
}

// verifies runs verify, and verify with the noted head. Both print the wanted text.
// The exit status is 0 for a note, for which the text is empty or begins with
// "unfinished", and otherwise 1.
func (r *rollback) verifies(t *testing.T, want, wantWithHead string) {
	t.Helper()
	for _, test := range []struct {
		want string
		args []string
	}{{want, []string{"verify"}}, {wantWithHead, []string{"verify", "--head", r.head}}} {
		status := 1
		if test.want == "" || strings.HasPrefix(test.want, "unfinished") {
			status = 0
		}
		got := r.must(t, status, test.args...)
		if out := got.stdout + got.stderr; !strings.Contains(out, test.want) {
			t.Errorf("oktasync %s:\n%swant %q", strings.Join(test.args, " "), out, test.want)
		}
	}
}

// startHourly starts a daemon that doesn't reconcile during the test.
func (r *rollback) startHourly(t *testing.T) *daemon {
	t.Helper()
	return r.startWith(t, strings.NewReplacer("@every 1s", "@every 1h", `listen: ""`, "listen: 127.0.0.1:0").Replace(read(t, r.path("oktasync.yaml"))))
}

// waitForStatus waits until the status page was made twice with a text.
func (d *daemon) waitForStatus(text string) {
	d.t.Helper()
	first := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		_, body := get(d.t, d.url+"/api/v1/status")
		switch {
		case !strings.Contains(body, text):
		case first == "":
			first = body
		case body != first:
			return
		}
	}
	d.t.Fatalf("the status doesn't contain %q", text)
}

// daemonFinds changes the store between two runs of a daemon. The next run fails
// with the text. daemonFinds returns the line of the log.
func (r *rollback) daemonFinds(t *testing.T, text string, change func()) (line string) {
	t.Helper()
	d := r.startWith(t, strings.Replace(read(t, r.path("oktasync.yaml")), `listen: ""`, "listen: 127.0.0.1:0", 1))
	d.wait("snapshot published")
	lock, err := os.Open(r.path("snapshots/all-users/.lock"))
	check(t, err)
	check(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)) // waits until the daemon has finished a run
	change()
	check(t, lock.Close())
	line = d.wait(text)
	d.stop(syscall.SIGTERM)
	return line
}

// journalHas fails a test if no line of the journal has a text.
func (r *rollback) journalHas(t *testing.T, text string) {
	t.Helper()
	if journal := r.journal(t); !strings.Contains(journal, text) {
		t.Errorf("the journal has no %s:\n%s", text, journal)
	}
}

// The items of "What a writer without the key can do" in docs/threat-model.md.
func TestThreats(t *testing.T) {
	t.Parallel()
	needs(t, "ssh-keygen")
	const rolledBack = "an older copy has replaced it"
	untested := threats(t)
	threat := func(name string, f func(t *testing.T)) {
		if !untested[name] {
			t.Errorf("docs/threat-model.md has no item %q", name)
		}
		delete(untested, name)
		t.Run(name, f)
	}

	threat("read the store", func(t *testing.T) {
		r := newRollback(t)
		check(t, filepath.WalkDir(r.path("snapshots"), func(path string, e fs.DirEntry, err error) error {
			if info, err := e.Info(); err != nil || info.Mode()&os.ModeSymlink == 0 && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has the mode %v, %v", path, info.Mode(), err)
			}
			return err
		}))
	})
	threat("damage or remove files", func(t *testing.T) {
		r := newRollback(t)
		r.sh(t, "rm snapshots/all-users/latest/users.csv")
		r.verifies(t, "users.csv: is missing", "users.csv: is missing")
	})
	threat("block runs", func(t *testing.T) {
		r := newRollback(t)
		check(t, os.Remove(r.path("snapshots/all-users/checkpoint")))
		if out := r.must(t, 1, "apply").stderr; !strings.Contains(out, "its checkpoint is missing") {
			t.Errorf("apply: %s", out)
		}
		r.verifies(t, "checkpoint: is missing", "checkpoint: is missing")
	})
	threat("add to the tail", func(t *testing.T) {
		r := newRollback(t)
		newest, err := os.Readlink(r.path("snapshots/all-users/latest"))
		check(t, err)
		r.sh(t, `cd snapshots/all-users && printf '{"event":"pruned","export":"all-users","previous_line_sha256":"%s","snapshot":"'`+newest+
			`'","time":"2026-11-23T06:00:00.000Z"}\n' $(tail -n1 journal.ndjson | sha256sum | cut -d' ' -f1) >>journal.ndjson`)
		r.verifies(t, "", "")
		r.must(t, 0, "apply")
		r.journalHas(t, `"event":"repaired"`)
		if _, err := os.Stat(r.path("snapshots/all-users", newest)); err != nil || strings.Contains(r.journal(t), `"event":"pruned"`) {
			t.Errorf("the added line had an effect: %v", err)
		}
	})
	threat("cut the tail", func(t *testing.T) {
		r := newRollback(t)
		r.sh(t, "cp snapshots/all-users/journal.ndjson covered && echo '{}' >>snapshots/all-users/journal.ndjson && cp covered snapshots/all-users/journal.ndjson")
		r.verifies(t, "", "")
	})
	threat("put back the checkpoint of the previous run", func(t *testing.T) {
		r := newRollback(t)
		restore := func() { r.sh(t, "cd older/all-users && cp -P checkpoint latest ../../snapshots/all-users/") }
		restore()
		r.verifies(t, "unfinished publish: the next run completes ", "its chain ends at sequence 1, so newer snapshots were removed, or this is an older copy")
		r.must(t, 0, "apply")
		r.journalHas(t, `"event":"repaired"`)
		r.verifies(t, "", "line 4 of its journal is another one: there are two journals")
		r.daemonFinds(t, rolledBack, restore)
	})
	threat("put back an older copy of an export", func(t *testing.T) {
		r := newRollback(t)
		restore := func() { // the daemon can create the folder, too
			r.sh(t, "rm -r snapshots/all-users && mkdir -p snapshots/all-users && cp -r older/all-users/. snapshots/all-users/")
		}
		r.daemonFinds(t, rolledBack, restore)
		r.verifies(t, "", "its chain ends at sequence 1, so newer snapshots were removed, or this is an older copy")
	})
	t.Run("put back an older copy before the first run of a daemon", func(t *testing.T) {
		r := newRollback(t)
		d := r.startHourly(t)
		r.sh(t, "mv snapshots/all-users newer && mv older/all-users snapshots/all-users")
		d.wait(rolledBack)
		d.wantPage("/fresh", http.StatusServiceUnavailable, rolledBack)
		d.stop(syscall.SIGTERM)
	})
	t.Run("put back an older copy after a run by another process", func(t *testing.T) {
		r := newRollback(t)
		d := r.startHourly(t)
		r.sh(t, "cp -a snapshots/all-users second")
		r.must(t, 0, "apply", "all-users")
		d.waitForStatus(`"sequence": 3`)
		r.sh(t, "mv snapshots/all-users third && mv second snapshots/all-users")
		d.wait(rolledBack)
		r.sh(t, "mv snapshots/all-users second && mv third snapshots/all-users")
		r.must(t, 0, "apply", "all-users")
		d.waitForStatus(`"state": "up to date"`)
		d.stop(syscall.SIGTERM)
	})
	threat("put back an older copy of the store", func(t *testing.T) {
		r := newRollback(t)
		r.daemonFinds(t, rolledBack, func() { r.sh(t, "rm -r snapshots && cp -r older snapshots") })
		r.verifies(t, "", "its chain ends at sequence 1, so newer snapshots were removed, or this is an older copy")
		r.org.Move(2)
		r.must(t, 0, "apply")
		r.verifies(t, "", "sequence 2 has another manifest: there are two chains")
	})
	threat("replace the store with another one that the same key signed", func(t *testing.T) {
		r := newRollback(t)
		r.sh(t, "rm -r snapshots")
		r.must(t, 0, "apply")
		r.verifies(t, "", "its chain ends at sequence 1")
	})
	threat("put back the records of an erased snapshot", func(t *testing.T) {
		r := newRollback(t)
		oldest := strings.TrimSpace(r.sh(t, "cd older/all-users && ls -d 2*"))
		r.must(t, 0, "prune", "all-users@"+oldest, "--reason", "INC-1")
		r.sh(t, "rm -r snapshots/all-users/pruned && cp -r older/all-users/"+oldest+" snapshots/all-users/")
		if out := r.must(t, 0, "verify").stdout; !strings.Contains(out, oldest+": unfinished prune, or a copy was put back") {
			t.Errorf("verify: %s", out)
		}

		newest, err := os.Readlink(r.path("snapshots/all-users/latest"))
		check(t, err)
		r.sh(t, "cp -r snapshots/all-users/"+newest+" copy")
		r.must(t, 0, "prune", "all-users@"+newest, "--reason", "INC-2")
		r.sh(t, "mv snapshots/all-users/pruned/"+newest+" aside && mv copy snapshots/all-users/"+newest)
		r.must(t, 0, "apply")
		r.must(t, 0, "verify")
		r.sh(t, "test -d snapshots/all-users/pruned/"+newest+" && ! ls snapshots/all-users/latest/*.changes.ndjson")
	})
	threat("delete an export", func(t *testing.T) {
		r := newRollback(t)
		remove := func() { r.sh(t, "rm -rf snapshots/all-users") }
		r.daemonFinds(t, rolledBack, remove)
		remove() // the folder that the daemon created
		r.verifies(t, "", "--head: unknown export all-users")
	})
	threat("delete the store", func(t *testing.T) {
		r := newRollback(t)
		r.daemonFinds(t, rolledBack, func() { r.sh(t, "rm -r snapshots && mkdir -m 700 snapshots") })
	})
	threat("point `latest` to an older snapshot", func(t *testing.T) {
		r := newRollback(t)
		before := strings.TrimSpace(r.sh(t, "cd snapshots/all-users && ls -d 2* | head -n1"))
		newest, err := os.Readlink(r.path("snapshots/all-users/latest"))
		check(t, err)
		r.sh(t, "ln -sfn "+before+" snapshots/all-users/latest")
		if out := r.must(t, 0, "verify").stdout; !strings.Contains(out, "the next run sets it to "+newest) {
			t.Errorf("verify: %s", out)
		}
		if out := r.must(t, 0, "status").stdout; !strings.Contains(out, newest) {
			t.Errorf("status doesn't have the newest snapshot: %s", out)
		}
	})
	threat("remove or replace a time stamp", func(t *testing.T) {
		s, _ := newStampedSite(t)
		names := newAttack(t, s).names()
		stamp := "snapshots/all-users/" + names[0] + "/manifest.json.tsr"
		for change, want := range map[string]string{
			"rm " + stamp: "manifest.json.tsr: is missing",
			"cp snapshots/all-users/latest/manifest.json.tsr " + stamp: "manifest.json.tsr: is not the one that the journal names",
		} {
			s.sh(t, "cp "+stamp+" kept && "+change)
			if r := s.must(t, 1, "verify"); !strings.Contains(r.stdout, want) {
				t.Errorf("verify doesn't print %q:\n%s", want, r.stdout)
			}
			s.sh(t, "cp kept "+stamp)
		}
	})
	for name := range untested {
		t.Errorf("no test has the item %q of docs/threat-model.md", name)
	}
}

// The log of a publish has the head of the export. The error of a daemon that finds an
// older copy has the head that was lost, and adopt records it.
func TestHeadsInTheLog(t *testing.T) {
	t.Parallel()
	r := newRollback(t)
	applied := regexp.MustCompile(`head +(\S+)\n`).FindStringSubmatch(r.must(t, 0, "apply", "all-users").stdout)
	if applied == nil {
		t.Fatal("apply prints no head")
	}
	r.must(t, 0, "verify", "--head", "all-users="+applied[1])
	line := r.daemonFinds(t, "an older copy has replaced it", func() {
		r.sh(t, "rm -r snapshots/all-users && cp -r older/all-users snapshots/all-users")
	})
	lost := regexp.MustCompile(`lost the head (\S+): `).FindStringSubmatch(line)
	if lost == nil {
		t.Fatalf("the error has no head: %s", line)
	}
	r.must(t, 0, "adopt", "all-users", "--lost", lost[1], "--reason", "INC-9")
	if out := r.must(t, 0, "verify", "--head", "all-users="+lost[1]).stdout; !strings.Contains(out, "INC-9") {
		t.Errorf("verify doesn't note the adopted loss:\n%s", out)
	}
}

// threats returns the items in the table of docs/threat-model.md.
func threats(t *testing.T) map[string]bool {
	t.Helper()
	_, table, found := strings.Cut(read(t, "../docs/threat-model.md"), "\n| a writer can | effect | detected by |\n| --- | --- | --- |\n")
	if !found {
		t.Fatal("docs/threat-model.md has no table")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	items := make(map[string]bool)
	for line := range strings.Lines(table) {
		items[strings.TrimSpace(strings.Split(line, "|")[1])] = true
	}
	return items
}

// newStampedSite is a signed site with two stamped snapshots. The folder older has the
// store with the first one.
func newStampedSite(t *testing.T) (*site, *stampingAuthority) {
	t.Helper()
	needs(t, "openssl", "zstd")
	a := newStampingAuthority(t)
	s := newSignedSite(t, sandbox.Config{Users: 20, Seed: 143}, signedExport)
	s.configure(t, signedExport, "store:\n", "store:\n  signing_key_file: signing-key\n  allowed_signers_file: allowed_signers\n"+
		"  timestamp_url: "+a.url+"\n  timestamp_ca_file: "+a.ca+"\n")
	s.must(t, 0, "apply")
	s.sh(t, "cp -a snapshots older")
	s.org.Move(1)
	time.Sleep(time.Second) // the stamps have whole seconds
	s.must(t, 0, "apply")
	return s, a
}

// existed returns the times at which snapshots existed, as verify prints them.
func (s *site) existed(t *testing.T) map[string]string {
	t.Helper()
	times := make(map[string]string)
	for _, m := range regexp.MustCompile(`all-users@(\S+): existed by (\S+) `).FindAllStringSubmatch(s.must(t, 0, "verify").stdout, -1) {
		times[m[1]] = m[2]
	}
	return times
}

// The time of the newest stamp shows how old an older copy is. No stamp dates a chain
// back that a person with the signing key has rewritten.
func TestTimeStampsDateAChain(t *testing.T) {
	t.Parallel()
	s, _ := newStampedSite(t)
	names, before := newAttack(t, s).names(), s.existed(t)
	if len(before) != 2 || before[names[0]] >= before[names[1]] {
		t.Errorf("verify prints the times %v of %v", before, names)
	}

	copied := s.copy(t)
	copied.sh(t, "rm -r snapshots && cp -a older snapshots")
	if after := copied.existed(t); len(after) != 1 || after[names[0]] != before[names[0]] {
		t.Errorf("verify of an older copy prints the times %v, want that of %s in %v", after, names[0], before)
	}

	a := newAttack(t, s)
	s.sh(t, "rm -f snapshots/all-users/*/manifest.json.tsr")
	write(t, s.path("snapshots/all-users/journal.ndjson"), regexp.MustCompile(`"timestamp_sha256":"[0-9a-f]*",`).ReplaceAllString(a.journal(t), ""))
	a.removeUser("signing-key")
	rewritten := time.Now().UTC().Format(time.RFC3339)
	if after := s.existed(t); len(after) != 0 {
		t.Errorf("verify of a rewritten chain without stamps prints the times %v", after)
	}
	if out, want := s.must(t, 0, "verify").stdout, "all-users@"+names[0]+": no time stamp proves when"; !strings.Contains(out, want) {
		t.Errorf("verify of a rewritten chain without stamps doesn't print %q:\n%s", want, out)
	}
	s.must(t, 0, "apply")
	for _, name := range names {
		if at := s.existed(t)[name]; at < rewritten {
			t.Errorf("%s was rewritten at %s, and a stamp proves that it existed by %s", name, rewritten, at)
		}
	}
}
