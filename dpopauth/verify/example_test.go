package verify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"oktasync/dpopauth/verify"
)

// orders is an API. It gets only the verified token.
func orders(w http.ResponseWriter, r *http.Request) {
	token, _ := verify.TokenFrom(r.Context())
	fmt.Fprintf(w, "the orders of %s", token.ClientID)
}

// protect returns the API with the checks: each request needs a token of this
// issuer, audience and scope, and a proof for this request.
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

// A caller is a minimal client with a token and the key to which the token is bound.
// Package dpopauth is a complete client.
type caller struct {
	client *http.Client
	key    *ecdsa.PrivateKey
	token  string
	nonce  string
}

// get sends a request, and repeats it if the server requires a nonce.
func (c *caller) get(url string) (*http.Response, error) {
	for {
		req, err := http.NewRequest("GET", url, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "DPoP "+c.token)
		req.Header.Set("DPoP", c.proof("GET", url))
		resp, err := c.client.Do(req)
		if err != nil {
			return nil, err
		}
		nonce := resp.Header.Get("DPoP-Nonce")
		if resp.StatusCode != 401 || nonce == "" || c.nonce != "" {
			return resp, nil
		}
		resp.Body.Close()
		c.nonce = nonce
	}
}

// proof makes a proof for one request to a URL without a query.
func (c *caller) proof(method, url string) string {
	encode := base64.RawURLEncoding.EncodeToString
	point, err := c.key.PublicKey.Bytes()
	if err != nil {
		log.Fatal(err)
	}
	header := fmt.Sprintf(`{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":%q,"y":%q}}`,
		encode(point[1:33]), encode(point[33:]))
	claims := fmt.Sprintf(`{"jti":%q,"htm":%q,"htu":%q,"iat":%d,"ath":%q,"nonce":%q}`,
		rand.Text(), method, url, time.Now().Unix(), verify.AccessTokenHash(c.token), c.nonce)

	signed := encode([]byte(header)) + "." + encode([]byte(claims))
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, c.key, digest[:])
	if err != nil {
		log.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + encode(signature)
}

// A resource server, and a client that calls it with a token from an
// authorization server that publishes its keys.
func Example() {
	as := newAuthServer(nil) // replace it with Okta or any other server
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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	c := &caller{client: server.Client(), key: key, token: as.tokenFor(key.Public())}
	for range 2 {
		resp, err := c.get(server.URL + "/orders")
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(resp.StatusCode, string(body))
	}

	// A stolen token is rejected without the key.
	thief := *c
	thief.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := thief.get(server.URL + "/orders")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.StatusCode)

	// Output:
	// 200 the orders of 0oa1
	// 200 the orders of 0oa1
	// 401
}
