package verify_test

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth/verify"
)

func TestAlgorithms(t *testing.T) {
	for _, alg := range verify.Algorithms() {
		t.Run(alg, func(t *testing.T) {
			s := newSigner(alg)
			proof := must(newVerifier(t).Proof(request(s.proof(nil, m{"nonce": "n"}))))
			if proof.Thumbprint != s.thumbprint() || proof.Algorithm != alg || proof.Nonce != "n" || !proof.IssuedAt.Equal(start) || proof.ID == "" {
				t.Errorf("proof = %+v", proof)
			}
		})
	}
}

func TestD1_Type(t *testing.T) {
	v, s := newVerifier(t), newSigner("ES256")
	wantReason(t, v, s.proof(m{"typ": "dpop+jwt"}, nil), "")
	for _, typ := range []any{"JWT", absent, "DPOP+JWT", "application/dpop+jwt", "", " dpop+jwt", 1, nil, []string{"dpop+jwt"}} {
		wantReason(t, v, s.proof(m{"typ": typ}, nil), verify.ProofType)
	}
}

func TestD3_PrivateMembers(t *testing.T) {
	v := newVerifier(t)
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		s := newSigner(alg)
		for _, member := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			for _, value := range []any{"AQAB", "", nil, 1} {
				wantReason(t, v, s.proof(m{"jwk": s.jwk().with(m{member: value})}, nil), verify.ProofKey)
			}
		}
	}
}

func TestD5_HeaderExtensions(t *testing.T) {
	v, s := newVerifier(t), newSigner("ES256")
	for _, edit := range []m{
		{"crit": []string{"exp"}, "exp": 1},
		{"crit": []string{}},
		{"crit": nil},
		{"crit": []string{"b64"}, "b64": false},
		{"b64": true},
	} {
		wantReason(t, v, s.proof(edit, nil), verify.ProofMalformed)
	}
	// Harmless members are ignored, and URLs are not fetched.
	wantReason(t, v, s.proof(m{"kid": "1", "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/", "x5c": []string{"?"}}, nil), "")
}

func TestD6_Thumbprint(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "ES512", "RS256", "EdDSA"} {
		s := newSigner(alg)
		v := newVerifier(t)
		jwk := s.jwk().with(m{"kid": "1", "use": "sig", "alg": alg, "x5u": "https://x.example", "key_ops": []string{"verify"}, "extra": m{"a": 1}})
		var backwards []string
		for _, name := range []string{"y", "x5u", "x", "use", "n", "kty", "kid", "key_ops", "extra", "e", "crv", "alg"} {
			if value, ok := jwk[name]; ok {
				member := m{name: value}.json()
				backwards = append(backwards, member[1:len(member)-1])
			}
		}
		header := fmt.Sprintf(`{"jwk" : {%s}, "alg": %q,"typ":"dpop+jwt"}`, strings.Join(backwards, ",\n"), alg)
		proof, err := v.Proof(request(s.sign(header, claims().json())))
		if err != nil {
			t.Fatalf("%s: %v\n%s", alg, err, header)
		}
		if proof.Thumbprint != s.thumbprint() {
			t.Errorf("%s: thumbprint = %s, want %s", alg, proof.Thumbprint, s.thumbprint())
		}
	}
	for _, key := range []any{nil, "x", generate("ES256"), []byte("secret")} {
		if got, err := verify.Thumbprint(key); err == nil {
			t.Errorf("Thumbprint(%T) = %q, want an error", key, got)
		}
	}
}

func TestD7_ECDSASignature(t *testing.T) {
	t.Run("short R or S", func(t *testing.T) {
		v, s := newVerifier(t), newSigner("ES256")
		short := 0
		for range 2000 {
			proof := s.proof(nil, nil)
			if _, raw := cutSignature(proof); raw[0] == 0 || raw[32] == 0 {
				short++
			}
			wantReason(t, v, proof, "")
		}
		if short == 0 {
			t.Error("no short R or S among 2,000 signatures")
		}
	})
	for _, alg := range []string{"ES256", "ES384", "ES512"} {
		t.Run(alg, func(t *testing.T) {
			v, s := newVerifier(t), newSigner(alg)
			curve := s.key.(*ecdsa.PrivateKey).Curve
			n := curve.Params().N
			signed, raw := cutSignature(s.proof(nil, nil))
			width := len(raw) / 2
			r, ss := new(big.Int).SetBytes(raw[:width]), new(big.Int).SetBytes(raw[width:])
			zero := new(big.Int)
			for name, bad := range map[string][]byte{
				"DER":       derOf(raw),
				"empty":     {},
				"short":     raw[:len(raw)-1],
				"long":      append([]byte{0}, raw...),
				"padded":    append(append(append([]byte{0}, raw[:width]...), 0), raw[width:]...),
				"padded s":  append(append(raw[:width:width], 0), raw[width:]...),
				"r = 0":     joinRS(curve, zero, ss),
				"s = 0":     joinRS(curve, r, zero),
				"r = s = 0": joinRS(curve, zero, zero),
				"r = n":     joinRS(curve, n, ss),
				"s = n":     joinRS(curve, r, n),
				"swapped":   joinRS(curve, ss, r),
			} {
				if got := reasonOf(second(v.Proof(request(signed + "." + encode(bad))))); got != verify.ProofSignature {
					t.Errorf("%s: %q, want %q", name, got, verify.ProofSignature)
				}
			}
			wantReason(t, v, signed+"."+encode(raw), "")
		})
	}
}

