package e2e

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// TestOrderOfSystemCalls checks the number of syncs, and the order of apply's system calls with strace: a
// file or folder is synced before it is renamed, and after the rename, the folder
// that contains it is synced before the next change.
func TestOrderOfSystemCalls(t *testing.T) {
	needs(t, "strace")
	s := newSignedSite(t, sandbox.Config{Users: 300, Seed: 41}, "    retain: {last: 2}\n")
	for run, want := range []struct {
		names []string
		syncs int // at most: three more than without a checkpoint
	}{
		{[]string{"oktasync.json", "all-users/checkpoint", "all-users/NAME", "all-users/checkpoint", "all-users/latest"}, 17 + 3},
		{[]string{"all-users/NAME", "all-users/checkpoint", "all-users/latest"}, 13 + 3},
		{[]string{"all-users/NAME", "all-users/checkpoint", "all-users/latest", "all-users/checkpoint", "all-users/pruned/NAME"}, 13 + 3 + 7},
	} {
		s.org.Move(2)
		o := s.traceApply(t)
		if len(o.renamed) > 0 {
			t.Errorf("run %d: not synced after a rename: %v", run, o.renamed)
		}
		if got := strings.Join(o.names, " "); got != strings.Join(want.names, " ") {
			t.Errorf("run %d: renames to %s, want %s", run, got, want.names)
		}
		if o.syncs > want.syncs {
			t.Errorf("run %d: %d syncs, want at most %d", run, o.syncs, want.syncs)
		}
		t.Logf("run %d: %d syncs", run, o.syncs)
	}
}

// An apply without a prune opens as many files in a store with many snapshots as in a
// store with few.
func TestHistoryIsNotRead(t *testing.T) {
	needs(t, "strace")
	var opened []int
	for _, snapshots := range []int{5, 50} {
		s := newGrownSite(t, snapshots, 20*snapshots)
		s.must(t, 0, "verify")
		opened = append(opened, s.traceApply(t).opened)
	}
	if opened[0] != opened[1] {
		t.Errorf("apply opens %d files in a store with 5 snapshots, and %d in one with 50", opened[0], opened[1])
	}
}

// A command that checks the signature of a checkpoint reads it once. So a writer can't
// exchange the checkpoint between the check and its use.
func TestCheckpointIsReadOnce(t *testing.T) {
	needs(t, "strace", "ssh-keygen")
	s := newReviewSite(t)
	first := s.snapshot
	s.set(s.rows[0], "decision", "revoke")
	s.write(t, "review.csv", ',', s.rows...)
	s.apply(t)
	for _, args := range [][]string{
		{"report", "all-users", "--output", "report.html"},
		{"report", "all-users", "--from", first, "--output", "report.html"},
		{"report", "all-users@" + first, "--output", "report.html"},
		{"report", "all-users", "--review", "manager", "--format", "xlsx", "--output", "review.xlsx"},
		{"review", "check", "review.csv", "--against", "all-users@" + first, "--no-record"},
		{"status"},
		{"status", "--heads"},
	} {
		cmd := exec.Command("strace", append([]string{"-f", "-y", "-qq", "-o", s.path("trace"), "-e", "trace=openat", program()}, args...)...)
		cmd.Dir = s.dir
		out, err := cmd.CombinedOutput()
		trace := read(t, s.path("trace"))
		if n := strings.Count(trace, `"checkpoint"`) + strings.Count(trace, `/checkpoint"`); n != 1 {
			t.Errorf("%s opens the checkpoint %d times (%v): %s", args, n, err, out)
		}
	}
}

// init syncs a new key and its folder, so that a key that was registered with Okta survives
// a power failure.
func TestInitSyncsTheKeyAndItsFolder(t *testing.T) {
	needs(t, "strace")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	check(t, err)
	cmd := exec.Command("strace", "-f", "-y", "-qq", "-o", "trace", "-e", "trace=fsync",
		program(), "init", "--org-url", "https://acme.okta.com", "--client-id", "0oa1b2c3d4e5f6g7h8i9")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	trace := read(t, filepath.Join(dir, "trace"))
	if key, folder := strings.Index(trace, "<"+dir+"/client-key.pem>"), strings.Index(trace, "<"+dir+">"); key < 0 || folder < key {
		t.Errorf("want a sync of the key and then of its folder:\n%s", trace)
	}
}

