package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"oktasync/dpopauth/verify"
)

// The tests build proofs from JSON and signatures, so that they can contain every
// error and share no code with the package.

const origin = "https://api.example.com"

// start is the current time of the tests.
var start = time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)

func at(now time.Time) func() time.Time { return func() time.Time { return now } }

// m is a JSON object. The value absent in an edit removes a member.
type m map[string]any

var absent = new(int)

func (o m) with(edits m) m {
	all := m{}
	for _, source := range []m{o, edits} {
		for name, value := range source {
			if all[name] = value; value == absent {
				delete(all, name)
			}
		}
	}
	return all
}

func (o m) json() string {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// A signer makes proofs, assertions and tokens.
type signer struct {
	alg string
	key crypto.Signer
}

var newSigner = func() func(alg string) signer {
	var mu sync.Mutex
	keys := map[string]crypto.Signer{}
	return func(alg string) signer {
		mu.Lock()
		defer mu.Unlock()
		if keys[alg] == nil {
			keys[alg] = generate(alg)
		}
		return signer{alg, keys[alg]}
	}
}()

// generate returns a new key for alg.
func generate(alg string) (key crypto.Signer) {
	var err error
	switch alg {
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA", "Ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		panic(err)
	}
	return key
}

func (s signer) jwk() m { return jwkOf(s.key.Public()) }

func jwkOf(key crypto.PublicKey) m {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			panic(err)
		}
		half := len(point) / 2
		return m{"kty": "EC", "crv": key.Params().Name, "x": encode(point[1 : 1+half]), "y": encode(point[1+half:])}
	case *rsa.PublicKey:
		return m{"kty": "RSA", "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes())}
	case ed25519.PublicKey:
		return m{"kty": "OKP", "crv": "Ed25519", "x": encode(key)}
	}
	panic(fmt.Sprintf("no JWK for %T", key))
}

func (s signer) thumbprint() string {
	thumbprint, err := verify.Thumbprint(s.key.Public())
	if err != nil {
		panic(err)
	}
	return thumbprint
}

var hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}

func (s signer) signature(signed string) []byte {
	hash := hashes[s.alg[2:]]
	if s.alg == "EdDSA" || s.alg == "Ed25519" {
		hash = 0
	}
	digest := []byte(signed)
	opts := crypto.SignerOpts(hash)
	if hash != 0 {
		h := hash.New()
		h.Write(digest)
		digest = h.Sum(nil)
	}
	if strings.HasPrefix(s.alg, "PS") {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	if key, ok := s.key.(*ecdsa.PrivateKey); ok {
		r, ss, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			panic(err)
		}
		return joinRS(key.Curve, r, ss)
	}
	signature, err := s.key.Sign(rand.Reader, digest, opts)
	if err != nil {
		panic(err)
	}
	return signature
}

// joinRS returns R‖S.
func joinRS(curve elliptic.Curve, r, s *big.Int) []byte {
	width := (curve.Params().BitSize + 7) / 8
	out := make([]byte, 2*width)
	r.FillBytes(out[:width])
	s.FillBytes(out[width:])
	return out
}

// derOf returns a signature R‖S as ASN.1.
func derOf(raw []byte) []byte {
	half := len(raw) / 2
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
	if err != nil {
		panic(err)
	}
	return der
}

// sign returns a compact JWS.
func (s signer) sign(header, claims string) string {
	signed := encode([]byte(header)) + "." + encode([]byte(claims))
	return signed + "." + encode(s.signature(signed))
}

var lastID int
var lastIDMu sync.Mutex

func newID() string {
	lastIDMu.Lock()
	defer lastIDMu.Unlock()
	lastID++
	return fmt.Sprintf("id-%d", lastID)
}

// header and claims return those of a valid proof for POST /token at start.
func (s signer) header() m { return m{"typ": "dpop+jwt", "alg": s.alg, "jwk": s.jwk()} }

func claims() m {
	return m{"jti": newID(), "htm": "POST", "htu": origin + "/token", "iat": start.Unix()}
}

// proof returns a proof that is valid except for edits.
func (s signer) proof(header, edits m) string {
	return s.sign(s.header().with(header).json(), claims().with(edits).json())
}

// request returns a request to the token endpoint with proofs.
func request(proofs ...string) *http.Request {
	return requestTo("POST", "/token", proofs...)
}

func requestTo(method, target string, proofs ...string) *http.Request {
	r := httptest.NewRequest(method, target, http.NoBody)
	for _, proof := range proofs {
		r.Header.Add("DPoP", proof)
	}
	return r
}

// newVerifier returns a Verifier with start as current time.
func newVerifier(t testing.TB, edits ...func(*verify.Config)) *verify.Verifier {
	t.Helper()
	cfg := verify.Config{Origin: origin, Now: at(start)}
	for _, edit := range edits {
		edit(&cfg)
	}
	v := must(verify.New(cfg))
	return v
}

// reasonOf returns the Reason of err, "" for nil.
func reasonOf(err error) verify.Reason {
	var refusal *verify.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refusal):
		return refusal.Reason
	}
	return verify.Reason("not a rejection: " + err.Error())
}

// wantReason checks that a proof for POST /token is rejected with want, or passes
// if want is empty.
func wantReason(t testing.TB, v *verify.Verifier, proof string, want verify.Reason) {
	t.Helper()
	got, err := v.Proof(request(proof))
	if reasonOf(err) != want {
		t.Errorf("Proof() = %v, want %q", err, want)
	}
	if (got == nil) != (err != nil) {
		t.Errorf("Proof() = %v and error %v", got, err)
	}
}