func second[T any](_ T, err error) error { return err }

// cutSignature returns the signed part and the signature of a JWS.
func cutSignature(jws string) (signed string, signature []byte) {
	i := strings.LastIndexByte(jws, '.')
	signature, err := base64Decode(jws[i+1:])
	if err != nil {
		panic(err)
	}
	return jws[:i], signature
}

func TestD9_Method(t *testing.T) {
	v, s := newVerifier(t), newSigner("ES256")
	for _, tt := range []struct {
		method, htm string
		want        verify.Reason
	}{
		{"GET", "GET", ""},
		{"POST", "POST", ""},
		{"PURGE", "PURGE", ""},
		{"GET", "get", verify.ProofMethod},
		{"get", "GET", verify.ProofMethod},
		{"GET", "POST", verify.ProofMethod},
		{"GET", "GET ", verify.ProofMethod},
		{"HEAD", "GET", verify.ProofMethod},
	} {
		_, err := v.Proof(requestTo(tt.method, "/token", s.proof(nil, m{"htm": tt.htm})))
		if reasonOf(err) != tt.want {
			t.Errorf("%s with htm %q: %v, want %q", tt.method, tt.htm, err, tt.want)
		}
	}
	// A request of a Go client that was passed without a network.
	r := requestTo("GET", "/token", s.proof(nil, m{"htm": "GET"}))
	r.Method = ""
	if _, err := v.Proof(r); err != nil {
		t.Errorf("empty method with htm GET: %v", err)
	}
}

func TestD27_Algorithm(t *testing.T) {
	v, s := newVerifier(t), newSigner("ES256")
	for _, alg := range []any{"none", "None", "NONE", "HS256", "HS384", "HS512", "ES256K", "es256", "RSA1_5", "", absent, nil, 256, []string{"ES256"}} {
		// The key is invalid too, but alg is checked first.
		wantReason(t, v, s.proof(m{"alg": alg, "jwk": m{"kty": "oct", "k": "AA"}}, nil), verify.ProofAlgorithm)
	}
	only := newVerifier(t, func(c *verify.Config) { c.Algorithms = []string{"RS256", "ES384"} })
	wantReason(t, only, s.proof(nil, nil), verify.ProofAlgorithm)
	wantReason(t, only, newSigner("ES384").proof(nil, nil), "")
	wantReason(t, only, newSigner("RS512").proof(nil, nil), verify.ProofAlgorithm)

	// An allowed alg that does not fit the key.
	for _, pair := range [][2]string{
		{"ES256", "ES384"}, {"ES256", "RS256"}, {"ES256", "EdDSA"}, {"ES512", "ES256"},
		{"RS256", "ES256"}, {"RS256", "EdDSA"}, {"EdDSA", "ES256"}, {"EdDSA", "PS256"},
	} {
		wantReason(t, v, newSigner(pair[0]).proof(m{"alg": pair[1]}, nil), verify.ProofKey)
	}
	// RSA algorithms differ only in the signature.
	rs := newSigner("RS256")
	wantReason(t, v, rs.proof(m{"alg": "PS256"}, nil), verify.ProofSignature)
	wantReason(t, v, rs.proof(m{"alg": "RS384"}, nil), verify.ProofSignature)
	wantReason(t, v, signer{"PS256", rs.key}.proof(m{"alg": "RS256"}, nil), verify.ProofSignature)
}

