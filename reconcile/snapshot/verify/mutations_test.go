package verify_test

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

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/sign"
	"oktasync/reconcile/snapshot/verify"
)

// A history is a store after breaks, adoptions and prunes.
type history struct {
	*snapshot.Store
	t       testing.TB
	signer  *sign.Signer
	foreign string // the file of a key that isn't allowed
	copies  string // folder with a copy of each snapshot

	checkpoints []string // after each snapshot but the last two
}

// next publishes the snapshot of the nth day, and copies it.
func (h *history) next(n int) {
	h.t.Helper()
	records := append(storetest.People(n), storetest.Person(n+30, "STAGED", "Law"), storetest.Group(1, fmt.Sprint("Group ", n)))
	if n < 5 && n > 1 {
		h.checkpoints = append(h.checkpoints, storetest.Read(h.t, h.Path(staff, snapshot.CheckpointFile)))
	}
	h.keep(storetest.Publish(h.t, h.Store, storetest.Day(n), records...))
}

func (h *history) keep(snap *snapshot.Snapshot) {
	h.t.Helper()
	storetest.CopyFolder(h.t, snap.Dir(), filepath.Join(h.copies, snap.Name()))
}

func (h *history) prune(last int, hold ...string) {
	h.t.Helper()
	storetest.MustPrune(h.t, h.Store, last, hold...)
}

// adopt checks that the writer rejects a break, and adopts it.
func (h *history) adopt(n int) {
	h.t.Helper()
	var mismatch *snapshot.MismatchError
	var rollback *snapshot.RollbackError
	var damaged *snapshot.DamagedError
	w, err := h.Writer(h.t.Context(), staff, snapshot.ThisProcess("test"))
	switch {
	case errors.As(err, &rollback):
		storetest.Adopt(h.t, h.Store, rollback.Lost)
		return
	case !errors.As(err, &mismatch) && !errors.As(err, &damaged):
		h.t.Fatalf("Writer() = %v, %v, want a *MismatchError", w, err)
	}
	if problems, _ := storetest.Verify(h.t, h.Store); len(problems) == 0 {
		h.t.Error("Verify finds nothing before the break is adopted")
	}
	storetest.Adopt(h.t, h.Store)
}

func (h *history) lose(names ...string) {
	for _, name := range names {
		storetest.RemoveAll(h.t, h.Dir(), filepath.Join(staff, name))
	}
}

// histories each end with a publish, so that the last manifest contains the head
// of the journal.
var histories = []struct {
	name string
	run  func(h *history)
}{
	{"the newest lost after a prune", func(h *history) {
		h.next(1)
		h.next(2)
		storetest.Must(h.t, storetest.Quarantine(h.t, h.Store, 3))
		snap, err := storetest.Release(h.t, h.Store, "")
		storetest.Must(h.t, err)
		h.keep(snap)
		h.prune(1, "20261123T060000Z")
		h.lose(snap.Name())
		h.adopt(4)
		h.next(4)
		h.next(5)
		h.prune(1, "20261123T060000Z")
		h.next(6)
	}},
	{"the journal lost", func(h *history) {
		for n := range 4 {
			h.next(n + 1)
		}
		h.prune(2)
		h.lose("journal.ndjson")
		h.adopt(5)
		h.next(5)
		h.next(6)
		h.prune(3)
		h.next(7)
	}},
	{"all lost but tombstones", func(h *history) {
		h.next(1)
		h.next(2)
		h.next(3)
		h.prune(1)
		h.lose("20261125T060000Z", "latest")
		h.adopt(4)
		h.next(4)
		h.next(5)
		h.prune(1)
		h.next(6)
	}},
	{"all lost but tombstones, and the journal", func(h *history) {
		h.next(1)
		h.next(2)
		h.prune(1)
		h.next(3)
		h.lose("20261124T060000Z", "20261125T060000Z", "latest", "journal.ndjson")
		h.adopt(4)
		h.next(4)
		h.next(5)
		h.prune(1)
		h.next(6)
	}},
	{"an older journal", func(h *history) {
		h.next(1)
		h.next(2)
		h.next(3)
		path := h.Path(staff, "journal.ndjson")
		old := storetest.Read(h.t, path)
		h.prune(2)
		h.next(4)
		storetest.Write(h.t, path, old)
		h.adopt(5)
		h.next(5)
		h.prune(3)
		h.next(6)
	}},
	{"an older copy", func(h *history) {
		h.next(1)
		h.next(2)
		h.prune(1)
		backup := filepath.Join(h.t.TempDir(), "backup")
		storetest.CopyFolder(h.t, h.Path(staff), backup)
		h.next(3)
		h.lose("")
		storetest.CopyFolder(h.t, backup, h.Path(staff))
		h.adopt(4)
		h.next(4)
		h.next(5)
		h.prune(2)
		h.next(6)
	}},
	{"two breaks", func(h *history) {
		h.next(1)
		h.next(2)
		h.lose("20261124T060000Z")
		h.adopt(3)
		h.next(3)
		h.next(4)
		h.lose("20261126T060000Z", "journal.ndjson")
		h.adopt(5)
		h.next(5)
		h.prune(2)
		h.next(6)
	}},
}

