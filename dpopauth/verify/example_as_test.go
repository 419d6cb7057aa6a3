package verify_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"oktasync/dpopauth/verify"
)

// A token endpoint binds the token to the key of the proof. It requires a nonce, so
// that proofs can't be made in advance.
func ExampleVerifier_Proof() {
	proofs, err := verify.New(verify.Config{
		Origin: "https://as.example.com",
		Nonces: verify.NewNonces(verify.NonceConfig{}),
	})
	if err != nil {
		log.Fatal(err)
	}
	token := func(w http.ResponseWriter, r *http.Request) {
		proof, err := proofs.Proof(r)
		if err != nil {
			verify.WriteTokenError(w, err)
			return
		}
		fmt.Fprintf(w, `{"token_type": "DPoP", "access_token": "… with cnf.jkt %s"}`, proof.Thumbprint)
	}

	r := httptest.NewRequest("POST", "https://as.example.com/token", nil)
	w := httptest.NewRecorder()
	token(w, r)
	fmt.Print(w.Code, " ", w.Body)

	r.Header.Set("DPoP", proveNow("POST", "https://as.example.com/token", "", ""))
	w = httptest.NewRecorder()
	token(w, r)
	fmt.Print(w.Code, " ", w.Body)
	nonce := w.Header().Get("DPoP-Nonce")

	r.Header.Set("DPoP", proveNow("POST", "https://as.example.com/token", "", nonce))
	w = httptest.NewRecorder()
	token(w, r)
	fmt.Println(w.Code)

	// Output:
	// 400 {"error":"invalid_dpop_proof","error_description":"the request has no DPoP proof"}
	// 400 {"error":"use_dpop_nonce","error_description":"the DPoP proof requires a nonce of this server"}
	// 200
}
