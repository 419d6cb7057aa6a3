package dpopauth_test

import (
	"io"
	"net/http"
	"testing"

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