// traceApply runs apply, and reads the trace of its system calls.
func (s *site) traceApply(t *testing.T) *syscallOrder {
	t.Helper()
	trace := s.path("trace")
	cmd := exec.Command("strace", "-f", "-y", "-qq", "-s", "0", "-o", trace,
		"-e", "trace=openat,write,pwrite64,ftruncate,fsync,fdatasync,mkdirat,symlinkat,renameat,renameat2,unlinkat",
		program(), "apply")
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o := &syscallOrder{t: t, root: s.path("snapshots"), dirty: make(map[string]bool), open: make(map[string]string)}
	for line := range strings.Lines(read(t, trace)) {
		o.line(strings.TrimSpace(line))
	}
	return o
}

// syscallOrder tracks which files and folders of a store are synced.
type syscallOrder struct {
	t       *testing.T
	root    string
	open    map[string]string // unfinished calls, by thread
	dirty   map[string]bool   // files written to, and folders with new names, since the last sync
	renamed []string          // folders in which something was renamed since their last sync
	names   []string          // what was renamed to, in order
	syncs   int
	opened  int // files and folders
}

var (
	syscallLine  = regexp.MustCompile(`^(\d+) +(<\.\.\. )?(\w+)(?: resumed>|\()(.*)$`)
	syscallPath  = regexp.MustCompile(`(?:(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"([^"]*)"`) // and the folder that it is relative to
	syscallFD    = regexp.MustCompile(`^\d+<([^>]*)>`)
	snapshotName = regexp.MustCompile(`\d{8}T\d{6}Z`)
)

// line reads a line of the trace: a call, its beginning or its end. A call takes
// effect at its beginning, but a sync at its end.
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
	if name == "openat" && o.inStore(paths[0]) {
		o.opened++
	}
	fd := ""
	if m := syscallFD.FindStringSubmatch(args); m != nil {
		fd = m[1]
	}
	switch {
	case name == "fsync" || name == "fdatasync":
		o.syncs++
		delete(o.dirty, fd)
		o.renamed = slices.DeleteFunc(o.renamed, func(dir string) bool { return dir == fd })
	case name == "openat" && strings.Contains(args, "O_CREAT") && o.inStore(paths[0]):
		o.dirty[paths[0]], o.dirty[filepath.Dir(paths[0])] = true, true
	case (name == "write" || name == "pwrite64" || name == "ftruncate") && o.inStore(fd):
		o.wantSynced("write to " + fd)
		o.dirty[fd] = true
	case (name == "mkdirat" || name == "symlinkat") && o.inStore(paths[len(paths)-1]):
		o.wantSynced(name)
		o.dirty[filepath.Dir(paths[len(paths)-1])] = true
	case name == "unlinkat" && o.inStore(paths[0]):
		o.wantSynced("removal of " + paths[0])
	case strings.HasPrefix(name, "rename") && o.inStore(paths[1]):
		o.rename(paths[0], paths[1])
	}
}

// inStore reports whether path is in the store, and not a lock.
func (o *syscallOrder) inStore(path string) bool {
	return strings.HasPrefix(path, o.root+"/") && filepath.Base(path) != ".lock" && !strings.Contains(path, "(deleted)")
}

// wantSynced checks that the folders of earlier renames are synced.
func (o *syscallOrder) wantSynced(what string) {
	if len(o.renamed) > 0 {
		o.t.Errorf("%s after a rename in %v and before its sync", what, o.renamed)
		o.renamed = nil
	}
}

func (o *syscallOrder) rename(from, to string) {
	o.wantSynced("rename to " + to)
	for path := range o.dirty {
		if path == from || strings.HasPrefix(path, from+"/") {
			o.t.Errorf("%s was renamed to %s before the sync of %s", from, to, path)
		}
	}
	o.renamed = append(o.renamed, filepath.Dir(to))
	o.dirty[filepath.Dir(to)] = true
	o.names = append(o.names, snapshotName.ReplaceAllString(strings.TrimPrefix(to, o.root+"/"), "NAME"))
}
