package snapshot_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/verify"
)

// A veteran is a store with a past, which somebody is going to tamper with.
type veteran struct {
	*snapshot.Store
	t      testing.TB
	signer *snapshot.Signer
	other  *snapshot.Signer // whom nobody allows
	whole  string           // folder of the export's snapshots as they were before retention
}

// next publishes the nth day's snapshot, and keeps a copy of it.
func (v *veteran) next(n int) {
	v.t.Helper()
	snap := publish(v.t, v.Store, day(n), append(people(n), person(n+30, "STAGED", "Law"))...)
	v.keep(snap)
}

func (v *veteran) keep(snap *snapshot.Snapshot) {
	v.t.Helper()
	if err := os.CopyFS(filepath.Join(v.whole, snap.Name()), os.DirFS(snap.Dir())); err != nil {
		v.t.Fatal(err)
	}
}

func (v *veteran) prune(last int, hold ...string) {
	v.t.Helper()
	if names, err := retain(v.t, v.Store, snapshot.Retention{Last: last, Hold: hold}); err != nil || len(names) == 0 {
		v.t.Fatalf("Prune = %v, %v", names, err)
	}
}

// broken has the writer refuse a break before somebody adopts it.
func (v *veteran) broken(n int) {
	v.t.Helper()
	var behind *snapshot.BehindError
	if _, err := reconcile(v.t, v.Store, day(n), people(n)...); !errors.As(err, &behind) {
		v.t.Fatalf("publish = %v, want a *BehindError", err)
	}
	if problems, _ := findings(v.t, v.Store); len(problems) == 0 {
		v.t.Error("Verify finds nothing before the break is adopted")
	}
	adopt(v.t, v.Store)
}

func (v *veteran) lose(names ...string) {
	for _, name := range names {
		removeAll(v.t, v.Dir(), filepath.Join(staff, name))
	}
}

// pasts are what a store may have been through. Each ends with a publish, so
// that the journal has nothing to tell that no manifest knows.
var pasts = []struct {
	name string
	live func(v *veteran)
}{
	{"a newest that was lost behind a gap", func(v *veteran) {
		v.next(1)
		v.next(2)
		if err := quarantine(v.t, v.Store, 3); err != nil {
			v.t.Fatal(err)
		}
		snap, err := release(v.t, v.Store, "")
		if err != nil {
			v.t.Fatal(err)
		}
		v.keep(snap)
		v.prune(1, "20261123T060000Z")
		v.lose(snap.Name())
		v.broken(4)
		v.next(4)
		v.next(5)
		v.prune(1, "20261123T060000Z")
		v.next(6)
	}},
	{"a journal that was lost", func(v *veteran) {
		for n := range 4 {
			v.next(n + 1)
		}
		v.prune(2)
		v.lose("journal.ndjson")
		v.broken(5)
		v.next(5)
		v.next(6)
		v.prune(3)
		v.next(7)
	}},
	{"all lost but tombstones", func(v *veteran) {
		v.next(1)
		v.next(2)
		v.next(3)
		v.prune(1)
		v.lose("20261125T060000Z", "latest")
		v.broken(4)
		v.next(4)
		v.next(5)
		v.prune(1)
		v.next(6)
	}},
	{"all lost but tombstones, and the journal", func(v *veteran) {
		v.next(1)
		v.next(2)
		v.prune(1)
		v.next(3)
		v.lose("20261124T060000Z", "20261125T060000Z", "latest", "journal.ndjson")
		v.broken(4)
		v.next(4)
		v.next(5)
		v.prune(1)
		v.next(6)
	}},
	{"a journal that was put back", func(v *veteran) {
		v.next(1)
		v.next(2)
		v.next(3)
		path := filepath.Join(v.Dir(), staff, "journal.ndjson")
		old := read(v.t, path)
		v.prune(2)
		v.next(4)
		write(v.t, path, old)
		v.broken(5)
		v.next(5)
		v.prune(3)
		v.next(6)
	}},
	{"put back as a whole", func(v *veteran) {
		v.next(1)
		v.next(2)
		v.prune(1)
		backup := filepath.Join(v.t.TempDir(), "backup")
		if err := os.CopyFS(backup, os.DirFS(filepath.Join(v.Dir(), staff))); err != nil {
			v.t.Fatal(err)
		}
		v.next(3)
		v.lose("")
		if err := os.CopyFS(filepath.Join(v.Dir(), staff), os.DirFS(backup)); err != nil {
			v.t.Fatal(err)
		}
		v.broken(4)
		v.next(4)
		v.next(5)
		v.prune(2)
		v.next(6)
	}},
	{"two breaks", func(v *veteran) {
		v.next(1)
		v.next(2)
		v.lose("20261124T060000Z")
		v.broken(3)
		v.next(3)
		v.next(4)
		v.lose("20261126T060000Z", "journal.ndjson")
		v.broken(5)
		v.next(5)
		v.prune(2)
		v.next(6)
	}},
}

