package verify_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"oktasync/dpopauth/verify"
)

func TestD96_Replay(t *testing.T) {
	s := newSigner("ES256")
	t.Run("used again", func(t *testing.T) {
		v := newVerifier(t)
		proof := s.proof(nil, m{"jti": "1"})
		wantReason(t, v, proof, "")
		wantReason(t, v, proof, verify.ProofReplayed)
		// The same jti in another shape, at another second, by another signature.
		wantReason(t, v, s.proof(nil, m{"jti": "1", "iat": start.Unix() - 1}), verify.ProofReplayed)
		wantReason(t, v, s.sign(s.header().with(m{"kid": "2"}).json(), " "+claims().with(m{"jti": "1", "a": 1}).json()), verify.ProofReplayed)
		wantReason(t, v, s.proof(nil, m{"jti": "1", "htu": "HTTPS://API.example.com:443/x/../token"}), verify.ProofReplayed)
		// Another key, jti or URL is another proof.
		wantReason(t, v, signer{"ES256", generate("ES256")}.proof(nil, m{"jti": "1"}), "")
		wantReason(t, v, s.proof(nil, m{"jti": "2"}), "")
		if _, err := v.Proof(requestTo("POST", "/other", s.proof(nil, m{"jti": "1", "htu": origin + "/other"}))); err != nil {
			t.Errorf("at another URL: %v", err)
		}
	})
	t.Run("malleated signature", func(t *testing.T) {
		v := newVerifier(t)
		proof := s.proof(nil, nil)
		signed, raw := cutSignature(proof)
		curve := s.key.(*ecdsa.PrivateKey).Curve
		r, ss := new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])
		ss.Sub(curve.Params().N, ss)
		other := signed + "." + encode(joinRS(curve, r, ss))
		wantReason(t, v, proof, "")
		wantReason(t, v, other, verify.ProofReplayed)
		wantReason(t, newVerifier(t), other, "") // it is a valid signature
	})
	t.Run("kept until its iat would not pass", func(t *testing.T) {
		cache := &countingCache{ReplayCache: verify.NewReplayCache(0)}
		v := newVerifier(t, func(c *verify.Config) { c.Replay = cache })
		wantReason(t, v, s.proof(nil, m{"iat": start.Unix() - 30}), "")
		if want := start.Add((-30 + 60 + 5) * time.Second); !cache.until.Equal(want) {
			t.Errorf("kept until %v, want %v", cache.until, want)
		}
		cache.err = errors.New("connection refused")
		_, err := v.Proof(request(s.proof(nil, nil)))
		if reasonOf(err) != verify.ReplayUnavailable || !errors.Is(err, cache.err) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("with a cache that is down: %v, want %q", err, verify.ReplayUnavailable)
		}
	})
	t.Run("at the same time", func(t *testing.T) {
		v := newVerifier(t)
		for range 20 {
			proof := s.proof(nil, nil)
			var passed atomic.Int32
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if _, err := v.Proof(request(proof)); err == nil {
						passed.Add(1)
					}
				})
			}
			wg.Wait()
			if passed.Load() != 1 {
				t.Fatalf("%d of 20 passed, want 1", passed.Load())
			}
		}
	})
}

