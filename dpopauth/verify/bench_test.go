package verify_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"

	"oktasync/dpopauth/verify"
)

// noReplays remembers nothing, so that one proof can be checked again and again.
type noReplays struct{}

func (noReplays) Add(context.Context, [32]byte, time.Time, time.Time) (bool, error) { return true, nil }

// BenchmarkProof sets the check of a whole proof against the check of its bare
// signature, in one run: "x-bare" is the ratio.
func BenchmarkProof(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		b.Run(alg, func(b *testing.B) {
			s := newSigner(alg)
			v := newVerifier(b, func(c *verify.Config) { c.Replay = noReplays{} })
			proof := s.proof(nil, m{"ath": verify.AccessTokenHash(fuzzToken)})
			r, thumbprint := request(proof), s.thumbprint()
			bare := bareCheck(s, proof)
			var inBare, inProof time.Duration
			b.ReportAllocs()
			for b.Loop() {
				began := time.Now()
				if !bare() {
					b.Fatal("signature does not verify")
				}
				between := time.Now()
				if _, err := v.BoundProof(r, fuzzToken, thumbprint); err != nil {
					b.Fatal(err)
				}
				inBare += between.Sub(began)
				inProof += time.Since(between)
			}
			b.ReportMetric(float64(inBare.Nanoseconds())/float64(b.N), "ns/bare")
			b.ReportMetric(float64(inProof.Nanoseconds())/float64(b.N), "ns/proof")
			b.ReportMetric(float64(inProof)/float64(inBare), "x-bare")
		})
	}
}

// bareCheck returns the least that has to be done: one signature over one digest.
func bareCheck(s signer, proof string) func() bool {
	signed, raw := cutSignature(proof)
	digest := sha256.Sum256([]byte(signed))
	switch key := s.key.Public().(type) {
	case *ecdsa.PublicKey:
		return func() bool { return ecdsa.VerifyASN1(key, digest[:], derOf(raw)) }
	case *rsa.PublicKey:
		return func() bool { return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], raw) == nil }
	case ed25519.PublicKey:
		return func() bool { return ed25519.Verify(key, []byte(signed), raw) }
	}
	panic("no such key")
}

// BenchmarkParallel shows what more processors bring: run it with -cpu 1,2.
func BenchmarkParallel(b *testing.B) {
	s := newSigner("ES256")
	v := newVerifier(b)
	proofs := make([]string, 4096)
	for i := range proofs {
		proofs[i] = s.proof(nil, nil)
	}
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			v.Proof(request(proofs[i%len(proofs)]))
		}
	})
}

// BenchmarkReplayCache measures one entry in a cache that is full all the time:
// each has to make room for itself.
func BenchmarkReplayCache(b *testing.B) {
	for _, size := range []struct {
		name string
		most int
	}{{"1k", 1 << 10}, {"256k", verify.DefaultReplays}} {
		b.Run(size.name, func(b *testing.B) {
			c := verify.NewReplayCache(size.most)
			var key [32]byte
			step := time.Minute / time.Duration(size.most)
			n := 0
			add := func() {
				binary.LittleEndian.PutUint64(key[:], uint64(n))
				now := start.Add(time.Duration(n) * step)
				if fresh, err := c.Add(context.Background(), key, now, now.Add(57*time.Second)); !fresh || err != nil {
					b.Fatal(fresh, err)
				}
				n++
			}
			for range size.most {
				add()
			}
			b.ReportAllocs()
			for b.Loop() {
				add()
			}
		})
	}
	b.Run("refusing", func(b *testing.B) {
		c := verify.NewReplayCache(verify.DefaultReplays)
		var key [32]byte
		for n := range verify.DefaultReplays {
			binary.LittleEndian.PutUint64(key[:], uint64(n))
			c.Add(context.Background(), key, start, start.Add(time.Minute))
		}
		key[31] = 1
		for b.Loop() {
			if _, err := c.Add(context.Background(), key, start, start.Add(time.Minute)); err == nil {
				b.Fatal("a full cache took one more")
			}
		}
	})
}
