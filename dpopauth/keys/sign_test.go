package keys_test

import (
	"crypto"
	"crypto/rand"
	"io"
	"testing"
)

// An *ecdsa.PrivateKey signs deterministically; other signers get crypto/rand.
func TestRandomness(t *testing.T) {
	claims := map[string]string{"jti": "1"}
	for _, kind := range kinds[:3] {
		k := mustNew(kind.Signer())
		a := must(k.SignProof(claims))
		if b, err := k.SignProof(claims); a != b || err != nil {
			t.Errorf("%s: two signatures over the same differ, %v", kind.Name, err)
		}
	}
	for _, kind := range kinds {
		given := &witness{Signer: kind.Signer()}
		k := mustNew(given)
		for _, sign := range []func(any) (string, error){k.SignProof, k.SignAssertion} {
			if _, err := sign(claims); err != nil {
				t.Fatal(err)
			}
		}
		if given.all != 3 || given.random != 3 {
			t.Errorf("%s: of %d signatures %d were given randomness, want 3 of 3", kind.Name, given.all, given.random)
		}
	}
}

// A witness counts its signatures, and those with crypto/rand.
type witness struct {
	crypto.Signer
	all, random int
}

func (w *witness) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if w.all++; r == rand.Reader {
		w.random++
	}
	return w.Signer.Sign(r, digest, opts)
}

func TestClaimsThatDoNotEncode(t *testing.T) {
	k := mustNew(p256())
	for name, sign := range map[string]func(any) (string, error){"proof": k.SignProof, "assertion": k.SignAssertion} {
		jws, err := sign(func() {})
		if wantError(t, err, "encode claims"); jws != "" {
			t.Errorf("%s = %q", name, jws)
		}
	}
}
