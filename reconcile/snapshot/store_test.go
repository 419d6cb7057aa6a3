package snapshot_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oktasync/reconcile/snapshot"
)

func TestInit(t *testing.T) {
	s := newStore(t)
	again, err := snapshot.Init(s.Dir(), snapshot.Org{URL: acme.URL}, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if again.ID() != s.ID() || len(s.ID()) != 32 {
		t.Errorf("ID() = %q, want %q", again.ID(), s.ID())
	}
	read, err := snapshot.Open(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if read.Org() != acme {
		t.Errorf("Org() = %v, want %v", read.Org(), acme)
	}
}

func TestStoreFolderProblems(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "")
	newer := filepath.Join(dir, "newer")
	write(t, filepath.Join(newer, "oktasync.json"), `{"format":"oktasync.store/3","things":{}}`+"\n")
	foreign := filepath.Join(dir, "home")
	write(t, filepath.Join(foreign, "letters.txt"), "")
	for _, test := range []struct{ name, dir, want string }{
		{"file", file, "not a directory"},
		{"below a file", filepath.Join(file, "snapshots"), "not a directory"},
		{"newer", newer, "its format is oktasync.store/3, and this version of oktasync reads only oktasync.store/2"},
		{"other files", foreign, "the folder holds no store but other files (letters.txt)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := snapshot.Init(test.dir, acme, snapshot.Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Init: %v, want %q", err, test.want)
			}
		})
	}
	for _, missing := range []string{filepath.Join(dir, "missing"), foreign} {
		if _, err := snapshot.Open(missing); !errors.Is(err, snapshot.ErrNoStore) {
			t.Errorf("Open(%s): %v, want ErrNoStore", missing, err)
		}
	}
}

func TestAnotherOrgIsRefused(t *testing.T) {
	s := newStore(t)
	for _, other := range []snapshot.Org{{URL: "https://acme.oktapreview.com"}, {URL: acme.URL, ID: "00o2"}} {
		_, err := snapshot.Init(s.Dir(), other, snapshot.Options{})
		if _, ok := errors.AsType[*snapshot.OrgError](err); !ok {
			t.Errorf("Init with %v: %v, want an *OrgError", other, err)
		}
	}
}

// The modes hold whatever the umask, which go test runs under 022.
func TestModes(t *testing.T) {
	for _, test := range []struct {
		name      string
		gid       int
		file, dir fs.FileMode
	}{
		{"private", 0, 0o600, fs.ModeDir | 0o700},
		{"group", groupID(), 0o640, fs.ModeDir | fs.ModeSetgid | 0o750},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := snapshot.Init(filepath.Join(t.TempDir(), "snapshots"), acme, snapshot.Options{GID: test.gid})
			if err != nil {
				t.Fatal(err)
			}
			publish(t, s, day(1), people(3)...)
			publish(t, s, day(2), people(4)...)
			err = filepath.WalkDir(s.Dir(), func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.Type() == fs.ModeSymlink || d.Name() == ".lock" {
					return err
				}
				info, err := d.Info()
				want := test.file
				if d.IsDir() {
					want = test.dir
				}
				if info.Mode() != want {
					t.Errorf("%s: mode %v, want %v", path, info.Mode(), want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What the superuser writes into another user's store belongs to that user,
// who could not publish there otherwise.
func TestRootOnAnothersStore(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	const uid, gid = 12345, 12346
	dir := filepath.Join(t.TempDir(), "snapshots")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, uid, gid)); err != nil {
		t.Fatal(err)
	}
	s, err := snapshot.Init(dir, acme, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, s, day(1), people(3)...)
	if err := quarantine(t, s, 2); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != uid || stat.Gid != gid {
			t.Errorf("%s belongs to %d:%d", path, stat.Uid, stat.Gid)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
