package keys_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"testing"

	"oktasync/dpopauth/keys"
)

func TestD6_ThumbprintOfTheCanonicalMembers(t *testing.T) {
	for _, kind := range kinds {
		// The same key, with more members in another order.
		for _, file := range [][]byte{jwkFile(kind.Signer(), ""), jwkFile(kind.Signer(), `"kid":"z","use":"sig",`)} {
			k := must(keys.Parse(file))
			if got, want := k.Thumbprint(), joseThumbprint(kind.Signer().Public()); got != want {
				t.Errorf("%s: Thumbprint() = %s, want %s", kind.Name, got, want)
			}
		}
	}
}

func b64(t testing.TB, s string) []byte {
	t.Helper()
	b := must(base64.RawURLEncoding.DecodeString(s))
	return b
}

func TestD105_KeyOfRFC9449(t *testing.T) {
	point := append([]byte{4}, b64(t, "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs")...)
	point = append(point, b64(t, "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA")...)
	pub := must(ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point))
	const jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" // section 6.1
	if got, err := keys.Thumbprint(pub); got != jkt || err != nil {
		t.Errorf("thumbprint = %s, %v, want %s", got, err, jkt)
	}
}

func TestD107_VectorsOfRFC7638And8037(t *testing.T) {
	n := "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	pub := &rsa.PublicKey{N: new(big.Int).SetBytes(b64(t, n)), E: 65537}
	if got, err := keys.Thumbprint(pub); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" || err != nil {
		t.Errorf("RFC 7638, section 3.1: thumbprint = %s, %v", got, err)
	}
	k, err := keys.Parse([]byte(`{"kty":"OKP","crv":"Ed25519",
		"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Thumbprint(); got != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("RFC 8037, appendix A.3: thumbprint = %s", got)
	}
}
