//go:build unix

package dpopauth_test

import (
	"os"
	"strings"
	"testing"

	"oktasync/dpopauth"
	"oktasync/dpopauth/internal/keytest"
	"oktasync/dpopauth/keys"
)

func TestD33_KeyFilesOfTheGroupAreWarnedOf(t *testing.T) {
	path := keyFile(t, keytest.PEM("PRIVATE KEY", keytest.PKCS8(t, p256())), 0o640)
	k, err := keys.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	o := newOrg(t)
	var log journal
	mustGet(t, o.transport(withKey(k), withLog(&log)), o.URL+"/a")
	if text := log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, path) {
		t.Errorf("log = %s, want one warning that names %s", text, path)
	}
}

func TestD37_ReloadedKeys(t *testing.T) {
	path := keyFile(t, keytest.PEM("PRIVATE KEY", keytest.PKCS8(t, p256())), 0o600)
	load := func(o *org) (*dpopauth.Transport, error) {
		k, err := keys.Load(path)
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
	if err := os.WriteFile(path, keytest.PEM("PRIVATE KEY", keytest.PKCS8(t, other)), 0o600); err != nil {
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