func TestD28_WeakKeys(t *testing.T) {
	s, ec := newSigner("RS256"), newSigner("ES256")
	n := s.key.(*rsa.PrivateKey).N
	point := func(x, y []byte) m { return m{"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)} }
	x, y := unbase64(t, ec.jwk()["x"].(string)), unbase64(t, ec.jwk()["y"].(string))
	modulus := func(n *big.Int) m { return m{"n": encode(n.Bytes())} }
	odd := func(bits uint) *big.Int { // an odd number of that many bits
		return new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), bits-1), big.NewInt(1))
	}
	for name, tt := range map[string]struct {
		s    signer
		jwk  m
		want verify.Reason
	}{
		"1024 bits":               {s, modulus(odd(1024)), verify.ProofKey},
		"2047 bits":               {s, modulus(odd(2047)), verify.ProofKey},
		"2048 bits":               {s, modulus(odd(2048)), verify.ProofSignature},
		"8192 bits":               {s, modulus(odd(8192)), verify.ProofSignature},
		"8193 bits":               {s, modulus(odd(8193)), verify.ProofKey},
		"16384 bits":              {s, modulus(odd(16384)), verify.ProofKey},
		"even n":                  {s, modulus(new(big.Int).Lsh(big.NewInt(1), 2048)), verify.ProofKey},
		"n with a leading zero":   {s, m{"n": encode(append([]byte{0}, n.Bytes()...))}, verify.ProofKey},
		"n empty":                 {s, m{"n": ""}, verify.ProofKey},
		"n absent":                {s, m{"n": absent}, verify.ProofKey},
		"n a number":              {s, m{"n": 7}, verify.ProofKey},
		"e = 1":                   {s, m{"e": "AQ"}, verify.ProofKey},
		"e = 2":                   {s, m{"e": "Ag"}, verify.ProofKey},
		"e = 3":                   {s, m{"e": "Aw"}, verify.ProofSignature},
		"e even":                  {s, m{"e": encode([]byte{1, 0, 0})}, verify.ProofKey},
		"e = 2³²+1":               {s, m{"e": encode([]byte{1, 0, 0, 0, 1})}, verify.ProofKey},
		"e with a leading zero":   {s, m{"e": encode([]byte{0, 1, 0, 1})}, verify.ProofKey},
		"e empty":                 {s, m{"e": ""}, verify.ProofKey},
		"e absent":                {s, m{"e": absent}, verify.ProofKey},
		"y off by one":            {ec, point(x, new(big.Int).Add(new(big.Int).SetBytes(y), big.NewInt(1)).FillBytes(make([]byte, 32))), verify.ProofKey},
		"x and y zero":            {ec, point(make([]byte, 32), make([]byte, 32)), verify.ProofKey},
		"x beyond the field":      {ec, point([]byte(strings.Repeat("\xff", 32)), y), verify.ProofKey},
		"x without its zeros":     {ec, point(x[1:], y), verify.ProofKey},
		"x too long":              {ec, point(append([]byte{0}, x...), y), verify.ProofKey},
		"y absent":                {ec, m{"y": absent}, verify.ProofKey},
		"another curve":           {ec, m{"crv": "P-384"}, verify.ProofKey},
		"secp256k1":               {ec, m{"crv": "secp256k1"}, verify.ProofKey},
		"no curve":                {ec, m{"crv": absent}, verify.ProofKey},
		"no kty":                  {ec, m{"kty": absent}, verify.ProofKey},
		"oct":                     {ec, m{"kty": "oct"}, verify.ProofKey},
		"X25519":                  {newSigner("EdDSA"), m{"crv": "X25519"}, verify.ProofKey},
		"Ed25519 too short":       {newSigner("EdDSA"), m{"x": "AAAA"}, verify.ProofKey},
		"Ed25519 of small order":  {newSigner("EdDSA"), m{"x": encode(make([]byte, 32))}, verify.ProofKey},
		"Ed25519 x with one zero": {newSigner("EdDSA"), m{"x": encode(make([]byte, 33))}, verify.ProofKey},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t)
			proof := tt.s.proof(m{"jwk": tt.s.jwk().with(tt.jwk)}, nil)
			wantReason(t, v, proof, tt.want)
			if tt.want != verify.ProofKey {
				return
			}
			// Both are the best of several attempts, since the machine may be busy.
			refused, accepted := time.Hour, time.Hour
			for range 20 {
				good := s.proof(nil, nil)
				began := time.Now()
				if _, err := v.Proof(request(good)); err != nil {
					t.Fatal(err)
				}
				mid := time.Now()
				v.Proof(request(proof))
				accepted, refused = min(accepted, mid.Sub(began)), min(refused, time.Since(mid))
			}
			if refused > 25*accepted {
				t.Errorf("refused in %v, but a good proof is accepted in %v", refused, accepted)
			}
		})
	}
	v := newVerifier(t)
	for _, jwk := range []any{absent, nil, "key", []any{}, m{}} {
		wantReason(t, v, s.proof(m{"jwk": jwk}, nil), verify.ProofKey)
	}
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]verify.Config{
		"no origin":       {},
		"relative origin": {Origin: "/api"},
		"userinfo":        {Origin: "https://me@api.example.com"},
		"query":           {Origin: "https://api.example.com?x"},
		"other scheme":    {Origin: "ftp://api.example.com"},
		"international":   {Origin: "https://bücher.example"},
		"no algorithm":    {Origin: origin, Algorithms: []string{}},
		"none":            {Origin: origin, Algorithms: []string{"none"}},
		"symmetric":       {Origin: origin, Algorithms: []string{"ES256", "HS256"}},
		"negative age":    {Origin: origin, MaxAge: -1},
	} {
		if _, err := verify.New(cfg); err == nil || !strings.HasPrefix(err.Error(), "configure verifier: ") {
			t.Errorf("%s: New() = %v, want an error", name, err)
		}
	}
	if _, err := verify.NewClients(verify.ClientsConfig{}); err == nil {
		t.Error("NewClients() without keys: no error")
	}
}
