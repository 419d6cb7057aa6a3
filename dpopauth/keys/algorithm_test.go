package keys_test

import (
	"fmt"
	"testing"

	"oktasync/dpopauth/keys"
)

func TestD25_AlgorithmFollowsFromTheKey(t *testing.T) {
	for _, kind := range kinds {
		want := map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "RSA": "RS256", "Ed25519": "EdDSA"}[kind.Name]
		key := mustNew(kind.Signer())
		if got := key.Algorithm(); got != want {
			t.Errorf("%s: Algorithm() = %s, want %s", kind.Name, got, want)
		}
		for _, other := range []string{"ES256", "ES384", "ES512", "RS256", "EdDSA", "HS256", "none", "es256"} {
			if other == want {
				continue
			}
			if _, err := key.WithAlgorithm(other); err == nil {
				t.Errorf("%s: WithAlgorithm(%s) = nil, want an error", kind.Name, other)
			}
			_, err := keys.Parse(jwkFile(kind.Signer(), fmt.Sprintf(`"alg":%q,`, other)))
			wantError(t, err, "does not fit the key", want)
		}
		if k, err := keys.Parse(jwkFile(kind.Signer(), fmt.Sprintf(`"alg":%q,`, want))); err != nil || k.Algorithm() != want {
			t.Errorf("%s: alg %s in the file: %v", kind.Name, want, err)
		}
	}
	k, err := keys.Parse(jwkFile(rsaKey(), `"alg":"PS512",`))
	if err != nil || k.Algorithm() != "PS512" {
		t.Errorf("RSA key for PS512: %v", err)
	}
}
