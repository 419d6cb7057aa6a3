package dpopauth_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"oktasync/dpopauth"
	"oktasync/dpopauth/keys"
	"oktasync/dpopauth/verify"
)

// A program calls an API that requires DPoP.
func Example() {
	path := keyFileOfTheClient()
	defer os.Remove(path)
	clientKey, err := keys.Load(path) // PEM or JWK; the public key is registered at the server
	if err != nil {
		log.Fatal(err)
	}
	server := newServer(clientKey) // both an authorization server and an API
	defer server.Close()

	transport, err := dpopauth.New(dpopauth.Config{
		TokenURL:  server.URL + "/oauth2/v1/token",
		ClientID:  "0oa1",
		Scopes:    []string{"orders.read"},
		ClientKey: clientKey,
		Origins:   []string{server.URL},      // the token is sent nowhere else
		Base:      server.Client().Transport, // trusts this server's certificate
	})
	if err != nil {
		log.Fatal(err)
	}
	client := transport.Client()
	for _, path := range []string{"/orders?status=open", "/orders/17"} {
		resp, err := client.Get(server.URL + path)
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(resp.StatusCode, string(body))
	}
	_, err = client.Get("https://elsewhere.example/orders")
	fmt.Println(errors.Is(err, dpopauth.ErrOrigin))
	// Output:
	// 200 0oa1 reads /orders
	// 200 0oa1 reads /orders/17
	// true
}

// Errors have hints for people.
func ExampleError_Hint() {
	var err error = fmt.Errorf("read orders: %w", &dpopauth.Error{Op: "call API", Status: 403, Code: "insufficient_scope"})
	fmt.Println("error:", err)
	if e, ok := errors.AsType[*dpopauth.Error](err); ok {
		fmt.Println("hint:", e.Hint())
	}
	// Output:
	// error: read orders: call API: 403 insufficient_scope
	// hint: the token lacks the scope for this call: grant it to the app, request it, and check that the app has an admin role
}

// keyFileOfTheClient writes a new key and returns its path.
func keyFileOfTheClient() string {
	path := filepath.Join(os.TempDir(), "dpopauth-example-"+rand.Text()+".pem")
	key, err := keys.Generate()
	if err == nil {
		err = key.WriteFile(path)
	}
	if err != nil {
		log.Fatal(err)
	}
	return path
}

// newServer starts an authorization server and an API for one client, with package
// verify. Both require nonces.
func newServer(client *keys.Key, algorithms ...string) *httptest.Server {
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	keys := func(context.Context, string) ([]verify.Key, error) {
		return []verify.Key{{ID: client.ID(), Public: client.Public()}}, nil
	}
	verifier := func() *verify.Verifier {
		v, err := verify.New(verify.Config{Origin: server.URL, Nonces: verify.NewNonces(verify.NonceConfig{}), Algorithms: algorithms, Leeway: -1})
		if err != nil {
			log.Fatal(err)
		}
		return v
	}
	clients, err := verify.NewClients(verify.ClientsConfig{Keys: keys, Leeway: -1})
	if err != nil {
		log.Fatal(err)
	}
	var tokens sync.Map // of *verify.Token by value
	proofs := verifier()
	mux.HandleFunc("POST /oauth2/v1/token", func(w http.ResponseWriter, r *http.Request) {
		assertion, err := clients.Assertion(r.Context(), r.FormValue("client_assertion"), server.URL+"/oauth2/v1/token")
		if err != nil {
			verify.WriteTokenError(w, err)
			return
		}
		proof, err := proofs.Proof(r)
		if err != nil {
			verify.WriteTokenError(w, err)
			return
		}
		value := "at-" + proof.ID
		tokens.Store(value, &verify.Token{ClientID: assertion.ClientID, Thumbprint: proof.Thumbprint, Scopes: strings.Fields(r.FormValue("scope")), Expiry: time.Now().Add(time.Hour)})
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": value, "token_type": "DPoP", "expires_in": 3600})
	})
	resource := verify.Resource{Proofs: verifier(), Tokens: func(_ context.Context, value string) (*verify.Token, error) {
		if t, ok := tokens.Load(value); ok {
			return t.(*verify.Token), nil
		}
		return nil, &verify.Error{Reason: verify.TokenMalformed}
	}}
	mux.Handle("/", resource.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := verify.TokenFrom(r.Context())
		fmt.Fprintf(w, "%s reads %s", token.ClientID, r.URL.Path)
	}), "orders.read"))
	return server
}