// Verify finds no problem in a store with adopted breaks. Each mutation of it is a
// problem that names the changed file.
func TestVerifyFindsMutations(t *testing.T) {
	seeds := uint64(24)
	if storetest.Long() {
		seeds = 400
	}
	for n, test := range histories {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			signer := storetest.NewSigner(t)
			s := storetest.Init(t, filepath.Join(t.TempDir(), "snapshots"), snapshot.Options{Signer: signer, Witness: new(snapshot.Witness)})
			h := &history{Store: s, t: t, signer: signer, foreign: storetest.NewKey(t), copies: t.TempDir()}
			test.run(h)
			if problems := h.problems(s.Dir()); len(problems) > 0 {
				t.Fatalf("Verify before a mutation:\n\t%s", strings.Join(problems, "\n\t"))
			}
			tried := make(map[string]int)
			for seed := range seeds {
				m := h.mutate(rand.New(rand.NewPCG(seed, uint64(n))))
				tried[m.kind]++
				if !m.found(h.problems(m.dir)) {
					t.Errorf("seed %d: %s: want a problem with one of %q, found:\n\t%s", seed, m.what, m.names, strings.Join(h.problems(m.dir), "\n\t"))
				}
				storetest.Must(t, os.RemoveAll(m.dir))
			}
			if kinds := len(mutations); storetest.Long() && len(tried) < kinds {
				t.Errorf("%d kinds of mutations were tried, want %d: %v", len(tried), kinds, tried)
			}
		})
	}
}

// problems returns the problems of the store in dir.
func (h *history) problems(dir string) []string {
	s, err := snapshot.Open(dir)
	if err != nil {
		return []string{err.Error()}
	}
	problems, _ := storetest.VerifyWith(h.t, s, verify.Options{Signers: storetest.Allow(h.t, "archive "+h.signer.PublicKey())})
	return problems
}

// A mutation is a changed copy of a store.
type mutation struct {
	*rand.Rand
	h     *history
	dir   string // of the copy
	kind  string
	what  string   // for messages
	names []string // a problem must contain one of them
}

func (m *mutation) found(problems []string) bool {
	return slices.ContainsFunc(problems, func(p string) bool {
		return slices.ContainsFunc(m.names, func(name string) bool { return strings.Contains(p, name) })
	})
}

// mutate changes a copy in one way.
func (h *history) mutate(r *rand.Rand) *mutation {
	m := &mutation{Rand: r, h: h, dir: filepath.Join(h.t.TempDir(), "copy")}
	storetest.CopyFolder(h.t, h.Dir(), m.dir)
	for {
		one := mutations[r.IntN(len(mutations))]
		if m.kind = one.kind; one.do(m) { // false: it doesn't apply to this store
			m.what = fmt.Sprintf("%s %q", m.kind, m.names)
			return m
		}
	}
}

