package dpopauth_test

import (
	"crypto"
	"crypto/rand"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"oktasync/dpopauth"
)

// benched are the keys whose proofs are measured, and how the same key signs a
// digest, or for Ed25519 the signing input itself, at the least cost that the
// standard library has: ECDSA by RFC 6979. Per P-256 signature with Go 1.26:
//
//	Sign(nil, …), RFC 6979       22 µs  55 allocations  3.9 KB
//	Sign(rand.Reader, …)         27 µs  59 allocations  6.1 KB
//	SignASN1(rand.Reader, …)     27 µs  59 allocations  6.1 KB
//	Sign(rand.Reader, …) to r, s 28 µs  63 allocations  6.3 KB
//
// whether the key was generated, parsed or made of its octets. Most of them are
// those of the generator (HMAC_DRBG) that each signature has of its own. So an
// ES256 proof can't have 25 allocations and 4 KB in all; what is bounded is what
// it adds. In time it is less than a signature with randomness takes alone.
var benched = []struct {
	name   string
	signer func() crypto.Signer
	random io.Reader
	opts   crypto.SignerOpts
	input  int // octets that the bare signature is over
}{
	{"ES256", func() crypto.Signer { return p256() }, nil, crypto.SHA256, 32},
	{"RS256", func() crypto.Signer { return rsa1() }, rand.Reader, crypto.SHA256, 32},
	{"Ed25519", func() crypto.Signer { return ed() }, rand.Reader, crypto.Hash(0), 600},
}

const (
	benchURL   = "https://acme.okta.com/api/v1/users"
	benchNonce = "wQ5hW9qS3vTtWb0lEoK8Zy1uXcJr2NfA"
)

// BenchmarkProof measures proofs, and in the same run bare signatures by the same
// key: the metric "x-bare" is their ratio.
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
			b.ReportMetric(0, "ns/op") // of both together: says nothing
		})
	}
}

// median is what a busy machine distorts least.
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

// The signature itself is crypto/ecdsa's (see benched). What a proof adds is ours.
func TestD111_CostOfAProof(t *testing.T) {
	prove, bare := provers(t, p256(), nil, crypto.SHA256, 32)
	if raceEnabled {
		t.Skip("sync.Pool forgets at random here, that of encoding/json too")
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