func TestD96_ReplayCache(t *testing.T) {
	ctx := t.Context()
	key := func(n int) [32]byte { return [32]byte{byte(n), byte(n >> 8), byte(n >> 16)} }
	add := func(c verify.ReplayCache, n int, now, until time.Time) string {
		fresh, err := c.Add(ctx, key(n), now, until)
		switch {
		case errors.Is(err, verify.ErrReplayFull):
			return "full"
		case err != nil:
			return err.Error()
		case fresh:
			return "new"
		}
		return "seen"
	}
	t.Run("full", func(t *testing.T) {
		c := verify.NewReplayCache(3)
		second := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
		for _, step := range []struct {
			key, now, until int
			want            string
		}{
			{1, 0, 30, "new"}, {2, 0, 10, "new"}, {3, 0, 20, "new"},
			{4, 0, 10, "full"}, // never forgets early
			{2, 0, 10, "seen"}, {1, 10, 30, "seen"},
			{4, 10, 20, "full"}, // until 10 is up to and with 10
			{4, 11, 15, "new"},  // in the place of 2
			{3, 11, 20, "seen"},
			{5, 16, 40, "new"},
			{6, 16, 40, "full"},
			{6, 100, 140, "new"},
			{7, 100, 140, "new"}, {8, 100, 140, "new"}, {9, 100, 140, "full"},
		} {
			if got := add(c, step.key, second(step.now), second(step.until)); got != step.want {
				t.Errorf("key %d at %d: %s, want %s", step.key, step.now, got, step.want)
			}
		}
	})
	t.Run("fails closed", func(t *testing.T) {
		v := newVerifier(t, func(c *verify.Config) { c.Replay = verify.NewReplayCache(1) })
		s := newSigner("ES256")
		wantReason(t, v, s.proof(nil, nil), "")
		wantReason(t, v, s.proof(nil, nil), verify.ReplayUnavailable)
	})
	t.Run("memory", func(t *testing.T) {
		const most = 1 << 13
		empty := heapInUse()
		c := verify.NewReplayCache(most)
		var before, after uint64
		for n := range 20 * most { // each is forgotten after a minute
			now := start.Add(time.Duration(n) * time.Minute / most)
			if got := add(c, n, now, now.Add(time.Minute-time.Second)); got != "new" {
				t.Fatalf("key %d: %s, want new", n, got)
			}
			if n == 10*most {
				before = heapInUse()
			}
		}
		if after = heapInUse(); after > before+before/4 {
			t.Errorf("heap grew from %d to %d bytes while full", before, after)
		}
		if each := (int64(after) - int64(empty)) / most; each > 400 {
			t.Errorf("the cache takes %d bytes an entry", each)
		}
		runtime.KeepAlive(c)
	})
}

func heapInUse() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func TestD97_Nonce(t *testing.T) {
	s := newSigner("ES256")
	now := start
	nonces := verify.NewNonces(verify.NonceConfig{Every: time.Hour, Valid: 3 * time.Hour, Now: func() time.Time { return now }})
	v := newVerifier(t, func(c *verify.Config) {
		c.Nonces, c.Now = nonces, func() time.Time { return now }
	})
	check := func(nonce any, want verify.Reason) {
		t.Helper()
		_, err := v.Proof(request(s.proof(nil, m{"nonce": nonce, "iat": now.Unix()})))
		if reasonOf(err) != want {
			t.Errorf("nonce %v: %v, want %q", nonce, err, want)
		}
		var refusal *verify.Error
		if want != "" && (!errors.As(err, &refusal) || refusal.Nonce != nonces.Nonce() || refusal.Reason.Code() != "use_dpop_nonce") {
			t.Errorf("nonce %v: refusal %+v does not offer the current nonce", nonce, refusal)
		}
	}
	first := nonces.Nonce()
	check(absent, verify.NonceMissing)
	check("", verify.NonceMissing)
	check("unknown", verify.NonceUnknown)
	check(first+"A", verify.NonceUnknown)
	check(strings.ToLower(first), verify.NonceUnknown)
	check(verify.NewNonces(verify.NonceConfig{Now: at(now)}).Nonce(), verify.NonceUnknown) // of another server or role
	check(first, "")
	check(first, "") // good for many proofs

	now = now.Add(time.Hour)
	renewed := nonces.Nonce()
	if renewed == first {
		t.Error("nonce is the same an hour later")
	}
	check(renewed, "")
	check(first, "")
	now = start.Add(3 * time.Hour)
	check(first, "") // to the end of its time
	now = now.Add(time.Second)
	check(first, verify.NonceExpired)
	check(renewed, "")

	before := nonces.Nonce()
	nonces.Rotate()
	check(before, "")
	check(renewed, verify.NonceExpired) // two before
	nonces.Rotate()
	check(before, verify.NonceExpired)
	if rotated := nonces.Nonce(); rotated == before || len(rotated) != 32 {
		t.Errorf("Nonce() = %q after %q", rotated, before)
	}
}

func TestD97_NonceIsUnpredictable(t *testing.T) {
	seen := map[string]bool{}
	tails := map[string]bool{}
	now := start
	for range 100 { // as many servers as started at this moment
		nonces := verify.NewNonces(verify.NonceConfig{Now: func() time.Time { return now }})
		for range 10 {
			nonce := nonces.Nonce()
			if seen[nonce] || tails[nonce[12:]] {
				t.Fatalf("nonce %q, or all of it but the time, comes twice", nonce)
			}
			seen[nonce], tails[nonce[12:]] = true, true
			nonces.Rotate()
		}
	}
}