// A store that went through whatever Adopt is for has nothing wrong with it, and
// whatever is done to it after that is found, by a line that names it.
func TestVerifyFindsMutations(t *testing.T) {
	seeds := uint64(24)
	if long() {
		seeds = 400
	}
	for n, past := range pasts {
		t.Run(past.name, func(t *testing.T) {
			t.Parallel()
			signer := newSigner(t)
			s, err := snapshot.Init(filepath.Join(t.TempDir(), "snapshots"), acme, snapshot.Options{Signer: signer, Witness: new(snapshot.Witness)})
			if err != nil {
				t.Fatal(err)
			}
			v := &veteran{Store: s, t: t, signer: signer, other: newSigner(t), whole: t.TempDir()}
			past.live(v)
			if problems := v.findings(s.Dir()); len(problems) > 0 {
				t.Fatalf("Verify of an honest store:\n\t%s", strings.Join(problems, "\n\t"))
			}
			tried := make(map[string]int)
			for seed := range seeds {
				m := v.mutate(rand.New(rand.NewPCG(seed, uint64(n))))
				tried[m.kind]++
				if !m.found(v.findings(m.dir)) {
					t.Errorf("seed %d: %s: want a line with one of %q, found:\n\t%s", seed, m.what, m.names, strings.Join(v.findings(m.dir), "\n\t"))
				}
				if err := os.RemoveAll(m.dir); err != nil {
					t.Fatal(err)
				}
			}
			if kinds := len(mutations); long() && len(tried) < kinds {
				t.Errorf("%d kinds of mutations were tried, want %d: %v", len(tried), kinds, tried)
			}
		})
	}
}

// verify returns the problems of the store in dir.
func (v *veteran) findings(dir string) []string {
	s, err := snapshot.Open(dir)
	if err != nil {
		return []string{err.Error()}
	}
	problems, _ := verifyWith(v.t, s, verify.Options{Signers: allowed(v.t, "archive "+v.signer.PublicKey())})
	return problems
}

// A mutation is a copy of a veteran that somebody has tampered with.
type mutation struct {
	*rand.Rand
	v     *veteran
	dir   string // of the copy
	kind  string
	what  string   // for whoever reads a failure
	names []string // of which one line has to hold one
}

func (m *mutation) found(problems []string) bool {
	return slices.ContainsFunc(problems, func(p string) bool {
		return slices.ContainsFunc(m.names, func(name string) bool { return strings.Contains(p, name) })
	})
}

// mutate tampers with a copy in one way.
func (v *veteran) mutate(r *rand.Rand) *mutation {
	m := &mutation{Rand: r, v: v, dir: filepath.Join(v.t.TempDir(), "copy")}
	if err := os.CopyFS(m.dir, os.DirFS(v.Dir())); err != nil {
		v.t.Fatal(err)
	}
	for {
		one := mutations[r.IntN(len(mutations))]
		if m.kind = one.kind; one.do(m) { // or it does not apply here
			m.what = fmt.Sprintf("%s %q", m.kind, m.names)
			return m
		}
	}
}

func (m *mutation) path(names ...string) string {
	return filepath.Join(append([]string{m.dir, staff}, names...)...)
}

func (m *mutation) check(errs ...error) bool {
	m.v.t.Helper()
	if err := errors.Join(errs...); err != nil {
		m.v.t.Fatalf("%s: %v", m.kind, err)
	}
	return true
}

