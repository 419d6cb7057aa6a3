package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// TestOrderOfSystemCalls reads an strace of the real program: nothing gets its
// name before it is on disk, and the folder that holds the name is synced
// before anything relies on it.
func TestOrderOfSystemCalls(t *testing.T) {
	needs(t, "strace")
	s := signedSite(t, sandbox.Config{Users: 300, Seed: 41})
	s.sh(t, "sed -i 's/last: 7/last: 1/' oktasync.yaml")
	for run, wants := range [][]string{
		{"oktasync.json", "all-users/NAME", "all-users/latest"},
		{"all-users/NAME", "all-users/latest", "all-users/pruned/NAME", "all-users/.NAME.pruned"},
	} {
		s.org.Move(2)
		trace := filepath.Join(s.dir, "trace")
		cmd := exec.Command("strace", "-f", "-y", "-qq", "-s", "0", "-o", trace,
			"-e", "trace=openat,write,pwrite64,ftruncate,fsync,fdatasync,mkdirat,symlinkat,renameat,renameat2,unlinkat",
			filepath.Join(bin, "oktasync"), "apply")
		cmd.Dir = s.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		data, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		o := &syscallOrder{t: t, root: filepath.Join(s.dir, "snapshots"), dirty: make(map[string]bool), open: make(map[string]string)}
		for line := range strings.Lines(string(data)) {
			o.line(strings.TrimSpace(line))
		}
		if len(o.renamed) > 0 {
			t.Errorf("run %d: never synced after a rename in it: %v", run, o.renamed)
		}
		if got := strings.Join(o.names, " "); got != strings.Join(wants, " ") {
			t.Errorf("run %d: renames to %s, want %s", run, got, wants)
		}
	}
}

// syscallOrder follows what of a store is on disk.
type syscallOrder struct {
	t       *testing.T
	root    string
	open    map[string]string // calls that have begun, by thread
	dirty   map[string]bool   // files written to, and folders with new names, since the last sync
	renamed []string          // folders in which something was renamed since their last sync
	names   []string          // what was renamed to, in order
}

var (
	syscallLine  = regexp.MustCompile(`^(\d+) +(<\.\.\. )?(\w+)(?: resumed>|\()(.*)$`)
	syscallPath  = regexp.MustCompile(`(?:(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"([^"]*)"`) // and the folder that it counts from
	syscallFD    = regexp.MustCompile(`^\d+<([^>]*)>`)
	snapshotName = regexp.MustCompile(`\d{8}T\d{6}Z`)
)

// line takes a line of the trace: a call, its beginning or its end. A call
// counts where it begins, but a sync where it ends.
func (o *syscallOrder) line(line string) {
	m := syscallLine.FindStringSubmatch(line)
	if m == nil {
		return
	}
	thread, resumed, name, rest := m[1], m[2] != "", m[3], m[4]
	sync := name == "fsync" || name == "fdatasync"
	unfinished := strings.HasSuffix(rest, "<unfinished ...>")
	if unfinished {
		o.open[thread] = rest
	}
	if resumed {
		rest = o.open[thread] + rest
	}
	if sync && !unfinished || !sync && !resumed {
		o.call(name, rest)
	}
}

func (o *syscallOrder) call(name, args string) {
	var paths []string
	for _, quoted := range syscallPath.FindAllStringSubmatch(args, -1) {
		path := quoted[2]
		switch {
		case filepath.IsAbs(path):
		case quoted[1] != "":
			path = filepath.Join(quoted[1], path)
		default:
			path = filepath.Join(filepath.Dir(o.root), path)
		}
		paths = append(paths, path)
	}
	fd := ""
	if m := syscallFD.FindStringSubmatch(args); m != nil {
		fd = m[1]
	}
	switch {
	case name == "fsync" || name == "fdatasync":
		delete(o.dirty, fd)
		o.renamed = without(o.renamed, fd)
	case name == "openat" && strings.Contains(args, "O_CREAT") && o.ours(paths[0]):
		o.dirty[paths[0]], o.dirty[filepath.Dir(paths[0])] = true, true
	case (name == "write" || name == "pwrite64" || name == "ftruncate") && o.ours(fd):
		o.settled("write to " + fd)
		o.dirty[fd] = true
	case (name == "mkdirat" || name == "symlinkat") && o.ours(paths[len(paths)-1]):
		o.settled(name)
		o.dirty[filepath.Dir(paths[len(paths)-1])] = true
	case name == "unlinkat" && o.ours(paths[0]):
		o.settled("removal of " + paths[0])
	case strings.HasPrefix(name, "rename") && o.ours(paths[1]):
		o.rename(paths[0], paths[1])
	}
}

// ours reports whether path is in the store, and matters there: locks do not.
func (o *syscallOrder) ours(path string) bool {
	return strings.HasPrefix(path, o.root+"/") && filepath.Base(path) != ".lock" && !strings.Contains(path, "(deleted)")
}

// settled holds that the names that were given before are on disk.
func (o *syscallOrder) settled(what string) {
	if len(o.renamed) > 0 {
		o.t.Errorf("%s before the sync of %v, in which something was renamed", what, o.renamed)
		o.renamed = nil
	}
}

func (o *syscallOrder) rename(from, to string) {
	o.settled("rename to " + to)
	for path := range o.dirty {
		if path == from || strings.HasPrefix(path, from+"/") {
			o.t.Errorf("%s was renamed to %s before the sync of %s", from, to, path)
		}
	}
	o.renamed = append(o.renamed, filepath.Dir(to))
	o.dirty[filepath.Dir(to)] = true
	o.names = append(o.names, snapshotName.ReplaceAllString(strings.TrimPrefix(to, o.root+"/"), "NAME"))
}

func without(list []string, one string) (rest []string) {
	for _, s := range list {
		if s != one {
			rest = append(rest, s)
		}
	}
	return rest
}
