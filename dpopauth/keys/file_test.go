//go:build unix

package keys_test

import (
	"bytes"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/dpopauth/keys"
)

func TestD33_FilePermissions(t *testing.T) {
	valid := pemBlock("PRIVATE KEY", pkcs8(p256()))
	for _, mode := range []os.FileMode{0o604, 0o644, 0o606, 0o601, 0o777} {
		path := writeFile(t, valid, mode)
		_, err := keys.Load(path)
		wantError(t, err, "chmod 600 "+path)
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if _, err := keys.Load(writeFile(t, valid, mode)); err != nil {
			t.Error(err)
		}
	}
	// warning returns the warning of the key in that file.
	warning := func(t *testing.T, path string) string {
		t.Helper()
		k := must(keys.Load(path))
		return must(k.WithID("x").WithAlgorithm("ES256")).Warning()
	}
	t.Run("group", func(t *testing.T) {
		for _, mode := range []os.FileMode{0o640, 0o620, 0o610} {
			path := writeFile(t, valid, mode)
			if w := warning(t, path); !strings.Contains(w, "group") || !strings.Contains(w, path) {
				t.Errorf("warning = %q, want one that names %s", w, path)
			}
		}
	})
	t.Run("systemd's credentials", func(t *testing.T) {
		path := writeFile(t, valid, 0o440)
		t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(path))
		if w := warning(t, path); w != "" {
			t.Errorf("warning = %q, want none", w)
		}
	})
	t.Run("links are followed", func(t *testing.T) {
		path := writeFile(t, valid, 0o600)
		link := path + ".link"
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Load(link); err != nil {
			t.Error(err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := keys.Load(link)
		wantError(t, err, "chmod 600")
	})
	t.Run("what is no file of a key's size", func(t *testing.T) {
		dir := t.TempDir()
		_, err := keys.Load(dir)
		wantError(t, err, dir, "not a regular file")
		_, err = keys.Load(writeFile(t, make([]byte, 64<<10+1), 0o600))
		wantError(t, err, "65537 bytes")
		_, err = keys.Load(filepath.Join(dir, "none"))
		wantError(t, err, "no such file")
		if strings.Count(err.Error(), dir) != 1 {
			t.Errorf("error = %v, want the path once", err)
		}
		fifo := filepath.Join(dir, "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Skip(err)
		}
		done := make(chan error, 1)
		go func() { _, err := keys.Load(fifo); done <- err }()
		select {
		case err := <-done:
			wantError(t, err, "not a regular file")
		case <-time.After(10 * time.Second):
			t.Error("Load hangs on a FIFO")
		}
	})
}

func TestD34_WriteFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	a := must(keys.Generate())
	b, err := keys.Generate()
	if err != nil || a.Thumbprint() == b.Thumbprint() {
		t.Errorf("the same key twice, %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("files = %v, %v, want none", files, err)
	}
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(dir, "key.pem")
	if err := a.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode = %v, %v, want 0600", info.Mode(), err)
	}
	if k, err := keys.Load(path); err != nil || k.Thumbprint() != a.Thumbprint() {
		t.Errorf("the written key does not load: %v", err)
	}
	before := must(os.ReadFile(path))
	wantError(t, b.WriteFile(path), "exists")
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was written over, %v", err)
	}
	wantError(t, b.WriteFile(filepath.Join(dir, "none", "key")), "no such file")

	// A partly written file is removed, and a second call succeeds.
	half := filepath.Join(dir, "half")
	withoutRoom(t, 100, func() { err = b.WriteFile(half) })
	wantError(t, err, "write key "+half+": file too large")
	if err := b.WriteFile(half); err != nil {
		t.Error(err)
	}
}

// withoutRoom runs f with a limit for the size of files.
func withoutRoom(t *testing.T, octets int, f func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // terminates the process
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	small := old
	small.Cur = uint64(octets)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old)
	f()
}
