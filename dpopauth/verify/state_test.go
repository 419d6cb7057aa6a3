package verify_test

import (
	"crypto/ecdsa"
	"errors"
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
		// The same jti with another encoding, time and signature.
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
			{4, 0, 10, "full"}, // entries are not dropped early
			{2, 0, 10, "seen"}, {1, 10, 30, "seen"},
			{4, 10, 20, "full"}, // until is inclusive
			{4, 11, 15, "new"},  // 2 has expired
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
	t.Run("leaves room afterwards", func(t *testing.T) {
		c := verify.NewReplayCache(0)
		for _, step := range []struct {
			now  int
			want string
		}{{0, "new"}, {10, "seen"}, {11, "new"}, {12, "seen"}} {
			now := start.Add(time.Duration(step.now) * time.Second)
			if got := add(c, 1, now, now.Add(10*time.Second)); got != step.want {
				t.Errorf("at %d: %s, want %s", step.now, got, step.want)
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
		for n := range 20 * most { // each entry expires after a minute
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
	check(first, "") // valid for many proofs

	now = now.Add(time.Hour)
	renewed := nonces.Nonce()
	if renewed == first {
		t.Error("nonce is the same an hour later")
	}
	check(renewed, "")
	check(first, "")
	now = start.Add(3 * time.Hour)
	check(first, "") // until it expires
	now = now.Add(time.Second)
	check(first, verify.NonceExpired)
	check(renewed, "")

	before := nonces.Nonce()
	nonces.Rotate()
	check(before, "")
	check(renewed, verify.NonceExpired) // two rotations ago
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
	for range 100 { // servers that start at the same time
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

func TestD97_CurrentNonceIsValid(t *testing.T) {
	now := start.Truncate(5 * time.Minute)
	nonces := verify.NewNonces(verify.NonceConfig{Valid: time.Minute, Now: func() time.Time { return now }})
	for range 20 {
		if err := nonces.Check(nonces.Nonce()); err != nil {
			t.Errorf("the current nonce, %v into its time: %v", now.Sub(start), err)
		}
		now = now.Add(31 * time.Second)
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

// TestVerifierUnderLoad uses all shared state concurrently.
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
		{"valid", bound(token), token, s.thumbprint(), ""},
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
