package verify_test

import (
	"encoding/json"
	"os"
	"testing"

	"oktasync/dpopauth/verify"
)

// TestD108_OpenSSL verifies proofs for POST /token, made at start, whose keys and
// signatures are by openssl.
func TestD108_OpenSSL(t *testing.T) {
	data := must(os.ReadFile("testdata/openssl.json"))
	var proofs map[string]string
	if err := json.Unmarshal(data, &proofs); err != nil || len(proofs) != 7 {
		t.Fatalf("proofs = %d, %v, want 7", len(proofs), err)
	}
	for alg, proof := range proofs {
		t.Run(alg, func(t *testing.T) {
			v := newVerifier(t)
			signed, signature := cutSignature(proof)
			signature[len(signature)/2] ^= 1
			wantReason(t, v, signed+"."+encode(signature), verify.ProofSignature)
			wantReason(t, v, proof, "")
			wantReason(t, v, proof, verify.ProofReplayed)
		})
	}
}