func TestD97_NonceSharedSecret(t *testing.T) {
	secret := []byte("32 octets that servers share ...")
	one := verify.NewNonces(verify.NonceConfig{Secret: secret, Now: at(start)})
	two := verify.NewNonces(verify.NonceConfig{Secret: secret, Now: at(start.Add(4 * time.Minute))})
	later := verify.NewNonces(verify.NonceConfig{Secret: secret, Now: at(start.Add(9 * time.Minute))})
	if a, b := one.Nonce(), two.Nonce(); a != b {
		t.Errorf("nonces of one period are %q and %q", a, b)
	}
	if err := later.Check(one.Nonce()); err != nil {
		t.Errorf("nonce of another server, within its time: %v", err)
	}
	if later.Nonce() == one.Nonce() {
		t.Error("nonce is the same in the next period")
	}
}

// TestVerifierUnderLoad has everything that is shared used at once.
func TestVerifierUnderLoad(t *testing.T) {
	nonces := verify.NewNonces(verify.NonceConfig{Now: at(start)})
	v := newVerifier(t, func(c *verify.Config) { c.Nonces = nonces })
	s := newSigner("ES256")
	var wg sync.WaitGroup
	var failed atomic.Int32
	for range 50 {
		wg.Go(func() {
			for range 10 {
				nonce := nonces.Nonce()
				_, err := v.Proof(request(s.proof(nil, m{"nonce": nonce})))
				if err != nil && reasonOf(err) != verify.NonceExpired {
					failed.Add(1)
				}
				nonces.Rotate()
			}
		})
	}
	wg.Wait()
	if failed.Load() != 0 {
		t.Errorf("%d of 500 proofs were refused", failed.Load())
	}
}

