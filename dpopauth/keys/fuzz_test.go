package keys_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"oktasync/dpopauth/keys"
)

// FuzzParse checks that go-jose verifies the proofs of an accepted key with its
// public JWK, and that an error is one line.
func FuzzParse(f *testing.F) {
	loaded := 0
	seeds := [][]byte{
		[]byte(`{"kty":"oct","k":"c2VjcmV0"}`), []byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"),
		[]byte(`{"kty":"RSA","n":"_____w","e":"AQAB","d":"AQ","p":"AQ","q":"AQ"}`), {0x30, 0x82}, []byte("ssh-rsa AAAA"),
		[]byte(`{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`),
	}
	for _, kind := range kinds {
		for format, file := range keyFiles(kind.Signer()) {
			if !strings.Contains(format, ",") {
				seeds = append(seeds, file)
			}
		}
	}
	for _, s := range seeds {
		f.Add(s)
		if _, err := keys.Parse(s); err == nil {
			loaded++
		}
	}
	if loaded != 18 {
		f.Fatalf("of %d seeds %d load, want 18", len(seeds), loaded)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := keys.Parse(data)
		if err != nil {
			if text := err.Error(); len(text) > 200 || strings.ContainsAny(text, "\n\r\x00") || strings.Contains(text, "%!") {
				t.Errorf("error = %q, want one line", text)
			}
			return
		}
		var public jose.JSONWebKey
		if err := json.Unmarshal(key.PublicJWK(), &public); err != nil || !public.IsPublic() || !public.Valid() {
			t.Fatalf("public JWK = %s, %v", key.PublicJWK(), err)
		}
		if got, want := key.Thumbprint(), joseThumbprint(public.Key); got != want {
			t.Errorf("thumbprint = %s, want %s", got, want)
		}
		if key.Algorithm() == "Ed25519" {
			return // go-jose supports only EdDSA
		}
		jws := must(key.SignProof(map[string]string{"htu": "https://rs.example/"}))
		sig := must(jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(key.Algorithm())}))
		if _, err := sig.Verify(public.Key); err != nil {
			t.Error(err)
		}
	})
}
