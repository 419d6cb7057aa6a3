package verify_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/sign"
)

// mutations are the kinds of mutations. Each reports whether it applies.
var mutations = []struct {
	kind string
	do   func(m *mutation) bool
}{
	{"flip a bit", func(m *mutation) bool {
		return m.edit(one(m, append(m.files(), m.path("checkpoint"))), func(data []byte) []byte {
			data[m.IntN(len(data))] ^= 1 << m.IntN(8)
			return data
		})
	}},
	{"flip a bit of oktasync.json", func(m *mutation) bool {
		path := filepath.Join(m.dir, "oktasync.json")
		data, err := os.ReadFile(path)
		data[m.IntN(len(data))] ^= 1 << m.IntN(8)
		m.names = []string{"oktasync.json", "belongs to the "}
		return m.check(err, os.WriteFile(path, data, 0o600))
	}},
	{"truncate", func(m *mutation) bool {
		return m.edit(one(m, append(m.files(), m.path("checkpoint"))), func(data []byte) []byte { return data[:m.IntN(len(data))] })
	}},
	{"append", func(m *mutation) bool {
		return m.edit(one(m, m.files()), func(data []byte) []byte { return append(data, data[m.IntN(len(data)):]...) })
	}},
	{"delete a file", func(m *mutation) bool {
		path := one(m, append(m.files(), m.path("journal.ndjson"), m.path("latest"), m.path("checkpoint")))
		m.name(path)
		return m.check(os.Remove(path))
	}},
	{"delete a folder", func(m *mutation) bool {
		path := one(m, append(m.folders(), m.path("pruned")))
		m.name(path)
		return m.check(os.RemoveAll(path))
	}},
	{"rename a file", func(m *mutation) bool {
		path := one(m, append(m.files(), m.path("journal.ndjson")))
		m.name(path)
		return m.check(os.Rename(path, path+"."+fmt.Sprint(m.IntN(9))))
	}},
	{"rename a folder", func(m *mutation) bool {
		path := one(m, m.folders())
		m.name(path)
		to := filepath.Join(filepath.Dir(path), one(m, []string{"20200101T000000Z", "20270101T000000Z", "20261124T120000Z", "20261126T060001Z", "old"}))
		return m.check(os.Rename(path, to))
	}},
	{"move a folder to the tombstones, or back", func(m *mutation) bool {
		path := one(m, m.folders())
		to := m.path("pruned", filepath.Base(path))
		if filepath.Base(filepath.Dir(path)) == "pruned" {
			to = m.path(filepath.Base(path))
		}
		m.names = []string{filepath.Base(path)}
		return m.check(os.MkdirAll(m.path("pruned"), 0o700), os.Rename(path, to))
	}},
	{"make a tombstone of a snapshot", func(m *mutation) bool {
		path := one(m, m.glob("2*"))
		m.names = []string{filepath.Base(path)}
		to := m.path("pruned", filepath.Base(path))
		m.check(os.MkdirAll(to, 0o700))
		for _, name := range []string{"manifest.json", "manifest.json.sig"} {
			m.check(os.Rename(filepath.Join(path, name), filepath.Join(to, name)))
		}
		return m.check(os.RemoveAll(path))
	}},
	{"add a file", func(m *mutation) bool {
		path := filepath.Join(one(m, append(m.folders(), m.path(), m.path("pruned"))), one(m, []string{"x", ".x", "users.csv.old", "manifest.json~"}))
		m.name(path)
		return m.check(os.WriteFile(path, nil, 0o600))
	}},
	{"add a folder", func(m *mutation) bool {
		path := filepath.Join(one(m, append(m.folders(), m.path(), m.path("pruned"))), "old")
		m.name(path)
		return m.check(os.Mkdir(path, 0o700))
	}},
	{"put an older checkpoint back", func(m *mutation) bool {
		path := one(m, m.h.checkpoints)
		m.names = []string{"runs, and an interruption leaves one", "is not the one", "covers", "not signed", "checkpoint"}
		return m.check(os.Remove(m.path("checkpoint")), os.WriteFile(m.path("checkpoint"), []byte(path), 0o600))
	}},
	{"sign a checkpoint with a foreign key", func(m *mutation) bool {
		m.name(m.path("checkpoint"))
		line, _, _ := strings.Cut(storetest.Read(m.h.t, m.path("checkpoint")), "\n")
		signature, err := signWith(m.h.foreign, sign.Checkpoint, []byte(line+"\n"))
		return m.check(err, os.WriteFile(m.path("checkpoint"), append([]byte(line+"\n"), signature...), 0o600))
	}},
	{"swap two files", func(m *mutation) bool {
		a := one(m, m.files())
		alike := slices.DeleteFunc(m.files(), func(b string) bool {
			return filepath.Base(a) != filepath.Base(b) || storetest.Read(m.h.t, a) == storetest.Read(m.h.t, b)
		})
		return len(alike) > 0 && m.swap(a, one(m, alike))
	}},
	{"swap two folders", func(m *mutation) bool {
		folders := m.folders()
		i := m.IntN(len(folders) - 1)
		return m.swap(folders[i], folders[i+1+m.IntN(len(folders)-1-i)])
	}},
	{"link a file elsewhere", func(m *mutation) bool {
		path, to := one(m, append(m.files(), m.path("journal.ndjson"))), filepath.Join(m.dir, ".away")
		m.name(path)
		return m.check(os.Rename(path, to), os.Symlink(to, path))
	}},
	{"link a folder elsewhere", func(m *mutation) bool {
		path, to := one(m, append(m.folders(), m.path("pruned"))), filepath.Join(m.dir, ".away")
		m.name(path)
		return m.check(os.Rename(path, to), os.Symlink(to, path))
	}},
	{"link the export elsewhere", func(m *mutation) bool {
		m.names = []string{staff}
		return m.check(os.Rename(m.path(), filepath.Join(m.dir, ".away")), os.Symlink(".away", m.path()))
	}},
	{"link a file to another file", func(m *mutation) bool {
		a, b := one(m, m.files()), one(m, m.files())
		if storetest.Read(m.h.t, a) == storetest.Read(m.h.t, b) {
			return false
		}
		m.name(a)
		return m.check(os.Remove(a), os.Link(b, a))
	}},
	{"put a folder in the place of a file", func(m *mutation) bool {
		path := one(m, append(m.files(), m.path("journal.ndjson"), m.path("latest"), m.path("checkpoint")))
		m.name(path)
		return m.check(os.Remove(path), os.Mkdir(path, 0o700))
	}},
	{"sign with a foreign key", func(m *mutation) bool {
		path := one(m, append(m.glob("2*/*.sig"), m.glob("pruned/2*/*.sig")...))
		return m.edit(path, func([]byte) []byte {
			signature, err := signWith(m.h.foreign, sign.Snapshot, []byte(storetest.Read(m.h.t, strings.TrimSuffix(path, ".sig"))))
			m.check(err)
			return signature
		})
	}},
	{"edit a line of the journal", func(m *mutation) bool {
		return m.lines(func(lines [][]byte, i int) [][]byte {
			lines[i] = bytes.Replace(lines[i], []byte(`"user":"`), []byte(`"user":"x`), 1)
			return lines
		})
	}},
	{"flip a bit of the journal", func(m *mutation) bool {
		return m.lines(func(lines [][]byte, i int) [][]byte {
			lines[i][m.IntN(len(lines[i]))] ^= 1 << m.IntN(8)
			return lines
		})
	}},
	{"drop lines of the journal", func(m *mutation) bool {
		return m.lines(func(lines [][]byte, i int) [][]byte { return slices.Delete(lines, i, i+1+m.IntN(len(lines)-3-i)) })
	}},
	{"repeat a line of the journal", func(m *mutation) bool {
		return m.lines(func(lines [][]byte, i int) [][]byte { return slices.Insert(lines, i, lines[i]) })
	}},
	{"move a line of the journal", func(m *mutation) bool {
		return m.lines(func(lines [][]byte, i int) [][]byte {
			j := m.IntN(len(lines) - 1)
			lines[i], lines[j] = lines[j], lines[i]
			return lines
		})
	}},
	{"cut the journal", func(m *mutation) bool {
		return m.lines(func(lines [][]byte, i int) [][]byte { return lines[:i] })
	}},
	{"change latest", func(m *mutation) bool {
		m.names = []string{"latest"}
		_, newest := m.newest()
		targets := []string{"nowhere", "", "pruned", "./" + newest.Name(), newest.Dir(), "../" + staff + "/" + newest.Name()}
		for _, path := range m.glob("2*") {
			if name := filepath.Base(path); name != newest.Name() && name != newest.Manifest.Previous.Snapshot {
				targets = append(targets, name)
			}
		}
		target := one(m, targets)
		if m.check(os.Remove(m.path("latest"))); target == "" {
			return true
		}
		return m.check(os.Symlink(target, m.path("latest")))
	}},
	{"add a future snapshot", func(m *mutation) bool {
		_, newest := m.newest()
		digest := m.forge(newest, func(f *snapshot.Manifest) {
			f.Snapshot, f.Sequence = "20270101T060000Z", f.Sequence+1
			f.Previous = &snapshot.Link{Snapshot: newest.Name(), ManifestSHA256: newest.Digest}
		})
		if m.IntN(2) == 0 {
			m.journal("20270101T060000Z", digest)
		}
		return true
	}},
	{"forge a first snapshot", func(m *mutation) bool {
		_, newest := m.newest()
		digest := m.forge(newest, func(f *snapshot.Manifest) {
			f.Snapshot, f.Sequence, f.Previous = "20270101T060000Z", 1, nil
		})
		m.journal("20270101T060000Z", digest)
		return true
	}},
	{"use a sequence again", func(m *mutation) bool {
		_, newest := m.newest()
		m.journal("20270101T060000Z", m.forge(newest, func(f *snapshot.Manifest) { f.Snapshot = "20270101T060000Z" }))
		return true
	}},
	{"insert a snapshot", func(m *mutation) bool {
		s, _ := m.newest()
		list, err := s.List(staff)
		m.check(err)
		from := one(m, list)
		m.forge(from, func(f *snapshot.Manifest) {
			at := from.Manifest.Read.Started.Add(one(m, []time.Duration{-time.Hour, time.Second, time.Hour, 25 * time.Hour}))
			f.Snapshot = at.Format("20060102T150405Z")
			if m.IntN(2) == 0 {
				f.Sequence, f.Previous = f.Sequence+1, &snapshot.Link{Snapshot: from.Name(), ManifestSHA256: from.Digest}
			}
		})
		return true
	}},
	{"restore a pruned snapshot", func(m *mutation) bool {
		name := filepath.Base(one(m, m.glob("pruned/2*")))
		m.names = []string{name}
		return m.check(os.CopyFS(m.path(name), os.DirFS(filepath.Join(m.h.copies, name))))
	}},
	{"replace a snapshot by an older one", func(m *mutation) bool {
		paths := m.glob("2*")
		i := 1 + m.IntN(len(paths)-1)
		m.names = []string{filepath.Base(paths[i])}
		return m.check(os.RemoveAll(paths[i]), os.CopyFS(paths[i], os.DirFS(paths[i-1])))
	}},
	{"empty the export", func(m *mutation) bool {
		entries, err := os.ReadDir(m.path())
		m.check(err)
		for _, entry := range entries {
			if entry.Name() != "journal.ndjson" {
				m.check(os.RemoveAll(m.path(entry.Name())))
			}
		}
		m.names = []string{"checkpoint: is missing"}
		return true
	}},
}
