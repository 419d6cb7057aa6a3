//go:build unix

package dpopauth_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oktasync/dpopauth"
	"oktasync/dpopauth/keys"
)

// newKeyFile writes a new key to path.
func newKeyFile(t *testing.T, path string) {
	t.Helper()
	os.Remove(path)
	if err := must(keys.Generate()).WriteFile(path); err != nil {
		t.Fatal(err)
	}
}

func TestD33_WarningIsLogged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	newKeyFile(t, path)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	o := newOrg(t)
	var log journal
	mustGet(t, o.transport(withKey(must(keys.Load(path))), withLog(&log)), o.URL+"/a")
	if text := log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, path) {
		t.Errorf("log = %s, want one warning that names %s", text, path)
	}
}

func TestD37_ReloadedKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	newKeyFile(t, path)
	load := func(o *org) (*dpopauth.Transport, error) {
		k, err := keys.Load(path)
		if err != nil {
			return nil, err
		}
		return o.transport(withKey(k)), nil
	}
	o := newOrg(t)
	o.demand("api", "n1")
	old := must(load(o))
	mustGet(t, old, o.URL+"/a")
	if err := os.WriteFile(path, []byte("half a ke"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(o); err == nil {
		t.Error("a broken file was loaded")
	}
	mustGet(t, old, o.URL+"/a")
	o.wantRequests(1, 3)

	newKeyFile(t, path)
	tr := must(load(o))
	mustGet(t, tr, o.URL+"/a")  // with its own token and nonce
	mustGet(t, old, o.URL+"/a") // with the old pair
	o.wantRequests(2, 6)
	if a, b := old.Status().Thumbprint, tr.Status().Thumbprint; a == b {
		t.Errorf("thumbprint = %s with both keys", a)
	}
	if n := o.apiRequests()[3].nonce(); n != "" {
		t.Errorf("nonce = %q of the old key went along", n)
	}
}
