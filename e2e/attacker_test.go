package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/sign"
)

// The keys of an attacked store. The retired key signed its first two snapshots.
const retiredKey, currentKey = "retired-key", "signing-key"

const signedExport = "    formats: [ndjson]\n"

// newRotatedSite is a site with three signed snapshots and two quarantined reads. A
// key was retired after the second snapshot; the folder older has the store of that
// time. The file earlier is the checkpoint of the third snapshot.
func newRotatedSite(t *testing.T) *site {
	t.Helper()
	s := newSignedSite(t, sandbox.Config{Users: 120, Seed: 151}, "")
	s.sh(t, "ssh-keygen -q -t ed25519 -N '' -f "+retiredKey)
	public, retired := read(t, s.path("signing-key.pub")), read(t, s.path("retired-key.pub"))
	write(t, s.path("allowed_signers"), "archive "+public+"archive "+retired)
	s.configureSigned(t, retiredKey, signedExport)
	s.org.SetClockOffset(-20 * time.Second) // so that there are seconds between the reads
	s.must(t, 0, "apply")
	s.org.SetClockOffset(-10 * time.Second)
	s.org.Move(1)
	s.must(t, 0, "apply")
	s.sh(t, "cp -a snapshots older")

	s.org.SetClockOffset(0)
	s.configureSigned(t, currentKey, signedExport)
	s.org.Join(1)
	s.org.Move(1)
	s.must(t, 0, "apply")
	end := time.Now().UTC().Add(time.Second).Truncate(time.Second)
	write(t, s.path("allowed_signers"), "archive "+public+`archive valid-before="`+end.Format("20060102150405Z")+`" `+retired)
	time.Sleep(time.Until(end.Add(time.Second))) // valid-before includes its second
	s.sh(t, "cp snapshots/all-users/checkpoint earlier")
	s.org.Wipe()
	s.must(t, 3, "apply")
	s.must(t, 3, "apply")
	s.org.Restore()
	s.must(t, 0, "verify")
	return s
}

// configureSigned writes oktasync.yaml with a signing key.
func (s *site) configureSigned(t testing.TB, key, export string) {
	t.Helper()
	s.configure(t, export, "store:\n", "store:\n  signing_key_file: "+key+"\n  allowed_signers_file: allowed_signers\n")
}

// copy returns a site with a copy of the folder of s.
func (s *site) copy(t testing.TB) *site {
	t.Helper()
	to := filepath.Join(t.TempDir(), "site")
	s.sh(t, "cp -a . "+to)
	return &site{s.org, s.server, to}
}

// tree returns the names, digests and link targets of a store, without lock files.
func (s *site) tree(t testing.TB) string {
	t.Helper()
	return s.sh(t, "cd snapshots; find . -type f ! -name .lock -exec sha256sum {} + | sort; find . ! -type f ! -name . -printf '%P %l\\n' | sort")
}

// An attack changes the export all-users of a signed store.
type attack struct {
	forgery
	*site
}

func newAttack(t testing.TB, s *site) *attack {
	return &attack{forgery{TB: t, dir: s.path("snapshots/all-users")}, s}
}

// names returns the names of the snapshots, oldest first.
func (a *attack) names() []string {
	paths, err := filepath.Glob(filepath.Join(a.forgery.dir, "2*Z"))
	check(a, err)
	for i := range paths {
		paths[i] = filepath.Base(paths[i])
	}
	return paths
}

// open reads the manifest of a snapshot, and returns its digest.
func (a *attack) open(name string) string {
	a.forgery.newest, a.manifest = filepath.Join(a.forgery.dir, name), nil
	data := read(a, filepath.Join(a.forgery.newest, "manifest.json"))
	a.decode(data, &a.manifest)
	return snapshot.DigestOf([]byte(data))
}

// signature returns an armored signature, and the fingerprint of the key.
func (a *attack) signature(key, namespace, data string) (armored, fingerprint string) {
	signer, err := ssh.ParsePrivateKey([]byte(read(a, a.path(key))))
	check(a, err)
	sig, err := sshsig.Sign(strings.NewReader(data), signer, sshsig.HashSHA512, namespace)
	check(a, err)
	return string(sshsig.Armor(sig)), ssh.FingerprintSHA256(signer.PublicKey())
}

// lengthen appends bytes to the last field of an armored signature (PROTOCOL.sshsig,
// section 3), after the signature proper.
func (a *attack) lengthen(armored string) string {
	sig, err := sshsig.Unarmor([]byte(armored))
	check(a, err)
	sig.Signature.Rest = []byte("x")
	return string(sshsig.Armor(sig))
}

