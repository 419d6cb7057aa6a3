package dpopauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"oktasync/dpopauth/internal/keytest"
)

func TestD105_TokenOfRFC9449(t *testing.T) {
	const token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU" // section 7.1
	const ath = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
	o := newOrg(t)
	o.members = map[string]any{"access_token": token}
	o.api = func(w http.ResponseWriter, s *seen) bool {
		if got := s.proof.claims["ath"]; got != ath {
			t.Errorf("ath = %v, want %s", got, ath)
		}
		return true
	}
	mustGet(t, o.transport(), o.URL+"/a")
}

// Proofs are checked by three others: go-jose, jwt/v5 and openssl.
func TestProofsPassOtherImplementations(t *testing.T) {
	openssl, _ := exec.LookPath("openssl")
	if openssl == "" && long() {
		t.Error("openssl is not installed")
	}
	for _, alg := range algorithms {
		t.Run(alg.name, func(t *testing.T) {
			jws := anyProof(t, withAlgorithm(t, alg.signer(), alg.name))
			sig, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg.name)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sig.Verify(alg.signer().Public()); err != nil {
				t.Errorf("go-jose: %v", err)
			}
			keys := func(*jwt.Token) (any, error) { return alg.signer().Public(), nil }
			if _, err := jwt.Parse(jws, keys, jwt.WithValidMethods([]string{alg.name})); err != nil {
				t.Errorf("jwt/v5: %v", err)
			}
			if openssl != "" {
				opensslVerify(t, openssl, alg.name, alg.signer().Public(), jws)
			}
		})
	}
}

// opensslVerify has openssl verify a JWS.
func opensslVerify(t *testing.T, openssl, alg string, pub crypto.PublicKey, jws string) {
	t.Helper()
	header, claims, sig := parts(t, jws)
	if _, ok := pub.(*ecdsa.PublicKey); ok { // which wants ASN.1
		half := len(sig) / 2
		der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])})
		if err != nil {
			t.Fatal(err)
		}
		sig = der
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(keyFile(t, sig, 0o600))
	pem, input, sigFile := keyFile(t, keytest.PEM("PUBLIC KEY", der), 0o600), keyFile(t, signed(header, claims), 0o600), filepath.Join(dir, "key")
	args := []string{"dgst", "-sha" + alg[max(len(alg)-3, 0):], "-verify", pem, "-signature", sigFile, input}
	switch {
	case alg[:2] == "PS":
		args = append([]string{args[0], args[1], "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"}, args[2:]...)
	case alg == "EdDSA":
		if _, ok := pub.(ed25519.PublicKey); !ok {
			t.Fatal("not Ed25519")
		}
		args = []string{"pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin", "-in", input, "-sigfile", sigFile}
	}
	if out, err := exec.Command(openssl, args...).CombinedOutput(); err != nil {
		t.Errorf("openssl: %v: %s", err, out)
	}
}
