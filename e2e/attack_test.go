package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile/snapshot"
)

// A snapshot without its store doesn't show when a retired key signed it.
func TestSnapshotAloneOfARetiredKey(t *testing.T) {
	s := newRotatedSite(t)
	a := newAttack(t, s)
	verify := []string{"verify", "--store", "snapshots/all-users/" + a.names()[0], "--allowed-signers", "allowed_signers"}
	if out := s.must(t, 1, verify...).stdout; !strings.Contains(out, "manifest.json.sig: is by a key of archive that was no longer valid; without the store") {
		t.Errorf("verify: %s", out)
	}
	a.open(a.names()[0])
	s.must(t, 0, append(verify, "--verify-time", a.manifest["signed"].(string))...)
}

// After each attack without a key that is valid now, verify fails with a line that
// names the object, also if it gets the head from before. The next apply refuses to continue and writes nothing, or verify
// still fails after it.
func TestAttacksOnASignedStore(t *testing.T) {
	needs(t, "zstd")
	prepared := newRotatedSite(t)
	newest := newAttack(t, prepared).names()[2]
	head := strings.TrimSpace(prepared.must(t, 0, "status", "--heads").stdout)
	for _, test := range []struct {
		name    string
		attack  func(a *attack)
		found   string // by verify
		refused string // by apply; "": it continues
	}{
		{"signatures stripped, user removed", func(a *attack) {
			a.removeUser("")
			if out := a.must(a, 0, "verify", "--store", "snapshots").stdout; !strings.Contains(out, "OK. The snapshots are not signed") {
				a.Errorf("the digests contradict each other:\n%s", out)
			}
		}, "all-users/checkpoint: is not signed", "checkpoint is not signed"},
		{"signatures stripped, checkpoint kept", func(a *attack) {
			sig := read(a, filepath.Join(a.forgery.dir, "checkpoint"))
			a.removeUser("")
			a.signCheckpoint(sig)
		}, "all-users/checkpoint: ", "checkpoint"},
		{"signatures stripped, forged adopted line", func(a *attack) {
			a.removeUser("")
			a.append("adopted", map[string]any{"reason": "INC-1", "accepted": []string{}, "old_head": "", "new_head": ""})
			a.cover("", newest)
		}, "all-users/checkpoint: is not signed", "checkpoint is not signed"},
		{"signature of the checkpoint removed, forged adopted line that accepts a file", func(a *attack) {
			write(a, filepath.Join(a.forgery.dir, "extra"), "x")
			finding := `{"content":"file ` + snapshot.DigestOf([]byte("x")) +
				`","export":"all-users","file":"extra","note":false,"problem":"is no part of an export","snapshot":""}`
			a.append("adopted", map[string]any{
				"reason": "INC-1", "accepted": []string{snapshot.DigestOf([]byte(finding))}, "journal_sha256": snapshot.DigestOf([]byte(a.journal(a))),
			})
			a.cover("", newest)
		}, "all-users/extra: is no part of an export\n", "checkpoint is not signed"},
		{"newest deleted, appended adopted line", func(a *attack) {
			a.remove(newest)
			a.latest(a.names()[1])
			a.append("adopted", map[string]any{"reason": "INC-1", "accepted": []string{}})
		}, "all-users@" + newest + ": was published, and is missing", newest},
		{"oldest made a tombstone, appended pruned line", func(a *attack) { a.prune(a.names()[0]) },
			"its records are missing, and no covered line of the journal records that it was pruned", ""},
		{"newest made a tombstone, appended pruned line", func(a *attack) { a.prune(newest) },
			"its records are missing, and no covered line of the journal records that it was pruned",
			"the records of its newest snapshot, " + newest + ", are missing, and no covered line of the journal records that they were removed"},
		{"comparison omitted by the holder of the key, base pruned later", func(a *attack) {
			a.omitComparison(currentKey, newest)
			a.must(a, 0, "prune", "all-users@"+a.names()[1], "--reason", "INC-1")
		}, `the base of users is "reset", and should be "previous"`, ""},
		{"file added to a quarantined read", func(a *attack) {
			write(a, filepath.Join(a.quarantined(), "users.csv"), "login\r\n")
		}, "users.csv is no part of a quarantined read", ""},
		{"file added beside the quarantined reads", func(a *attack) {
			write(a, a.path("snapshots/.quarantine/users.csv"), "login\r\n")
		}, ".quarantine/users.csv: is no part of a store", ""},
		{"quarantine replaced by a link", func(a *attack) { a.sh(a, "mv snapshots/.quarantine q; ln -s ../q snapshots/.quarantine") },
			".quarantine: is not a folder", ".quarantine: is not a folder"},
		{"id of another org", func(a *attack) { a.edit(a.path("snapshots/oktasync.json"), `"org":{`, `"org":{"id":"00oOther",`) },
			`belongs to the org with the id ""`, `belongs to the org with the id ""`},
		{"bytes after the signature of the checkpoint", func(a *attack) {
			path := filepath.Join(a.forgery.dir, "checkpoint")
			line, sig, _ := strings.Cut(read(a, path), "\n")
			write(a, path, line+"\n"+a.lengthen(sig))
		}, "all-users/checkpoint: the signature by", "is not in the form"},
		{"bytes after the signature of a manifest", func(a *attack) {
			path := filepath.Join(a.forgery.dir, a.names()[1], "manifest.json.sig")
			write(a, path, a.lengthen(read(a, path)))
		}, "manifest.json.sig: is not in the form", ""},
		{"file added to an interrupted publish", func(a *attack) {
			a.abandon()()
			write(a, filepath.Join(a.forgery.dir, a.names()[3], "x"), "")
		}, "x is no part of it", "x is no part of it"},
		{"SHA256SUMS of an interrupted publish changed", func(a *attack) {
			a.abandon()()
			write(a, filepath.Join(a.forgery.dir, a.names()[3], "SHA256SUMS"), "")
		}, "SHA256SUMS doesn't match its manifest", "SHA256SUMS doesn't match its manifest"},
		{"lock replaced by a FIFO", func(a *attack) { a.sh(a, "cd snapshots/all-users; rm .lock; mkfifo .lock") },
			"all-users/.lock: is no part of an export", ".lock"},
		{"quarantined read removed, appended dropped line", func(a *attack) {
			q := a.quarantined()
			check(a, os.RemoveAll(q))
			a.append("dropped", map[string]any{"snapshot": filepath.Base(q)})
		}, "the journal names this quarantined read, and it is missing", ""},
		{"covered lines cut after the last publish", func(a *attack) {
			lines := a.lines()
			a.writeLines(lines[:len(lines)-4])
			check(a, os.RemoveAll(filepath.Dir(a.quarantined())))
		}, "all-users/journal.ndjson: line", "a journal line that the checkpoint covers is missing or changed"},
		{"covered quarantined line edited", func(a *attack) {
			a.edit(filepath.Join(a.forgery.dir, "journal.ndjson"), "users gone", "users kept")
		}, "all-users/journal.ndjson: line", ""},
		{"quarantined read edited", func(a *attack) {
			a.edit(filepath.Join(a.quarantined(), "read.json"), `"total":0`, `"total":1`)
		}, "read.json is not the one that the journal names", ""},
		{"snapshot planted, so that retention would remove a real one", func(a *attack) {
			a.plant()
			a.configureSigned(a, currentKey, signedExport+"    retain: {last: 4}\n")
		}, "is not part of the chain", ""},
		{"read before its predecessor, by the holder of the key", func(a *attack) { a.publish(currentKey, a.started(newest).Add(-time.Second)) },
			"its checkpoint doesn't cover the snapshot " + newest, "its checkpoint doesn't cover the snapshot " + newest},
		{"read in the future, by the holder of the key", func(a *attack) { a.publish(currentKey, a.started(newest).Add(time.Hour)) },
			"its times are in the future", ""},
		{"retired key adds a snapshot", func(a *attack) { a.successor(retiredKey, a.started(newest).Add(time.Second)) },
			"and an interrupted publish didn't leave it", "and an interrupted publish didn't leave it"},
		{"retired key adds a snapshot and signs a checkpoint", func(a *attack) { a.publish(retiredKey, a.started(newest).Add(time.Second)) },
			"all-users/checkpoint: the signature by", "no longer valid"},
		{"retired key signs the checkpoint", func(a *attack) { a.checkpoint(retiredKey, nil) },
			"all-users/checkpoint: the signature by", "no longer valid"},
		{"retired key backdates a release", func(a *attack) {
			name := a.successor(retiredKey, a.started(newest).Add(time.Second))
			a.open(name)
			when := a.started(a.names()[1]).Format(time.RFC3339)
			a.manifest["run"].(map[string]any)["override"] = map[string]any{"guard": "x", "reason": "x", "released": when, "user": "x"}
			a.manifest["signed"] = a.manifest["read"].(map[string]any)["finished"]
			a.sealSigned(retiredKey)
			a.append("published", map[string]any{"snapshot": name, "manifest_sha256": a.open(name)})
			a.cover(retiredKey, name)
		}, "all-users/checkpoint: the signature by", "no longer valid"},
		{"retired key cuts the store to its own era", func(a *attack) { a.sh(a, "rm -r snapshots; cp -a older snapshots") },
			"all-users/checkpoint: the signature by", "no longer valid"},
		{"signed folder of an abandoned publish put in place after another run", func(a *attack) {
			abandoned := a.abandon()
			a.org.Wipe()
			a.must(a, 3, "apply")
			a.org.Restore()
			abandoned()
		}, "and its journal has no line of an interrupted publish", "and its journal has no line of an interrupted publish"},
		{"signed folder of an abandoned publish put in place after a publish", func(a *attack) {
			abandoned := a.abandon()
			a.org.SetClockOffset(5 * time.Second) // another name
			a.must(a, 0, "apply")
			a.org.SetClockOffset(0)
			abandoned()
		}, "is not part of the chain", ""},
		{"checkpoint of another export", func(a *attack) { a.checkpoint(currentKey, map[string]any{"export": "contractors"}) },
			`all-users/checkpoint: its checkpoint belongs to the export "contractors"`, `belongs to the export "contractors"`},
		{"checkpoint of another store", func(a *attack) {
			a.checkpoint(currentKey, map[string]any{"store_id": strings.Repeat("0", 32)})
		}, "all-users/checkpoint: its checkpoint belongs to another store", "belongs to another store"},
		{"checkpoint of an earlier time", func(a *attack) { a.sh(a, "cp earlier snapshots/all-users/checkpoint") },
			"all-users: after the lines that its checkpoint covers, its journal has 2 runs", "its journal has 2 runs"},
		{"base of the next diff edited", func(a *attack) {
			a.open(newest)
			a.records([]byte{})
		}, "all-users@" + newest + "/users.ndjson.zst: ", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := prepared.copy(t)
			a := newAttack(t, s)
			test.attack(a)
			verify := []string{"verify", "--allowed-signers", "allowed_signers"}
			for _, args := range [][]string{verify, append(slices.Clip(verify), "--head", head)} {
				if r := s.run(t, args...); r.status != 1 || !strings.Contains(r.stdout, test.found) {
					t.Errorf("%s: status %d\n%swant %q", args, r.status, r.stdout, test.found)
				}
			}
			names, before := a.names(), s.tree(t)
			r := s.run(t, "apply")
			if test.refused == "" {
				if newer := a.names()[len(a.names())-1]; r.status != 0 && newer != names[len(names)-1] {
					t.Errorf("apply has published %s, and returned %d", newer, r.status)
				}
				if missing := slices.DeleteFunc(names, func(name string) bool { return slices.Contains(a.names(), name) }); len(missing) > 0 {
					t.Errorf("apply has removed %q", missing)
				}
				if r := s.run(t, verify...); r.status != 1 || !strings.Contains(r.stdout, test.found) {
					t.Errorf("after apply, verify: status %d\n%swant %q", r.status, r.stdout, test.found)
				}
				return
			}
			if r.status != 1 || !strings.Contains(r.stderr, test.refused) {
				t.Errorf("apply: status %d\n%swant %q", r.status, r.stderr, test.refused)
			}
			if s.tree(t) != before {
				t.Error("the apply that is refused has written to the store")
			}
		})
	}
}