// signedBy sets or removes the member signed_by.
func (a *attack) signedBy(members map[string]any, key string) {
	members["signed_by"] = nil
	if key != "" {
		_, members["signed_by"] = a.signature(key, sign.Snapshot, "")
	}
}

// sealSigned is seal with a signature. The key "" removes the signature.
func (a *attack) sealSigned(key string) string {
	a.signedBy(a.manifest, key)
	digest, path := a.seal(), filepath.Join(a.forgery.newest, "manifest.json.sig")
	if key == "" {
		check(a, os.RemoveAll(path))
		return digest
	}
	sig, _ := a.signature(key, sign.Snapshot, read(a, filepath.Join(a.forgery.newest, "manifest.json")))
	write(a, path, sig)
	return digest
}

// checkpoint changes the checkpoint, and signs it. The key "" removes the signature.
func (a *attack) checkpoint(key string, changes map[string]any) {
	path, members := filepath.Join(a.forgery.dir, "checkpoint"), make(map[string]any)
	a.decode(read(a, path), &members)
	maps.Copy(members, changes)
	a.signedBy(members, key)
	line, sig := a.encode(members), ""
	if key != "" {
		sig, _ = a.signature(key, sign.Checkpoint, line)
	}
	write(a, path, line+sig)
}

// cover makes the checkpoint cover the whole journal and a snapshot.
func (a *attack) cover(key, name string) {
	digest := a.open(name)
	lines := a.lines()
	a.checkpoint(key, map[string]any{
		"lines": len(lines), "bytes": len(strings.Join(lines, "")), "line_sha256": snapshot.DigestOf([]byte(lines[len(lines)-1])),
		"sequence": a.manifest["sequence"], "snapshot": name, "manifest_sha256": digest,
	})
}

func (a *attack) lines() []string { return slices.Collect(strings.Lines(a.journal(a))) }

func (a *attack) writeLines(lines []string) {
	write(a, filepath.Join(a.forgery.dir, "journal.ndjson"), strings.Join(lines, ""))
}

func (a *attack) append(event string, members map[string]any) {
	lines := a.lines()
	e := map[string]any{
		"time": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "export": "all-users", "event": event, "user": "mallory",
		"previous_line_sha256": snapshot.DigestOf([]byte(lines[len(lines)-1])),
	}
	maps.Copy(e, members)
	a.writeLines(append(lines, a.encode(e)))
}

// removeUser removes a user from all snapshots, makes all digests and links anew,
// and signs with a key. The key "" removes the signatures.
func (a *attack) removeUser(key string) {
	var previous any
	victim := ""
	for _, name := range a.names() {
		was := a.open(name)
		packed, err := exec.Command("zstd", "-dqc", filepath.Join(a.forgery.newest, "users.ndjson.zst")).Output()
		check(a, err)
		lines := slices.Collect(strings.Lines(string(packed)))
		if victim == "" {
			victim = lines[0]
		}
		lines = slices.DeleteFunc(lines, func(line string) bool { return line == victim })
		a.records([]byte(strings.Join(lines, "")))
		var user struct{ Status string }
		a.decode(victim, &user)
		counts := a.users()
		a.add(counts, "total", -1)
		a.add(counts, "outside", 1)
		a.add(counts["by_status"].(map[string]any), user.Status, -1)
		a.add(a.file("users.ndjson.zst"), "rows", -1)
		a.manifest["previous"] = previous
		a.nameLine()
		digest := a.sealSigned(key)
		previous = map[string]any{"snapshot": name, "manifest_sha256": digest}
		a.rewriteJournal(was, digest)
	}
	a.cover(key, a.names()[len(a.names())-1])
}

func (a *attack) add(members map[string]any, name string, n int64) {
	was, err := members[name].(json.Number).Int64()
	check(a, err)
	members[name] = was + n
}

// nameLine sets the digest of the journal's line that the manifest names.
func (a *attack) nameLine() {
	j := a.manifest["journal"].(map[string]any)
	n, err := j["lines"].(json.Number).Int64()
	check(a, err)
	j["sha256"] = snapshot.DigestOf([]byte(a.lines()[n-1]))
}

