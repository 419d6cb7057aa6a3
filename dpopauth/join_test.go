package dpopauth_test

import (
	"io"
	"net/http"
	"testing"

	"oktasync/dpopauth"
)

// The client and the verifier share no code and no library; here they meet, for
// every algorithm, with nonces from both endpoints and no tolerance for an iat in
// the future.
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