func TestD98_Binding(t *testing.T) {
	v, s := newVerifier(t), newSigner("ES256")
	const token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU=="
	bound := func(token string) string { return s.proof(nil, m{"ath": verify.AccessTokenHash(token)}) }
	for _, tt := range []struct {
		name, proof, token, thumbprint string
		want                           verify.Reason
	}{
		{"good", bound(token), token, s.thumbprint(), ""},
		{"proof for another token", bound("another"), token, s.thumbprint(), verify.ProofTokenHash},
		{"token of another key", bound(token), token, newSigner("ES384").thumbprint(), verify.ProofOtherKey},
		{"proof by another key", newSigner("ES384").proof(nil, m{"ath": verify.AccessTokenHash(token)}), token, s.thumbprint(), verify.ProofOtherKey},
		{"token bound to nothing", bound(token), token, "", verify.TokenNotBound},
		{"no token", bound(""), "", s.thumbprint(), verify.TokenMissing},
	} {
		if _, err := v.BoundProof(request(tt.proof), tt.token, tt.thumbprint); reasonOf(err) != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if code := verify.ProofOtherKey.Code(); code != "invalid_token" { // RFC 9449, section 7.1
		t.Errorf("code for a token of another key = %q, want invalid_token", code)
	}
}

// An assertion that is good but for edits.
func (s signer) assertion(header, edits m) string {
	return s.sign(m{"alg": s.alg, "kid": "1"}.with(header).json(), m{
		"iss": "0oa1", "sub": "0oa1", "aud": origin + "/token", "jti": newID(),
		"iat": start.Unix(), "exp": start.Add(5 * time.Minute).Unix(),
	}.with(edits).json())
}

func newClients(t testing.TB, edits ...func(*verify.ClientsConfig)) *verify.Clients {
	t.Helper()
	cfg := verify.ClientsConfig{Now: at(start), Keys: func(_ context.Context, client string) ([]verify.Key, error) {
		one := verify.Key{ID: "1", Public: newSigner("RS256").key.Public()}
		two := verify.Key{ID: "2", Public: newSigner("ES256").key.Public()}
		switch client {
		case "0oa1":
			return []verify.Key{one, two}, nil
		case "0oa2":
			return []verify.Key{one}, nil
		case "0oa3":
			return nil, nil
		case "0oa4":
			return nil, errors.New("database is down")
		}
		return nil, fmt.Errorf("look up: %w", verify.ErrUnknownClient)
	}}
	for _, edit := range edits {
		edit(&cfg)
	}
	c, err := verify.NewClients(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestD43_Assertion(t *testing.T) {
	rs, es := newSigner("RS256"), newSigner("ES256")
	client := func(id string) m { return m{"iss": id, "sub": id} }
	ahead := func(d time.Duration) int64 { return start.Add(d).Unix() }
	c := newClients(t)
	okta := newClients(t, func(cfg *verify.ClientsConfig) {
		cfg.Leeway, cfg.OptionalID, cfg.Algorithms = -1, true, []string{"RS256", "ES256"}
	})
	signed, _ := cutSignature(rs.assertion(nil, nil))
	for _, tt := range []struct {
		name      string
		assertion string
		want      verify.Reason
		okta      verify.Reason
	}{
		{"good", rs.assertion(nil, nil), "", ""},
		{"second key", es.assertion(m{"kid": "2"}, nil), "", ""},
		{"only key, not named", rs.assertion(m{"kid": absent}, client("0oa2")), "", ""},
		{"typ", rs.assertion(m{"typ": "client-authentication+jwt"}, nil), "", ""},
		{"one of several keys, not named", rs.assertion(m{"kid": absent}, nil), verify.AssertionKeyID, verify.AssertionKeyID},
		{"unknown kid", rs.assertion(m{"kid": "3"}, nil), verify.AssertionKeyID, verify.AssertionKeyID},
		{"unknown kid of an only key", rs.assertion(m{"kid": "3"}, client("0oa2")), verify.AssertionKeyID, verify.AssertionKeyID},
		{"kid a number", rs.assertion(m{"kid": 1}, client("0oa2")), verify.AssertionKeyID, verify.AssertionKeyID},
		{"malformed", "x.y.z", verify.AssertionMalformed, verify.AssertionMalformed},
		{"empty", "", verify.AssertionMalformed, verify.AssertionMalformed},
		{"too large", rs.assertion(nil, m{"a": strings.Repeat("x", 16<<10)}), verify.AssertionMalformed, verify.AssertionMalformed},
		{"none", rs.assertion(m{"alg": "none"}, nil), verify.AssertionAlgorithm, verify.AssertionAlgorithm},
		{"HS256", rs.assertion(m{"alg": "HS256"}, nil), verify.AssertionAlgorithm, verify.AssertionAlgorithm},
		{"PS256", signer{"PS256", rs.key}.assertion(nil, nil), "", verify.AssertionAlgorithm},
		{"alg of another key", rs.assertion(m{"alg": "ES256"}, nil), verify.AssertionAlgorithm, verify.AssertionAlgorithm},
		{"no iss", rs.assertion(nil, m{"iss": absent}), verify.AssertionIssuer, verify.AssertionIssuer},
		{"empty iss", rs.assertion(nil, client("")), verify.AssertionIssuer, verify.AssertionIssuer},
		{"unknown client", rs.assertion(nil, client("0oa9")), verify.AssertionIssuer, verify.AssertionIssuer},
		{"client without keys", rs.assertion(nil, client("0oa3")), verify.AssertionNoKeys, verify.AssertionNoKeys},
		{"no keys to be had", rs.assertion(nil, client("0oa4")), verify.KeysUnavailable, verify.KeysUnavailable},
		{"by another key", es.assertion(m{"kid": "1", "alg": "RS256"}, nil), verify.AssertionSignature, verify.AssertionSignature},
		{"not signed", signed + ".", verify.AssertionSignature, verify.AssertionSignature},
		{"sub of another", rs.assertion(nil, m{"sub": "0oa2"}), verify.AssertionSubject, verify.AssertionSubject},
		{"no sub", rs.assertion(nil, m{"sub": absent}), verify.AssertionSubject, verify.AssertionSubject},
		{"aud in a list", rs.assertion(nil, m{"aud": []string{origin + "/token"}}), "", ""},
		{"aud the issuer", rs.assertion(nil, m{"aud": origin}), "", ""},
		{"aud another", rs.assertion(nil, m{"aud": origin + "/token/"}), verify.AssertionAudience, verify.AssertionAudience},
		{"aud another too", rs.assertion(nil, m{"aud": []string{origin + "/token", "https://evil.example"}}), verify.AssertionAudience, verify.AssertionAudience},
		{"no aud", rs.assertion(nil, m{"aud": absent}), verify.AssertionAudience, verify.AssertionAudience},
		{"aud of numbers", rs.assertion(nil, m{"aud": []int{1}}), verify.AssertionAudience, verify.AssertionAudience},
		{"no exp", rs.assertion(nil, m{"exp": absent}), verify.AssertionNoExpiry, verify.AssertionNoExpiry},
		{"exp a string", rs.assertion(nil, m{"exp": "1795413600"}), verify.AssertionNoExpiry, verify.AssertionNoExpiry},
		{"exp now", rs.assertion(nil, m{"exp": ahead(0)}), verify.AssertionExpired, verify.AssertionExpired},
		{"exp in an instant", rs.assertion(nil, m{"exp": ahead(time.Second)}), "", ""},
		{"exp in an hour", rs.assertion(nil, m{"exp": ahead(time.Hour)}), "", ""},
		{"exp in more than an hour", rs.assertion(nil, m{"exp": ahead(time.Hour + time.Second)}), verify.AssertionTooLong, verify.AssertionTooLong},
		{"iat ahead, within skew", rs.assertion(nil, m{"iat": ahead(5 * time.Second)}), "", verify.AssertionIssuedAt},
		{"iat ahead", rs.assertion(nil, m{"iat": ahead(6 * time.Second)}), verify.AssertionIssuedAt, verify.AssertionIssuedAt},
		{"iat a string", rs.assertion(nil, m{"iat": "now"}), verify.AssertionIssuedAt, verify.AssertionIssuedAt},
		{"no iat", rs.assertion(nil, m{"iat": absent}), "", ""},
		{"nbf past", rs.assertion(nil, m{"nbf": ahead(-time.Hour)}), "", ""},
		{"nbf ahead", rs.assertion(nil, m{"nbf": ahead(6 * time.Second)}), verify.AssertionNotYet, verify.AssertionNotYet},
		{"no jti", rs.assertion(nil, m{"jti": absent}), verify.AssertionID, ""},
		{"empty jti", rs.assertion(nil, m{"jti": ""}), verify.AssertionID, verify.AssertionID},
		{"long jti", rs.assertion(nil, m{"jti": strings.Repeat("x", 257)}), verify.AssertionID, verify.AssertionID},
	} {
		for dialect, clients := range map[*verify.Clients]verify.Reason{c: tt.want, okta: tt.okta} {
			got, err := dialect.Assertion(t.Context(), tt.assertion, origin, origin+"/token")
			if reasonOf(err) != clients {
				t.Errorf("%s (Okta: %t): %v, want %q", tt.name, dialect == okta, err, clients)
			}
			if (got == nil) != (err != nil) {
				t.Errorf("%s: Assertion() = %v and error %v", tt.name, got, err)
			}
		}
	}
	got, err := newClients(t).Assertion(t.Context(), es.assertion(m{"kid": "2"}, m{"jti": "x"}), origin+"/token")
	want := verify.Assertion{ClientID: "0oa1", KeyID: "2", ID: "x", Expiry: start.Add(5 * time.Minute)}
	if err != nil || got.ClientID != want.ClientID || got.KeyID != want.KeyID || got.ID != want.ID || !got.Expiry.Equal(want.Expiry) {
		t.Errorf("Assertion() = %+v, %v, want %+v", got, err, want)
	}
}

func TestD41_AssertionReplay(t *testing.T) {
	s := newSigner("RS256")
	now := start
	c := newClients(t, func(cfg *verify.ClientsConfig) { cfg.Now = func() time.Time { return now } })
	check := func(assertion string, want verify.Reason) {
		t.Helper()
		if _, err := c.Assertion(t.Context(), assertion, origin+"/token"); reasonOf(err) != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
	spent := m{"jti": "1"}
	check(s.assertion(nil, spent.with(m{"aud": "x"})), verify.AssertionAudience) // does not spend it
	check(s.assertion(nil, spent), "")
	check(s.assertion(nil, spent), verify.AssertionReplayed)
	check(s.assertion(nil, m{"jti": "1", "iss": "0oa2", "sub": "0oa2"}), "") // another client's
	now = start.Add(5*time.Minute - time.Second)
	check(s.assertion(nil, spent), verify.AssertionReplayed) // to the end of its life
	full := newClients(t, func(cfg *verify.ClientsConfig) { cfg.Replay = verify.NewReplayCache(1) })
	for _, want := range []verify.Reason{"", verify.ReplayUnavailable} {
		if _, err := full.Assertion(t.Context(), s.assertion(nil, nil), origin+"/token"); reasonOf(err) != want {
			t.Errorf("cache of one: %v, want %q", err, want)
		}
	}
}
