//go:build unix

package dpopauth_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/dpopauth"
)

func TestD33_KeyFilesAreKeptFromOthers(t *testing.T) {
	good := block("PRIVATE KEY", pkcs8(t, p256()))
	for _, mode := range []os.FileMode{0o604, 0o644, 0o606, 0o601, 0o777} {
		path := keyFile(t, good, mode)
		_, err := dpopauth.LoadKey(path)
		wantError(t, err, "chmod 600 "+path)
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if _, err := dpopauth.LoadKey(keyFile(t, good, mode)); err != nil {
			t.Error(err)
		}
	}
	// warnings returns the log of a transport with the key of that file.
	warnings := func(t *testing.T, path string) string {
		t.Helper()
		k, err := dpopauth.LoadKey(path)
		if err != nil {
			t.Fatal(err)
		}
		if k, err = k.WithID("x").WithAlgorithm("ES256"); err != nil {
			t.Fatal(err)
		}
		o := newOrg(t)
		var log journal
		mustGet(t, o.transport(withKey(k), withLog(&log)), o.URL+"/a")
		return log.String()
	}
	t.Run("group", func(t *testing.T) {
		path := keyFile(t, good, 0o640)
		if log := warnings(t, path); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, path) {
			t.Errorf("log = %s, want one warning that names %s", log, path)
		}
	})
	t.Run("systemd's credentials", func(t *testing.T) {
		path := keyFile(t, good, 0o440)
		t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(path))
		if log := warnings(t, path); strings.Contains(log, "level=WARN") {
			t.Errorf("log = %s, want no warning", log)
		}
	})
	t.Run("links are followed", func(t *testing.T) {
		path := keyFile(t, good, 0o600)
		link := path + ".link"
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		if _, err := dpopauth.LoadKey(link); err != nil {
			t.Error(err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := dpopauth.LoadKey(link)
		wantError(t, err, "chmod 600")
	})
	t.Run("what is no file of a key's size", func(t *testing.T) {
		dir := t.TempDir()
		_, err := dpopauth.LoadKey(dir)
		wantError(t, err, dir, "no regular file")
		_, err = dpopauth.LoadKey(keyFile(t, make([]byte, 64<<10+1), 0o600))
		wantError(t, err, "65537 bytes")
		_, err = dpopauth.LoadKey(filepath.Join(dir, "none"))
		wantError(t, err, "no such file")
		if strings.Count(err.Error(), dir) != 1 {
			t.Errorf("error = %v, want the path once", err)
		}
		fifo := filepath.Join(dir, "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Skip(err)
		}
		done := make(chan error, 1)
		go func() { _, err := dpopauth.LoadKey(fifo); done <- err }()
		select {
		case err := <-done:
			wantError(t, err, "no regular file")
		case <-time.After(10 * time.Second):
			t.Error("LoadKey hangs on a FIFO")
		}
	})
}

func TestD34_GeneratedKeysAreWrittenOnlyWhenAsked(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	a, err := dpopauth.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b, err := dpopauth.GenerateKey()
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
	if k, err := dpopauth.LoadKey(path); err != nil || k.Thumbprint() != a.Thumbprint() {
		t.Errorf("the written key does not load: %v", err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, b.WriteFile(path), "exists")
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was written over, %v", err)
	}
	wantError(t, b.WriteFile(filepath.Join(dir, "none", "key")), "no such file")
}

func TestD37_ReloadedKeys(t *testing.T) {
	path := keyFile(t, block("PRIVATE KEY", pkcs8(t, p256())), 0o600)
	load := func(o *org) (*dpopauth.Transport, error) {
		k, err := dpopauth.LoadKey(path)
		if err != nil {
			return nil, err
		}
		return o.transport(withKey(k)), nil
	}
	o := newOrg(t)
	o.demand("api", "n1")
	old, err := load(o)
	if err != nil {
		t.Fatal(err)
	}
	mustGet(t, old, o.URL+"/a")
	if err := os.WriteFile(path, []byte("half a ke"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(o); err == nil {
		t.Error("a broken file was loaded")
	}
	mustGet(t, old, o.URL+"/a")
	o.wantRequests(1, 3)

	other := newEC(p256().Curve)
	if err := os.WriteFile(path, block("PRIVATE KEY", pkcs8(t, other)), 0o600); err != nil {
		t.Fatal(err)
	}
	tr, err := load(o)
	if err != nil {
		t.Fatal(err)
	}
	mustGet(t, tr, o.URL+"/a")  // a token and a nonce of its own
	mustGet(t, old, o.URL+"/a") // what is in flight ends with the old pair
	o.wantRequests(2, 6)
	if a, b := old.Status().Thumbprint, tr.Status().Thumbprint; a == b {
		t.Errorf("thumbprint = %s with both keys", a)
	}
	if n := o.apiRequests()[3].nonce(); n != "" {
		t.Errorf("nonce = %q of the old key went along", n)
	}
}
