package verify_test

import (
	"context"
	"math/big"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth/verify"
)

func TestD90_Base64(t *testing.T) {
	v, s := newVerifier(t), newSigner("ES256")
	valid := s.proof(nil, nil)
	parts := strings.Split(valid, ".")
	join := func(header, claims, signature string) string { return header + "." + claims + "." + signature }
	for name, proof := range map[string]string{
		"empty parts":          "..",
		"one part":             parts[0],
		"two parts":            parts[0] + "." + parts[1],
		"four parts":           valid + ".",
		"no header":            join("", parts[1], parts[2]),
		"no claims":            join(parts[0], "", parts[2]),
		"padded header":        join(pad(parts[0]), parts[1], parts[2]),
		"padded signature":     join(parts[0], parts[1], pad(parts[2])),
		"line feed":            join(parts[0], parts[1], parts[2][:9]+"\n"+parts[2][9:]),
		"carriage return":      join(parts[0][:9]+"\r"+parts[0][9:], parts[1], parts[2]),
		"line feed at the end": valid + "\n",
		"space":                " " + valid,
		"stray bits":           join(parts[0], parts[1], strayBits(parts[2])),
		"standard alphabet":    join(parts[0], parts[1], parts[2][:40]+"+/"+parts[2][42:]),
		"one character short":  valid[:len(valid)-1],
		"not base64":           join(parts[0], parts[1], strings.Repeat("*", 86)),
		"JSON":                 `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
	} {
		r := request()
		r.Header["Dpop"] = []string{proof} // net/http rejects some of these, but a caller may pass them
		want := verify.ProofMalformed
		if strings.Contains(proof, ",") {
			want = verify.ProofMultiple
		}
		if _, err := v.Proof(r); reasonOf(err) != want {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	wantReason(t, v, valid, "")
}

func pad(s string) string {
	return s + strings.Repeat("=", 4-len(s)%4)
}

// strayBits sets an unused bit of the last character.
func strayBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[last|1])
}

func TestD91_JSON(t *testing.T) {
	v, s := newVerifier(t), newSigner("ES256")
	header, valid := s.header().json(), claims().json()
	deep := func(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }
	bad := map[string]string{
		"array":             "[" + valid + "]",
		"string":            `"x"`,
		"number":            "1",
		"null":              "null",
		"true":              "true",
		"nothing":           " ",
		"two objects":       valid + valid,
		"trailing text":     valid + " x",
		"cut short":         valid[:len(valid)-1],
		"trailing comma":    strings.TrimSuffix(valid, "}") + ",}",
		"comment":           "/**/" + valid,
		"doubled member":    strings.TrimSuffix(valid, "}") + `,"htm":"GET"}`,
		"doubled by escape": strings.TrimSuffix(valid, "}") + `,"ht\u006d":"GET"}`,
		"doubled unknown":   strings.TrimSuffix(valid, "}") + `,"a":1,"a":1}`,
		"doubled inside":    strings.TrimSuffix(valid, "}") + `,"a":{"b":[{"c":1,"c":2}]}}`,
		"bad UTF-8":         strings.TrimSuffix(valid, "}") + ",\"a\":\"\xff\"}",
		"byte order mark":   "\ufeff" + valid,
		"depth 9":           strings.TrimSuffix(valid, "}") + `,"a":` + deep(8) + "}",
		"10⁴⁰⁰":             strings.TrimSuffix(valid, "}") + `,"a":1` + strings.Repeat("0", 400) + "}",
	}
	for name, text := range bad {
		wantReason(t, v, s.sign(header, text), verify.ProofMalformed)
		// The check is before the signature: an invalid signature changes nothing.
		unsigned, _ := cutSignature(s.sign(header, text))
		if _, err := v.Proof(request(unsigned + "." + encode(make([]byte, 64)))); reasonOf(err) != verify.ProofMalformed {
			t.Errorf("%s: %v, want %q", name, err, verify.ProofMalformed)
		}
	}
	for _, text := range []string{"[]", "null", `"x"`, header + header, strings.TrimSuffix(header, "}") + `,"alg":"none"}`} {
		wantReason(t, v, s.sign(text, valid), verify.ProofMalformed)
	}
	wantReason(t, v, s.sign(header, strings.TrimSuffix(valid, "}")+`,"a":`+deep(7)+`,"b":"[[[[[[[[[\"[["}`), "")
	wantReason(t, v, s.sign(strings.TrimSuffix(header, "}")+`,"ALG":"none"}`, claims().json()), "") // another member

	// 8 KiB are accepted, a byte more is not.
	const most = 8 << 10
	filled := func(n int) string { return s.proof(nil, m{"a": strings.Repeat("x", n)}) }
	fill := (most - len(filled(0))) * 3 / 4
	var under, over bool
	for n := fill - 4; n <= fill+4; n++ {
		if proof := filled(n); len(proof) <= most {
			wantReason(t, v, proof, "")
			under = under || len(proof) >= most-1
		} else {
			wantReason(t, v, proof, verify.ProofMalformed)
			over = over || len(proof) <= most+2
		}
	}
	if !under || !over {
		t.Error("no proof near the limit was made")
	}
}

func TestD92_Claims(t *testing.T) {
	v, s := newVerifier(t), newSigner("ES256")
	huge, _ := new(big.Float).SetString("1e300")
	for _, tt := range []struct {
		name   string
		values []any
		want   verify.Reason
	}{
		{"jti", []any{absent, nil, "", 1, []string{"a"}, m{}, strings.Repeat("x", 257)}, verify.ProofID},
		{"jti", []any{"x", strings.Repeat("y", 256), "\u0000"}, ""},
		{"htm", []any{absent, nil, "", 1, []string{"POST"}}, verify.ProofMethodMalformed},
		{"htu", []any{absent, nil, "", 1, "/token", "x", "https://"}, verify.ProofURLMalformed},
		{"iat", []any{absent, nil, "", "1795413600", true, m{}, -1, -1.5, start.Unix() * 1e9, huge}, verify.ProofIssuedAtMalformed},
		{"iat", []any{start.Unix(), float64(start.Unix()) + 0.5}, ""},
		{"iat", []any{start.UnixMilli()}, verify.ProofInFuture},
		{"iat", []any{0}, verify.ProofTooOld},
		{"ath", []any{nil, 1, []string{}}, verify.ProofMalformed},
		{"ath", []any{absent, "", "anything"}, ""}, // without a token
		{"nonce", []any{nil, 1, []string{}}, verify.ProofMalformed},
		{"nonce", []any{absent, "", "anything"}, ""}, // none is required
	} {
		for _, value := range tt.values {
			proof := s.proof(nil, m{tt.name: value})
			if _, err := v.Proof(request(proof)); reasonOf(err) != tt.want {
				t.Errorf("%s = %.40v: %v, want %q", tt.name, value, err, tt.want)
			}
		}
	}
	token := "access"
	for _, hash := range []any{absent, "", verify.AccessTokenHash("other"), verify.AccessTokenHash(token) + "=", token} {
		_, err := v.BoundProof(request(s.proof(nil, m{"ath": hash})), token, s.thumbprint())
		if reasonOf(err) != verify.ProofTokenHash {
			t.Errorf("ath = %v: %v, want %q", hash, err, verify.ProofTokenHash)
		}
	}
}

// A countingCache counts its calls.
type countingCache struct {
	verify.ReplayCache
	added int
	until time.Time
	err   error
}

func (c *countingCache) Add(ctx context.Context, key [32]byte, now, until time.Time) (bool, error) {
	c.added++
	c.until = until
	if c.err != nil {
		return false, c.err
	}
	return c.ReplayCache.Add(ctx, key, now, until)
}

func TestD93_Order(t *testing.T) {
	cache := &countingCache{ReplayCache: verify.NewReplayCache(0)}
	nonces := verify.NewNonces(verify.NonceConfig{Now: at(start)})
	v := newVerifier(t, func(c *verify.Config) { c.Replay, c.Nonces = cache, nonces })
	s := newSigner("ES256")
	token := "access"
	valid := claims().with(m{"nonce": nonces.Nonce(), "ath": verify.AccessTokenHash(token)})

	// The faults are fixed one by one. Each step must find the next fault of the
	// order. The jti is always the same.
	header := s.header().with(m{"typ": "JWT", "alg": "none", "jwk": m{"kty": "EC"}})
	claims := valid.with(m{
		"htm": "GET", "htu": origin + "/", "nonce": absent, "iat": start.Unix() - 3600, "ath": "x",
		"a": strings.Repeat("x", 8<<10),
	})
	signed, thumbprint := false, "another"
	for _, step := range []struct {
		want verify.Reason
		mend func()
	}{
		{verify.ProofMalformed, func() { claims = claims.with(m{"a": absent}) }},
		{verify.ProofType, func() { header["typ"] = "dpop+jwt" }},
		{verify.ProofAlgorithm, func() { header["alg"] = "ES256" }},
		{verify.ProofKey, func() { header["jwk"] = s.jwk() }},
		{verify.ProofSignature, func() { signed = true }},
		{verify.ProofMethod, func() { claims["htm"] = "POST" }},
		{verify.ProofURL, func() { claims["htu"] = valid["htu"] }},
		{verify.NonceMissing, func() { claims["nonce"] = valid["nonce"] }},
		{verify.ProofTooOld, func() { claims["iat"] = valid["iat"] }},
		{verify.ProofTokenHash, func() { claims["ath"] = valid["ath"] }},
		{verify.ProofOtherKey, func() { thumbprint = s.thumbprint() }},
	} {
		proof := s.sign(header.json(), claims.json())
		if !signed {
			unsigned, _ := cutSignature(proof)
			proof = unsigned + "." + encode(make([]byte, 64))
		}
		_, err := v.BoundProof(request(proof), token, thumbprint)
		if reasonOf(err) != step.want {
			t.Errorf("%v, want %q", err, step.want)
		}
		step.mend()
	}
	if cache.added != 0 {
		t.Errorf("the replay cache was asked %d times by proofs that did not pass, want never", cache.added)
	}
	proof := s.sign(header.json(), claims.json())
	if _, err := v.BoundProof(request(proof), token, thumbprint); err != nil {
		t.Errorf("with every fault mended: %v; the jti was spent", err)
	}
	if _, err := v.BoundProof(request(proof), token, thumbprint); reasonOf(err) != verify.ProofReplayed {
		t.Errorf("once more: %v, want %q", err, verify.ProofReplayed)
	}
}

func TestD95_IssuedAt(t *testing.T) {
	s := newSigner("ES256")
	okta := func(c *verify.Config) { c.MaxAge, c.Leeway = 5*time.Minute, -1 }
	for _, tt := range []struct {
		name string
		edit func(*verify.Config)
		now  time.Duration // after iat
		want verify.Reason
	}{
		{"strict", nil, 60 * time.Second, ""},
		{"strict", nil, 60*time.Second + 1, verify.ProofTooOld},
		{"strict", nil, -5 * time.Second, ""},
		{"strict", nil, -5*time.Second - 1, verify.ProofInFuture},
		{"Okta", okta, 5 * time.Minute, ""},
		{"Okta", okta, 5*time.Minute + 1, verify.ProofTooOld},
		{"Okta", okta, 0, ""},
		{"Okta", okta, -1, verify.ProofInFuture},
	} {
		v := newVerifier(t, func(c *verify.Config) {
			if tt.edit != nil {
				tt.edit(c)
			}
			c.Now = at(start.Add(tt.now))
		})
		if _, err := v.Proof(request(s.proof(nil, nil))); reasonOf(err) != tt.want {
			t.Errorf("%s, iat %v ago: %v, want %q", tt.name, tt.now, err, tt.want)
		}
	}
	// With nonces, an old proof without one gets a nonce challenge.
	v := newVerifier(t, func(c *verify.Config) {
		c.Nonces, c.Now = verify.NewNonces(verify.NonceConfig{}), at(start.Add(time.Hour))
	})
	wantReason(t, v, s.proof(nil, nil), verify.NonceMissing)
}
