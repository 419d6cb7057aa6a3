package snapshot_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
)

func TestInit(t *testing.T) {
	s := storetest.New(t)
	again, err := snapshot.Init(s.Dir(), snapshot.Org{URL: storetest.Acme.URL}, snapshot.Options{})
	if err != nil || again.ID() != s.ID() || len(s.ID()) != 32 {
		t.Fatalf("ID() = %q, %v, want %q", again.ID(), err, s.ID())
	}
	if read, err := snapshot.Open(s.Dir()); err != nil || !reflect.DeepEqual(read.Org(), storetest.Acme) {
		t.Errorf("Org() = %v, %v, want %v", read.Org(), err, storetest.Acme)
	}
	for _, other := range []snapshot.Org{{URL: "https://acme.oktapreview.com"}, {URL: storetest.Acme.URL, ID: "00o2"}} {
		_, err := snapshot.Init(s.Dir(), other, snapshot.Options{})
		if _, ok := errors.AsType[*snapshot.OrgError](err); !ok {
			t.Errorf("Init with %v: %v, want an *OrgError", other, err)
		}
	}
}

// Init and Probe reject the same folders. Probe leaves nothing.
func TestFolders(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	storetest.Write(t, path("file"), "")
	storetest.Write(t, path("newer/oktasync.json"), `{"format":"oktasync.store/3","things":{}}`+"\n")
	storetest.Write(t, path("home/letters.txt"), "")
	storetest.Init(t, path("store"), snapshot.Options{})
	before := treeOf(t, dir)
	for _, name := range []string{"store", "new", "a/b/c"} {
		if err := snapshot.Probe(path(name), storetest.Acme, snapshot.Options{}); err != nil {
			t.Errorf("Probe(%s) = %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"file": "not a directory", "file/store": "not a directory",
		"newer": "its format is oktasync.store/3, and this version of oktasync reads only oktasync.store/2",
		"home":  "the folder contains no store, but other files (letters.txt)",
	} {
		_, err := snapshot.Init(path(name), storetest.Acme, snapshot.Options{})
		if probeErr := snapshot.Probe(path(name), storetest.Acme, snapshot.Options{}); err == nil || probeErr == nil ||
			!strings.Contains(err.Error(), want) || !strings.Contains(probeErr.Error(), want) {
			t.Errorf("%s: Init: %v, Probe: %v, want %q", name, err, probeErr, want)
		}
	}
	var other *snapshot.OrgError
	if err := snapshot.Probe(path("store"), snapshot.Org{URL: "https://other.okta.com"}, snapshot.Options{}); !errors.As(err, &other) {
		t.Errorf("Probe for another org = %v, want an *OrgError", err)
	}
	for _, missing := range []string{"missing", "home"} {
		if _, err := snapshot.Open(path(missing)); !errors.Is(err, snapshot.ErrNoStore) {
			t.Errorf("Open(%s): %v, want ErrNoStore", missing, err)
		}
	}
	storetest.Must(t, os.RemoveAll(path("home/.lock")))
	if after := treeOf(t, dir); after != before {
		t.Errorf("the folder was\n%sand is\n%s", before, after)
	}
}

// group returns a group for files. The superuser can use any.
func group() int {
	if gid := os.Getgid(); gid != 0 {
		return gid
	}
	return 12
}

// Modes don't depend on the umask. The group that may read snapshots may not read
// the quarantine.
func TestModes(t *testing.T) {
	for _, test := range []struct {
		name      string
		gid       int
		file, dir fs.FileMode
	}{
		{"private", 0, 0o600, fs.ModeDir | 0o700},
		{"group", group(), 0o640, fs.ModeDir | fs.ModeSetgid | 0o750},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := storetest.Init(t, filepath.Join(t.TempDir(), "snapshots"), snapshot.Options{GID: test.gid})
			storetest.Publish(t, s, storetest.Day(1), storetest.People(3)...)
			storetest.Publish(t, s, storetest.Day(2), storetest.People(4)...)
			storetest.Must(t, storetest.Quarantine(t, s, 3))
			err := filepath.WalkDir(s.Dir(), func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.Type() == fs.ModeSymlink || d.Name() == ".lock" {
					return err
				}
				file, dir := test.file, test.dir
				if strings.Contains(path, ".quarantine") {
					file, dir = 0o600, fs.ModeDir|0o700
				}
				info, err := d.Info()
				want := file
				if d.IsDir() {
					want = dir
				}
				if info.Mode() != want {
					t.Errorf("%s: mode %v, want %v", path, info.Mode(), want)
				}
				return err
			})
			storetest.Must(t, err)
		})
	}
}

// Files that root writes into the store of another user belong to that user.
func TestRootOnAnothersStore(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	const uid, gid = 12345, 12346
	dir := filepath.Join(t.TempDir(), "snapshots")
	storetest.Must(t, os.Mkdir(dir, 0o700), os.Chown(dir, uid, gid))
	s := storetest.Init(t, dir, snapshot.Options{})
	storetest.Publish(t, s, storetest.Day(1), storetest.People(3)...)
	storetest.Must(t, storetest.Quarantine(t, s, 2))
	storetest.Must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != uid || stat.Gid != gid {
			t.Errorf("%s belongs to %d:%d", path, stat.Uid, stat.Gid)
		}
		return err
	}))
}

// A temporary file is in the given folder and has no name, so a crash leaves
// nothing. If the folder is gone, there is no file elsewhere.
func TestTempFile(t *testing.T) {
	s := storetest.New(t)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	before := treeOf(t, s.Dir()) + treeOf(t, temp)
	f, err := s.TempFile()
	storetest.Must(t, err)
	_, err = f.WriteString("users")
	_, seekErr := f.Seek(0, io.SeekStart)
	storetest.Must(t, err, seekErr)
	if data, err := io.ReadAll(f); err != nil || string(data) != "users" {
		t.Errorf("TempFile() contains %q, %v", data, err)
	}
	if info, err := f.Stat(); err != nil || info.Mode() != 0o600 {
		t.Errorf("TempFile(): %v, %v", info.Mode(), err)
	}
	if after := treeOf(t, s.Dir()) + treeOf(t, temp); after != before {
		t.Errorf("TempFile() has a name:\n%s", after)
	}
	storetest.Must(t, f.Close(), os.RemoveAll(s.Dir()))
	if _, err := s.TempFile(); err == nil {
		t.Error("TempFile() without the store's folder succeeded")
	}
}
