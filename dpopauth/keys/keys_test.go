package keys_test

import (
	"crypto"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"oktasync/dpopauth/internal/keytest"
	"oktasync/dpopauth/keys"
)

// joseThumbprint is go-jose's RFC 7638 thumbprint.
func joseThumbprint(t testing.TB, pub crypto.PublicKey) string {
	t.Helper()
	sum, err := (&jose.JSONWebKey{Key: pub}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

func mustNew(t testing.TB, s crypto.Signer) *keys.Key {
	t.Helper()
	k, err := keys.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// wantError checks that err has all of these words in it.
func wantError(t testing.TB, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("error = %v, want %q in it", err, w)
		}
	}
}

func TestClaimsThatCantBeEncoded(t *testing.T) {
	k := mustNew(t, keytest.P256())
	for name, sign := range map[string]func(any) (string, error){"proof": k.SignProof, "assertion": k.SignAssertion} {
		jws, err := sign(func() {})
		if wantError(t, err, "encode claims"); jws != "" {
			t.Errorf("%s = %q", name, jws)
		}
	}
}