// successor adds a snapshot that follows the newest one, with a read at a time.
func (a *attack) successor(key string, read time.Time) (name string) {
	const layout = "2006-01-02T15:04:05.000Z"
	names := a.names()
	before := names[len(names)-1]
	digest := a.open(before)
	name = read.UTC().Format("20060102T150405Z")
	check(a, os.CopyFS(filepath.Join(a.forgery.dir, name), os.DirFS(filepath.Join(a.forgery.dir, before))))
	a.open(name)
	a.append("started", nil)
	a.manifest["snapshot"] = name
	a.add(a.manifest, "sequence", 1)
	a.manifest["previous"] = map[string]any{"snapshot": before, "manifest_sha256": digest}
	a.manifest["journal"] = map[string]any{"lines": json.Number(fmt.Sprint(len(a.lines())))}
	a.nameLine()
	times := a.manifest["read"].(map[string]any)
	times["started"], times["finished"] = read.UTC().Format(layout), read.UTC().Format(layout)
	a.manifest["signed"] = read.UTC().Format(layout)
	a.sealSigned(key)
	return name
}

// publish is successor, with a line published and a checkpoint.
func (a *attack) publish(key string, read time.Time) {
	name := a.successor(key, read)
	a.append("published", map[string]any{"snapshot": name, "manifest_sha256": a.open(name)})
	a.cover(key, name)
}

// remove removes a file or folder of the export, or of the store after "..".
func (a *attack) remove(name string) {
	check(a, os.RemoveAll(filepath.Join(a.forgery.dir, name)))
}

// latest makes latest point to a snapshot.
func (a *attack) latest(name string) {
	a.remove("latest")
	check(a, os.Symlink(name, filepath.Join(a.forgery.dir, "latest")))
}

// quarantined returns the folder of the quarantined read.
func (a *attack) quarantined() string {
	paths, err := filepath.Glob(a.path("snapshots/.quarantine/all-users/*"))
	check(a, err)
	return paths[0]
}

// edit replaces text in a file.
func (a *attack) edit(path, from, to string) {
	text := read(a, path)
	if !strings.Contains(text, from) {
		a.Fatalf("%s doesn't contain %q", path, from)
	}
	write(a, path, strings.Replace(text, from, to, 1))
}

// signCheckpoint gives the checkpoint the signature of another one.
func (a *attack) signCheckpoint(other string) {
	_, sig, _ := strings.Cut(other, "\n")
	var old, members map[string]any
	a.decode(other, &old)
	a.decode(read(a, filepath.Join(a.forgery.dir, "checkpoint")), &members)
	members["signed_by"] = old["signed_by"]
	write(a, filepath.Join(a.forgery.dir, "checkpoint"), a.encode(members)+sig)
}

// omitComparison removes the comparison with the previous snapshot from the newest one.
func (a *attack) omitComparison(key, newest string) {
	was, users := a.open(newest), a.users()
	users["base"], users["kinds"] = "reset", map[string]any{}
	users["added"], users["changed"], users["removed"] = 0, 0, 0
	a.remove(newest + "/users.changes.ndjson")
	a.manifest["files"] = slices.DeleteFunc(a.manifest["files"].([]any), func(file any) bool {
		return file.(map[string]any)["name"] == "users.changes.ndjson"
	})
	a.rewriteJournal(was, a.sealSigned(key))
	a.cover(key, newest)
}

// prune turns a snapshot into a tombstone, and appends a line pruned.
func (a *attack) prune(name string) {
	digest := a.open(name)
	a.sh(a, "cd snapshots/all-users; mkdir -p pruned/"+name+"; mv "+name+"/manifest.json* pruned/"+name+"; rm -r "+name)
	a.append("pruned", map[string]any{"snapshot": name, "manifest_sha256": digest, "files": []string{"users.ndjson.zst"}})
}

// plant adds a later snapshot on the day of the oldest one.
func (a *attack) plant() {
	oldest := a.names()[0]
	name := a.started(oldest).Add(time.Second).Format("20060102T150405Z")
	check(a, os.CopyFS(filepath.Join(a.forgery.dir, name), os.DirFS(filepath.Join(a.forgery.dir, oldest))))
	a.open(name)
	a.manifest["snapshot"] = name
	a.seal()
}

// started returns the time in the name of a snapshot.
func (a *attack) started(name string) time.Time {
	at, err := time.Parse("20060102T150405Z", name)
	check(a, err)
	return at
}

// abandon leaves the journal of a publish that was killed after it had signed its
// folder. The result puts this folder in place.
func (a *attack) abandon() (putInPlace func()) {
	other := newAttack(a, a.copy(a))
	covered := len(a.lines())
	other.must(a, 0, "apply")
	a.writeLines(other.lines()[:covered+1])
	names := other.names()
	name := names[len(names)-1]
	return func() {
		check(a, os.CopyFS(filepath.Join(a.forgery.dir, name), os.DirFS(filepath.Join(other.forgery.dir, name))))
	}
}