// After adopt has accepted problems, verify reports a later change of the content that
// they are about.
func TestAdoptedContentIsChanged(t *testing.T) {
	s := newSignedSite(t, sandbox.Config{Users: 20, Seed: 154}, everySecond)
	for range 3 {
		s.must(t, 0, "apply")
	}
	names := newAttack(t, s).names()
	sh := func(s *site, script string) {
		t.Helper()
		s.sh(t, "cd snapshots/all-users; first="+names[0]+"; second="+names[1]+"; "+script)
	}
	sh(s, `echo garbage >$first/manifest.json
		cd $second; echo a >extra; mkdir -p folder/folder; echo a >folder/folder/file; ln -s a link; echo a >SHA256SUMS; echo a >manifest.json.sig; cd ..
		echo a >extra; truncate -s 4G sparse; sed -i 2s/started/cancelled/ journal.ndjson`)
	s.must(t, 1, "verify")
	s.must(t, 0, "adopt", "all-users", "--reason", "INC-1")
	s.must(t, 0, "verify")
	s.must(t, 0, "apply")
	s.must(t, 0, "verify")
	for _, test := range []struct{ name, script, want string }{
		{"manifest that can't be read", `echo other >$first/manifest.json`, names[0] + "/manifest.json: it is not valid JSON"},
		{"file beside it", `: >$first/users.csv`, names[0] + "/manifest.json: it is not valid JSON"},
		{"file added beside it", `: >$first/extra`, names[0] + "/manifest.json: it is not valid JSON"},
		{"file removed beside it", `rm $first/users.ndjson.zst`, names[0] + "/manifest.json: it is not valid JSON"},
		{"file in a snapshot", `echo b >$second/extra`, names[1] + "/extra: is not listed"},
		{"file replaced by a folder", `rm $second/extra; mkdir $second/extra`, names[1] + "/extra: is not listed"},
		{"file in a folder", `echo b >$second/folder/folder/file`, names[1] + "/folder: is not listed"},
		{"name in a folder", `mv $second/folder/folder/file $second/folder/folder/other`, names[1] + "/folder: is not listed"},
		{"target of a link", `ln -sfn b $second/link`, names[1] + "/link: is not listed"},
		{"SHA256SUMS", `echo b >$second/SHA256SUMS`, names[1] + "/SHA256SUMS: doesn't match"},
		{"signature", `echo b >$second/manifest.json.sig`, names[1] + "/manifest.json.sig: "},
		{"file in the export", `echo b >extra`, "all-users/extra: is no part of an export"},
		{"sparse file", `printf b | dd of=sparse bs=1 seek=3G conv=notrunc status=none`, "all-users/sparse: is no part of an export"},
		{"journal before an adopted line", `sed -i 1s/started/stopped/ journal.ndjson`, "adopted other lines than those before it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := s.copy(t)
			sh(changed, test.script)
			if out := changed.must(t, 1, "verify").stdout; !strings.Contains(out, test.want) {
				t.Errorf("verify:\n%swant %q", out, test.want)
			}
		})
	}
}

// A store that adopt signed for the first time isn't accepted without the signature.
func TestFirstSignatureIsRemoved(t *testing.T) {
	s := newSignedSite(t, sandbox.Config{Users: 20, Seed: 155}, "")
	s.configure(t, "")
	s.must(t, 0, "apply")
	s.configureSigned(t, currentKey, "")
	s.must(t, 0, "adopt", "all-users", "--reason", "first signature")
	s.must(t, 0, "apply")
	s.must(t, 0, "verify")
	a := newAttack(t, s)
	a.checkpoint("", nil)
	if out := a.must(t, 1, "verify").stdout; !strings.Contains(out, "all-users/checkpoint: is not signed\n") {
		t.Errorf("verify:\n%s", out)
	}
}