func (m *mutation) path(names ...string) string {
	return filepath.Join(append([]string{m.dir, staff}, names...)...)
}

func (m *mutation) check(errs ...error) bool {
	m.h.t.Helper()
	if err := errors.Join(errs...); err != nil {
		m.h.t.Fatalf("%s: %v", m.kind, err)
	}
	return true
}

// one returns a random element of list.
func one[T any](m *mutation, list []T) T { return list[m.IntN(len(list))] }

func (m *mutation) glob(pattern string) []string {
	paths, err := filepath.Glob(m.path(pattern))
	m.check(err)
	return paths
}

// folders returns the folders of snapshots and tombstones.
func (m *mutation) folders() []string { return append(m.glob("2*"), m.glob("pruned/2*")...) }

// files returns the files in these folders.
func (m *mutation) files() []string { return append(m.glob("2*/*"), m.glob("pruned/2*/*")...) }

// name expects a problem that names one of these files or folders.
func (m *mutation) name(paths ...string) {
	for _, path := range paths {
		rel, err := filepath.Rel(m.path(), path)
		m.check(err)
		m.names = append(m.names, rel)
	}
}

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

// lines changes lines of the journal before the last head in a manifest. A crash
// can cut off later lines.
func (m *mutation) lines(change func(lines [][]byte, i int) [][]byte) bool {
	return m.edit(m.path("journal.ndjson"), func(data []byte) []byte {
		lines := bytes.SplitAfter(data, []byte("\n"))
		return bytes.Join(change(lines, m.IntN(len(lines)-3)), nil) // without the newest two lines and the empty last part
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

// forge adds a changed copy of a snapshot with correct digests. It is unsigned, or
// signed by a key that isn't allowed.
func (m *mutation) forge(from *snapshot.Snapshot, change func(*snapshot.Manifest)) string {
	forged := from.Manifest
	change(&forged)
	dir := m.path(forged.Snapshot)
	m.names = append(m.names, forged.Snapshot)
	forged.SignedBy = nil
	signed := m.IntN(2) == 0
	if signed {
		foreign, err := sign.Load(m.h.foreign)
		m.check(err)
		by := foreign.Fingerprint()
		forged.SignedBy = &by
	}
	manifest, err := canonjson.Marshal(forged)
	manifest = append(manifest, '\n')
	m.check(err, os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(from.Dir())), os.WriteFile(filepath.Join(dir, "manifest.json"), manifest, 0o600),
		os.Remove(filepath.Join(dir, "manifest.json.sig")))
	if signed {
		signature, err := signWith(m.h.foreign, sign.Snapshot, manifest)
		m.check(err, os.WriteFile(filepath.Join(dir, "manifest.json.sig"), signature, 0o600))
	}
	m.check(storetest.Edit(filepath.Join(dir, "SHA256SUMS"), from.Digest, snapshot.DigestOf(manifest)))
	return snapshot.DigestOf(manifest)
}

// journal adds a forged snapshot to the journal.
func (m *mutation) journal(name, digest string) {
	path := m.path("journal.ndjson")
	data, err := os.ReadFile(path)
	m.check(err)
	for _, event := range []string{"started", "published"} {
		lines := bytes.SplitAfter(data, []byte("\n"))
		var e map[string]any
		m.check(json.Unmarshal(lines[len(lines)-2], &e))
		e["event"], e["snapshot"], e["manifest_sha256"], e["previous_line_sha256"] = event, name, digest, snapshot.DigestOf(lines[len(lines)-2])
		line, err := canonjson.Marshal(e)
		m.check(err)
		data = append(append(data, line...), '\n')
	}
	m.check(os.WriteFile(path, data, 0o600), os.Remove(m.path("latest")), os.Symlink(name, m.path("latest")))
}
