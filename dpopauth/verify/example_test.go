package verify_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"oktasync/dpopauth"
	"oktasync/dpopauth/verify"
)

// orders is an API of some team. It knows nothing of tokens, only who calls.
func orders(w http.ResponseWriter, r *http.Request) {
	token, _ := verify.TokenFrom(r.Context())
	fmt.Fprintf(w, "the orders of %s", token.ClientID)
}

// protect puts the checks before the API: only tokens of this issuer, for this
// audience, with this scope, and each with a proof for this very request.
func protect(api http.HandlerFunc, publicURL, issuerURL string, client *http.Client) (http.Handler, error) {
	issuer, err := verify.NewIssuer(verify.IssuerConfig{
		URL:        issuerURL,
		Audience:   "https://api.example.com/orders",
		HTTPClient: client, // trusts the certificates of this example
	})
	if err != nil {
		return nil, err
	}
	proofs, err := verify.New(verify.Config{
		Origin: publicURL,
		Nonces: verify.NewNonces(verify.NonceConfig{}), // leave out to trust the clients' clocks
	})
	if err != nil {
		return nil, err
	}
	resource := verify.Resource{Proofs: proofs, Tokens: issuer.Token}
	return resource.Protect(api, "orders.read"), nil
}

// A resource server, and a client that calls it with a token from an
// authorization server that publishes its keys.
func Example() {
	as := newAuthServer(nil) // in your case Okta, or any other by its URL
	defer as.Close()

	// The resource server.
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	handler, err := protect(orders, server.URL, as.issuer, as.Client())
	if err != nil {
		log.Fatal(err)
	}
	server.Config.Handler = handler

	// The client.
	key, err := dpopauth.NewKey(as.client.key)
	if err != nil {
		log.Fatal(err)
	}
	transport, err := dpopauth.New(dpopauth.Config{
		TokenURL:  as.issuer + "/v1/token",
		ClientID:  "0oa1",
		ClientKey: key.WithID("1"),
		Scopes:    []string{"orders.read"},
		Origins:   []string{server.URL},
		Base:      as.Client().Transport,
	})
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: transport}
	resp, err := client.Get(server.URL + "/orders?status=open")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body))

	// Without a token, or with a token and no proof, nobody gets in.
	resp, err = as.Client().Get(server.URL + "/orders")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode)

	// Output:
	// 200 the orders of 0oa1
	// 401
}
