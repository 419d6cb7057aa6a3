package e2e

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// FuzzStoreReaders runs all readers with generated stores. No reader crashes, hangs,
// uses much memory, or prints a control character. Each seed generates one store:
//
//	go test ./e2e -run '^$' -fuzz FuzzStoreReaders -fuzztime 10m
func FuzzStoreReaders(f *testing.F) {
	needs(f, "zstd")
	seeds := uint64(12)
	if long() {
		seeds = 200
	}
	for seed := range seeds {
		f.Add(seed)
	}
	base := newSite(f, sandbox.Config{Users: 30, Seed: 133}, usersAndGroups...)
	base.configure(f, "    users: {}\n    groups: {}\n    formats: [ndjson, csv]\n")
	base.must(f, 0, "apply")
	base.org.Move(3)
	base.must(f, 0, "apply")
	base.org.Wipe()
	base.must(f, 3, "apply") // leaves a quarantined read
	readers := [][]string{
		{"verify"}, {"verify", "--json"}, {"list"}, {"list", "all-users"}, {"status"}, {"show", "all-users"}, {"show", "all-users@-1", "groups"},
		{"show", "all-users", "--filter", "status pr or profile.login co \"a\"", "--format", "table"}, {"access", "all-users", "--user", "x"},
		{"diff", "all-users"}, {"quarantine", "list"}, {"__complete", "show", "all-users@"}, {"__complete", "quarantine", "show", ""},
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), t: t, site: &site{dir: t.TempDir()}}
		check(t, os.CopyFS(g.site.dir, os.DirFS(base.dir)))
		g.generate()
		for _, args := range readers {
			g.site.bounded(t, args...)
		}
		if t.Failed() {
			t.Logf("seed %d: %s", seed, strings.Join(g.log, "; "))
		}
	})
}

// A generator changes a copy of a store.
type generator struct {
	*rand.Rand
	t    *testing.T
	site *site
	log  []string // the changes
}

// texts are hostile strings for names and values.
var texts = []string{
	"\x1b[2J\x1b]0;title\a", "\u009b31m\u0085", "\u202eevil", "a\r\nb", "$(touch run)`x`", "../../../etc/passwd", "", "\x00", "-rf",
	strings.Repeat("x", 1<<20), "20261123T060000Z", "users.csv", "9999-12-31T23:59:59.999Z", "=cmd()",
}

// values are hostile values of other types.
var values = []any{
	json.Number("-1"), json.Number("0"), json.Number("9007199254740991"), json.Number("1e308"), json.Number("0.5"), nil, true,
	[]any{}, map[string]any{}, json.RawMessage(strings.Repeat("[", 5000) + strings.Repeat("]", 5000)),
}

func pick[T any](g *generator, list []T) T { return list[g.IntN(len(list))] }

func (g *generator) note(format string, args ...any) {
	g.log = append(g.log, fmt.Sprintf("%.200s", fmt.Sprintf(format, args...)))
}

// generate changes the content of the newest snapshot, with correct digests, then
// names and bytes in the whole store.
func (g *generator) generate() {
	if g.IntN(3) > 0 {
		g.site.forge(g.t, func(f *forgery) {
			switch g.IntN(3) {
			case 0:
				g.changeLines(filepath.Join(f.newest, pick(g, []string{"requests.ndjson", "users.changes.ndjson", "groups.changes.ndjson"})))
			case 1:
				g.changeRecords(f)
			}
			if g.IntN(2) == 0 {
				files := f.manifest["files"] // the digests are needed
				g.changeTree("manifest", f.manifest)
				f.manifest["files"] = files
			}
		})
	}
	for range g.IntN(3) {
		g.changeFile(pick(g, g.paths()))
	}
	if g.IntN(3) == 0 {
		g.addFile()
	}
}

// changeTree replaces one value in a tree of JSON.
func (g *generator) changeTree(path string, tree map[string]any) {
	name := pick(g, slices.Sorted(maps.Keys(tree)))
	inner, isObject := tree[name].(map[string]any)
	switch n := g.IntN(8); {
	case isObject && len(inner) > 0 && n > 0:
		g.changeTree(path+"."+name, inner)
		return
	case n == 1:
		delete(tree, name)
	case n == 2:
		tree[pick(g, texts)] = tree[name]
	case n < 6:
		tree[name] = pick(g, texts)
	default:
		tree[name] = pick(g, values)
	}
	g.note("%s.%s = %q", path, name, fmt.Sprint(tree[name]))
}

// changeLines changes one line of a file.
func (g *generator) changeLines(path string) {
	lines := slices.Collect(strings.Lines(read(g.t, path)))
	if len(lines) == 0 {
		return
	}
	i := g.IntN(len(lines))
	f := &forgery{TB: g.t}
	var tree map[string]any
	f.decode(lines[i], &tree)
	g.changeTree(filepath.Base(path), tree)
	lines[i] = f.encode(tree)
	write(g.t, path, strings.Join(lines, ""))
}

// changeRecords replaces the users with generated ones.
func (g *generator) changeRecords(f *forgery) {
	var content strings.Builder
	n, text := 1+g.IntN(40), pick(g, texts)
	for i := range n {
		content.WriteString(f.encode(map[string]any{
			"id": fmt.Sprintf("00u%04d%s", i, text[:min(len(text), 10)]), "status": pick(g, texts), "profile": map[string]any{"login": text, text: text},
		}))
	}
	f.records([]byte(content.String()))
	f.file("users.ndjson.zst")["rows"] = n
	f.users()["total"] = n
	g.note("%d users %q", n, text)
}

// paths returns the files and folders of the store.
func (g *generator) paths() (paths []string) {
	check(g.t, filepath.WalkDir(g.site.path("snapshots"), func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	}))
	return paths[1:]
}

// changeFile changes a file or folder.
func (g *generator) changeFile(path string) {
	info, err := os.Lstat(path)
	check(g.t, err)
	n := g.IntN(8)
	g.note("change %d of %s", n, path)
	switch {
	case n == 0:
		err = os.RemoveAll(path)
	case n == 1:
		err = os.Rename(path, filepath.Join(filepath.Dir(path), g.name()))
	case n == 2:
		check(g.t, os.RemoveAll(path))
		err = os.Symlink("/dev/zero", path)
	case n == 3:
		check(g.t, os.RemoveAll(path))
		err = syscall.Mkfifo(path, 0o600)
	case !info.Mode().IsRegular():
	case n == 4:
		err = os.Truncate(path, 1<<32)
	case n == 5:
		err = os.Truncate(path, g.Int64N(info.Size()+1))
	default:
		data := []byte(read(g.t, path))
		for range min(len(data), 1+g.IntN(20)) {
			data[g.IntN(len(data))] = byte(g.Uint32())
		}
		err = os.WriteFile(path, data, 0o600)
	}
	check(g.t, err)
}

// addFile adds a file or folder with a hostile name.
func (g *generator) addFile() {
	path := filepath.Join(filepath.Dir(pick(g, g.paths())), g.name())
	g.note("add %q", path)
	if g.IntN(2) == 0 {
		check(g.t, os.MkdirAll(path, 0o700))
		return
	}
	if _, err := os.Lstat(path); err != nil {
		check(g.t, os.WriteFile(path, []byte(pick(g, texts)), 0o600))
	}
}

// name returns a hostile name for a file.
func (g *generator) name() string {
	name := strings.NewReplacer("/", "_", "\x00", "_").Replace(pick(g, texts))
	return name[:min(len(name), 200)] + fmt.Sprint(g.IntN(100))
}