// one picks one of list.
func one[T any](m *mutation, list []T) T { return list[m.IntN(len(list))] }

func (m *mutation) glob(pattern string) []string {
	paths, err := filepath.Glob(m.path(pattern))
	m.check(err)
	return paths
}

// folders are those of snapshots and tombstones.
func (m *mutation) folders() []string { return append(m.glob("2*"), m.glob("pruned/2*")...) }

// files are those in them.
func (m *mutation) files() []string { return append(m.glob("2*/*"), m.glob("pruned/2*/*")...) }

// name has a finding name a file of a snapshot, a folder or the journal.
func (m *mutation) name(paths ...string) {
	for _, path := range paths {
		rel, err := filepath.Rel(m.path(), path)
		m.check(err)
		m.names = append(m.names, rel)
	}
}

// edit changes a file's content, and nothing else about it.
func (m *mutation) edit(path string, change func([]byte) []byte) bool {
	data, err := os.ReadFile(path)
	m.check(err)
	changed := change(bytes.Clone(data))
	if bytes.Equal(changed, data) {
		return false
	}
	m.name(path)
	return m.check(os.WriteFile(path, changed, 0o600))
}

// swap swaps two files or folders.
func (m *mutation) swap(a, b string) bool {
	x := filepath.Join(m.dir, ".x")
	m.name(a, b)
	return m.check(os.Rename(a, x), os.Rename(b, a), os.Rename(x, b))
}

// lines changes lines of the journal before the last one that a manifest knows:
// what came after that a crash may have cut off.
func (m *mutation) lines(change func(lines [][]byte, i int) [][]byte) bool {
	return m.edit(m.path("journal.ndjson"), func(data []byte) []byte {
		lines := bytes.SplitAfter(data, []byte("\n"))
		return bytes.Join(change(lines, m.IntN(len(lines)-3)), nil) // intent, published and what SplitAfter adds
	})
}

// newest returns the newest snapshot of the copy.
func (m *mutation) newest() (*snapshot.Store, *snapshot.Snapshot) {
	s, err := snapshot.Open(m.dir)
	m.check(err)
	snap, err := s.Latest(staff)
	m.check(err)
	return s, snap
}

// forge adds a snapshot that looks like from, with all digests right, and signs
// it with a key that nobody allows, or not at all.
func (m *mutation) forge(from *snapshot.Snapshot, change func(*snapshot.Manifest)) string {
	forged := from.Manifest
	change(&forged)
	dir := m.path(forged.Snapshot)
	m.names = append(m.names, forged.Snapshot)
	forged.SignedBy = nil
	by := m.v.other.Fingerprint()
	signed := m.IntN(2) == 0
	if signed {
		forged.SignedBy = &by
	}
	manifest, err := canonjson.Marshal(forged)
	manifest = append(manifest, '\n')
	m.check(err, os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(from.Dir())), os.WriteFile(filepath.Join(dir, "manifest.json"), manifest, 0o600),
		os.Remove(filepath.Join(dir, "manifest.json.sig")))
	if signed {
		signature, err := m.v.other.Sign(manifest)
		m.check(err, os.WriteFile(filepath.Join(dir, "manifest.json.sig"), signature, 0o600))
	}
	m.check(edit(filepath.Join(dir, "SHA256SUMS"), from.Digest, hexSum(manifest)))
	return hexSum(manifest)
}

// journal lets the journal know a snapshot that was forged.
func (m *mutation) journal(name, digest string) {
	path := m.path("journal.ndjson")
	data, err := os.ReadFile(path)
	m.check(err)
	for _, event := range []string{"intent", "published"} {
		lines := bytes.SplitAfter(data, []byte("\n"))
		var e map[string]any
		m.check(json.Unmarshal(lines[len(lines)-2], &e))
		e["event"], e["snapshot"], e["manifest_sha256"], e["previous_line_sha256"] = event, name, digest, hexSum(lines[len(lines)-2])
		line, err := canonjson.Marshal(e)
		m.check(err)
		data = append(append(data, line...), '\n')
	}
	m.check(os.WriteFile(path, data, 0o600), os.Remove(m.path("latest")), os.Symlink(name, m.path("latest")))
}
