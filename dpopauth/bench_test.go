package dpopauth_test

import (
	"crypto"
	"crypto/rand"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth"
)

// benched lists the keys whose proofs are measured, and the cheapest signature of
// the standard library with the same key. For ECDSA that is RFC 6979. A P-256
// signature costs with Go 1.26:
//
//	Sign(nil, …), RFC 6979       22 µs  55 allocations  3.9 KB
//	Sign(rand.Reader, …)         27 µs  59 allocations  6.1 KB
//	SignASN1(rand.Reader, …)     27 µs  59 allocations  6.1 KB
//	Sign(rand.Reader, …) to r, s 28 µs  63 allocations  6.3 KB
//
// Most allocations are in the random generator (HMAC_DRBG) of each signature. So
// the test limits only what a proof adds.
var benched = []struct {
	name   string
	signer func() crypto.Signer
	random io.Reader
	opts   crypto.SignerOpts
	input  int // length of the signed input
}{
	{"ES256", func() crypto.Signer { return p256() }, nil, crypto.SHA256, 32},
	{"RS256", func() crypto.Signer { return rsa1() }, rand.Reader, crypto.SHA256, 32},
	{"Ed25519", func() crypto.Signer { return ed() }, rand.Reader, crypto.Hash(0), 600},
}

const (
	benchURL   = "https://acme.okta.com/api/v1/users"
	benchNonce = "wQ5hW9qS3vTtWb0lEoK8Zy1uXcJr2NfA"
)

// BenchmarkProof measures proofs and signatures with the same key. The metric
// "x-bare" is their ratio.
func BenchmarkProof(b *testing.B) {
	for _, k := range benched {
		b.Run(k.name, func(b *testing.B) {
			prove, bare := provers(b, k.signer(), k.random, k.opts, k.input)
			b.ReportAllocs()
			var proofs, signatures []time.Duration
			for b.Loop() {
				start := time.Now()
				prove()
				mid := time.Now()
				bare()
				signatures = append(signatures, time.Since(mid))
				proofs = append(proofs, mid.Sub(start))
			}
			p, s := median(proofs), median(signatures)
			b.ReportMetric(float64(p)/float64(s), "x-bare")
			b.ReportMetric(float64(p), "ns/proof")
			b.ReportMetric(float64(s), "ns/bare")
			b.ReportMetric(0, "ns/op") // of both together, so meaningless
		})
	}
}

// median is less affected by other load than the mean.
func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func provers(tb testing.TB, s crypto.Signer, random io.Reader, opts crypto.SignerOpts, n int) (prove, bare func()) {
	tb.Helper()
	key, ath, now := newKey(tb, s), hash("token"), time.Now()
	input := make([]byte, n)
	prove = func() {
		if _, err := dpopauth.NewProof(key, benchURL, ath, benchNonce, now); err != nil {
			panic(err)
		}
	}
	bare = func() {
		if _, err := s.Sign(random, input, opts); err != nil {
			panic(err)
		}
	}
	return prove, bare
}

func TestD111_CostOfAProof(t *testing.T) {
	prove, bare := provers(t, p256(), nil, crypto.SHA256, 32)
	if raceEnabled {
		t.Skip("with -race, sync.Pool drops values at random")
	}
	if n := testing.AllocsPerRun(200, prove) - testing.AllocsPerRun(200, bare); n > 12 {
		t.Errorf("allocations beyond the signature's = %v, want at most 12", n)
	}
	if n := octets(prove) - octets(bare); n > 5<<9 {
		t.Errorf("octets beyond the signature's = %d, want at most 2560", n)
	}
}

// octets returns how many octets f allocates.
func octets(f func()) int64 {
	const runs = 200
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc-before.TotalAlloc) / runs
}

func TestD8_IDsAreLongAndUnique(t *testing.T) {
	ids := map[string]bool{}
	for range 2 { // a second Transport, as after a restart
		tr := capture(t, newKey(t, ed()), "https://rs.example", func(r *http.Request) {
			_, claims, _ := parts(t, r.Header.Get("DPoP"))
			id := object(t, claims)["jti"].(string)
			if len(id) != 26 || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
				t.Errorf("jti = %q, want 26 characters of 5 random bits", id)
			}
			ids[id] = true
		})
		for range 1000 {
			do(t, tr, "https://rs.example/")
		}
	}
	if len(ids) != 2000 {
		t.Errorf("different ids = %d, want 2000", len(ids))
	}
}

func TestD111_MemoryIsFlat(t *testing.T) {
	tr := capture(t, newKey(t, ed()), "https://rs.example", nil)
	heap := func() uint64 {
		for range scaled(2_000, 200_000) {
			do(t, tr, "https://rs.example/api/v1/users")
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	if before, after := heap(), heap(); after > before+256<<10 {
		t.Errorf("heap grew from %d to %d bytes", before, after)
	}
}
