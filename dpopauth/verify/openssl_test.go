package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"flag"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"oktasync/dpopauth/verify"
)

var update = flag.Bool("update", false, "write testdata/openssl.json anew")

// opensslKeys says how openssl makes a key for each algorithm, and signs with it.
var opensslKeys = map[string]struct{ generate, sign []string }{
	"ES256": {[]string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"}, []string{"dgst", "-sha256"}},
	"ES384": {[]string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"}, []string{"dgst", "-sha384"}},
	"ES512": {[]string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"}, []string{"dgst", "-sha512"}},
	"RS256": {[]string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"}, []string{"dgst", "-sha256"}},
	"RS512": {[]string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"}, []string{"dgst", "-sha512"}},
	"PS256": {[]string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
		[]string{"dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"}},
	"EdDSA": {[]string{"-algorithm", "ED25519"}, nil},
}

func openssl(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// opensslProof has openssl make a key and sign a proof for POST /token.
func opensslProof(t *testing.T, alg string) string {
	dir := t.TempDir()
	key, input, signature := filepath.Join(dir, "key.pem"), filepath.Join(dir, "input"), filepath.Join(dir, "signature")
	how := opensslKeys[alg]
	openssl(t, append([]string{"genpkey", "-out", key}, how.generate...)...)
	public, err := x509.ParsePKIXPublicKey(openssl(t, "pkey", "-in", key, "-pubout", "-outform", "DER"))
	if err != nil {
		t.Fatal(err)
	}
	header := m{"typ": "dpop+jwt", "alg": alg, "jwk": jwkOf(public.(crypto.PublicKey))}
	signed := encode([]byte(header.json())) + "." + encode([]byte(claims().json()))
	if err := os.WriteFile(input, []byte(signed), 0o600); err != nil {
		t.Fatal(err)
	}
	if how.sign == nil {
		openssl(t, "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", input, "-out", signature)
	} else {
		openssl(t, append(how.sign, "-sign", key, "-out", signature, input)...)
	}
	raw, err := os.ReadFile(signature)
	if err != nil {
		t.Fatal(err)
	}
	if ec, ok := public.(*ecdsa.PublicKey); ok { // DER to R‖S
		var rs struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(raw, &rs); err != nil {
			t.Fatal(err)
		}
		raw = joinRS(ec.Curve, rs.R, rs.S)
	}
	return signed + "." + encode(raw)
}

// TestD108_OpenSSL checks proofs by another implementation: some that were made
// once, and new ones where openssl is at hand.
func TestD108_OpenSSL(t *testing.T) {
	const file = "testdata/openssl.json"
	made := map[string]string{}
	_, missing := exec.LookPath("openssl")
	if missing != nil && os.Getenv("OKTASYNC_LONG_TESTS") == "1" {
		t.Error("openssl is missing")
	}
	for alg := range opensslKeys {
		t.Run("new "+alg, func(t *testing.T) {
			if missing != nil {
				t.Skip("openssl is missing")
			}
			made[alg] = opensslProof(t, alg)
			checkForeign(t, made[alg])
		})
	}
	if *update {
		data, err := json.MarshalIndent(made, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var kept map[string]string
	if err := json.Unmarshal(data, &kept); err != nil || len(kept) != len(opensslKeys) {
		t.Fatalf("%s holds %d proofs, %v; want %d", file, len(kept), err, len(opensslKeys))
	}
	for alg, proof := range kept {
		t.Run("kept "+alg, func(t *testing.T) { checkForeign(t, proof) })
	}
}

// checkForeign has a proof pass, once, and not with another signature.
func checkForeign(t *testing.T, proof string) {
	t.Helper()
	v := newVerifier(t)
	signed, signature := cutSignature(proof)
	signature[len(signature)/2] ^= 1
	wantReason(t, v, signed+"."+encode(signature), verify.ProofSignature)
	wantReason(t, v, proof, "")
	wantReason(t, v, proof, verify.ProofReplayed)
}
