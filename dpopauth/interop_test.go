package dpopauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"oktasync/dpopauth"
	"oktasync/dpopauth/keys"
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

// D24 verifies proofs with go-jose, this test with jwt/v5 and openssl.
func TestProofsPassOtherImplementations(t *testing.T) {
	openssl, _ := exec.LookPath("openssl")
	if openssl == "" && (long() || os.Getenv("OKTASYNC_ALL_TESTS") == "1") {
		t.Error("openssl is not installed")
	}
	for _, alg := range algorithms {
		t.Run(alg.name, func(t *testing.T) {
			jws := anyProof(t, withAlgorithm(t, alg.signer(), alg.name))
			public := func(*jwt.Token) (any, error) { return alg.signer().Public(), nil }
			if _, err := jwt.Parse(jws, public, jwt.WithValidMethods([]string{alg.name})); err != nil {
				t.Errorf("jwt/v5: %v", err)
			}
			if pss, ok := jwt.GetSigningMethod(alg.name).(*jwt.SigningMethodRSAPSS); ok { // jwt/v5 accepts any salt
				header, claims, sig := parts(t, jws)
				h := pss.Hash.New()
				h.Write(signed(header, claims))
				salt := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash} // RFC 7518, section 3.5
				if err := rsa.VerifyPSS(&rsa1().PublicKey, pss.Hash, h.Sum(nil), sig, salt); err != nil {
					t.Errorf("the salt is not as long as the hash: %v", err)
				}
			}
			if openssl != "" {
				opensslVerify(t, openssl, alg.name, alg.signer().Public(), jws)
			}
		})
	}
}

// opensslVerify verifies a JWS with openssl.
func opensslVerify(t *testing.T, openssl, alg string, pub crypto.PublicKey, jws string) {
	t.Helper()
	header, claims, sig := parts(t, jws)
	if _, ok := pub.(*ecdsa.PublicKey); ok { // openssl expects ASN.1
		half := len(sig) / 2
		der := must(asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])}))
		sig = der
	}
	der := must(x509.MarshalPKIXPublicKey(pub))
	write := func(data []byte) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	public, input, sigFile := write(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), write(signed(header, claims)), write(sig)
	args := []string{"dgst", "-sha" + alg[max(len(alg)-3, 0):], "-verify", public, "-signature", sigFile, input}
	switch {
	case alg[:2] == "PS":
		args = append([]string{args[0], args[1], "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"}, args[2:]...)
	case alg == "EdDSA":
		if _, ok := pub.(ed25519.PublicKey); !ok {
			t.Fatal("not Ed25519")
		}
		args = []string{"pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", input, "-sigfile", sigFile}
	}
	if out, err := exec.Command(openssl, args...).CombinedOutput(); err != nil {
		t.Errorf("openssl: %v: %s", err, out)
	}
}

// anyProof returns a proof by k.
func anyProof(t testing.TB, k *keys.Key) (jws string) {
	t.Helper()
	do(t, capture(t, k, "https://rs.example", func(r *http.Request) { jws = r.Header.Get("DPoP") }), "https://rs.example/")
	return jws
}

// The client and the verifier share no code and no library. This test connects
// them, with each algorithm, with nonces from both endpoints, and with no tolerance
// for an iat in the future.
func TestClientPassesTheVerifier(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg.name, func(t *testing.T) {
			server := newServer(clientKey(), alg.name)
			defer server.Close()
			tr, err := dpopauth.New(dpopauth.Config{
				TokenURL: server.URL + "/oauth2/v1/token", ClientID: "0oa1", Scopes: []string{"orders.read"},
				ClientKey: clientKey(), DPoPKey: withAlgorithm(t, alg.signer(), alg.name), Origins: []string{server.URL}, Base: server.Client().Transport,
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"/", "", "/a%2Fb?q=%20", "/a@b.com", "/caf%C3%A9/", "/a;b=c&d"} {
				resp := must(tr.Client().Post(server.URL+path, "text/plain", http.NoBody))
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 || err != nil {
					t.Errorf("POST %s = %d %q, %v", path, resp.StatusCode, body, err)
				}
			}
			if c := tr.Status().Counters; c.Challenges["token"] != 1 || c.Challenges["api"] != 1 || c.Retries["proof"]+c.Retries["token"]+c.Retries["trouble"] != 0 {
				t.Errorf("counters = %v, want one challenge each and no other retry", c)
			}
		})
	}
}
