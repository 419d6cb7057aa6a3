package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"oktasync/dpopauth/verify"
)

// The examples of RFC 9449: sections 4.1 and 7.1.
const (
	rfcToken      = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	rfcThumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	rfcHash       = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"

	rfcHeader = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"

	rfcTokenProof = rfcHeader + ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"

	rfcResourceProof = rfcHeader + ".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)

func base64Decode(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(s) }

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64Decode(s)
	if err != nil {
		t.Fatalf("decode %q: %v", s, err)
	}
	return b
}

func TestD105_RFC9449Key(t *testing.T) {
	point := append([]byte{4}, unbase64(t, "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs")...)
	point = append(point, unbase64(t, "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA")...)
	key := must(ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point))
	if got, err := verify.Thumbprint(key); got != rfcThumbprint || err != nil {
		t.Errorf("Thumbprint() = %q, %v, want %q", got, err, rfcThumbprint)
	}
	if got := verify.AccessTokenHash(rfcToken); got != rfcHash {
		t.Errorf("AccessTokenHash() = %q, want %q", got, rfcHash)
	}
}

func TestD106_RFC9449Proofs(t *testing.T) {
	for _, tt := range []struct {
		name, method, origin, path, proof, token string
		issued                                   int64
	}{
		{"token endpoint", "POST", "https://server.example.com", "/token", rfcTokenProof, "", 1562262616},
		{"resource", "GET", "https://resource.example.org", "/protectedresource", rfcResourceProof, rfcToken, 1562262618},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check := func(now time.Time) (*verify.Proof, error) {
				v, err := verify.New(verify.Config{Origin: tt.origin, Now: func() time.Time { return now }})
				if err != nil {
					t.Fatal(err)
				}
				r := httptest.NewRequest(tt.method, tt.path, http.NoBody)
				r.Header.Set("DPoP", tt.proof)
				if tt.token != "" {
					return v.BoundProof(r, tt.token, rfcThumbprint)
				}
				return v.Proof(r)
			}
			proof, err := check(time.Unix(tt.issued, 0))
			if err != nil {
				t.Fatalf("at its iat: %v", err)
			}
			if proof.Thumbprint != rfcThumbprint || proof.IssuedAt.Unix() != tt.issued || proof.Algorithm != "ES256" {
				t.Errorf("proof = %+v", proof)
			}
			if _, err := check(time.Unix(tt.issued+61, 0)); reasonOf(err) != verify.ProofTooOld {
				t.Errorf("one window later: %v, want %v", err, verify.ProofTooOld)
			}
		})
	}
}

func TestD107_Thumbprints(t *testing.T) {
	n := unbase64(t, "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw")
	for _, tt := range []struct {
		name string
		key  crypto.PublicKey
		want string
	}{
		{"RFC 7638 section 3.1", &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"RFC 8037 appendix A.3", ed25519.PublicKey(unbase64(t, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
	} {
		if got, err := verify.Thumbprint(tt.key); got != tt.want || err != nil {
			t.Errorf("%s: Thumbprint() = %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}
