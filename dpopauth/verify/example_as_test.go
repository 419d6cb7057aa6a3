package verify_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth/verify"
)

const tokenURL = "https://as.example.com/token"

// tokenEndpoint issues tokens that are bound to the key of the proof. It first
// authenticates the client, so that only clients can fill the replay cache.
func tokenEndpoint(clients *verify.Clients, proofs *verify.Verifier) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		client, err := clients.Assertion(r.Context(), r.PostFormValue("client_assertion"), tokenURL)
		if err != nil {
			verify.WriteTokenError(w, err)
			return
		}
		proof, err := proofs.Proof(r)
		if err != nil {
			verify.WriteTokenError(w, err)
			return
		}
		fmt.Fprintf(w, `{"token_type": "DPoP", "access_token": "… of %s with cnf.jkt %s"}`, client.ClientID, proof.Thumbprint)
	}
}

// registered returns the keys of a client. The example has one client.
func registered(_ context.Context, id string) ([]verify.Key, error) {
	if id != "0oa1" {
		return nil, verify.ErrUnknownClient
	}
	return []verify.Key{{ID: "1", Public: newSigner("ES256").key.Public()}}, nil
}

// post sends a token request of the client 0oa1. Each request has a new assertion
// and a new proof.
func post(endpoint http.HandlerFunc, client signer, nonce string) *httptest.ResponseRecorder {
	now := time.Now().Unix()
	form := url.Values{"client_assertion": {client.assertion(nil, m{"aud": tokenURL, "iat": now, "exp": now + 300})}}
	r := httptest.NewRequest("POST", tokenURL, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("DPoP", proveNow("POST", tokenURL, "", nonce))
	w := httptest.NewRecorder()
	endpoint(w, r)
	return w
}

// A token endpoint authenticates the client, and then verifies the proof. It
// requires a nonce, so that proofs can't be made in advance.
func ExampleVerifier_Proof() {
	clients, err := verify.NewClients(verify.ClientsConfig{Keys: registered})
	if err != nil {
		log.Fatal(err)
	}
	proofs, err := verify.New(verify.Config{
		Origin: "https://as.example.com",
		Nonces: verify.NewNonces(verify.NonceConfig{}),
	})
	if err != nil {
		log.Fatal(err)
	}
	endpoint := tokenEndpoint(clients, proofs)

	w := post(endpoint, signer{"ES256", generate("ES256")}, "")
	fmt.Print(w.Code, " ", w.Body)
	w = post(endpoint, newSigner("ES256"), "")
	fmt.Print(w.Code, " ", w.Body)
	w = post(endpoint, newSigner("ES256"), w.Header().Get("DPoP-Nonce"))
	fmt.Println(w.Code)

	// Output:
	// 401 {"error":"invalid_client","error_description":"the signature of the client assertion is not valid"}
	// 400 {"error":"use_dpop_nonce","error_description":"the DPoP proof requires a nonce of this server"}
	// 200
}

// In the order of the example, strangers can't fill the replay caches.
func TestStrangersDoNotFillTheReplayCache(t *testing.T) {
	clients := must(verify.NewClients(verify.ClientsConfig{Keys: registered, Replay: verify.NewReplayCache(2)}))
	cache := verify.NewReplayCache(2)
	proofs := must(verify.New(verify.Config{Origin: "https://as.example.com", Replay: cache}))
	endpoint := tokenEndpoint(clients, proofs)
	stranger := signer{"ES256", generate("ES256")}
	for range 5 {
		if w := post(endpoint, stranger, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("a stranger got %d %s", w.Code, w.Body)
		}
	}
	if w := post(endpoint, newSigner("ES256"), ""); w.Code != http.StatusOK {
		t.Errorf("the client got %d %s", w.Code, w.Body)
	}
	for id := range byte(2) {
		_, err := cache.Add(t.Context(), [32]byte{id}, time.Now(), time.Now().Add(time.Minute))
		if full := errors.Is(err, verify.ErrReplayFull); full != (id == 1) {
			t.Errorf("entry %d: %v; want one entry, of the client", id+2, err)
		}
	}
}
