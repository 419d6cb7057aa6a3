package dpopauth_test

import (
	"crypto"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/dpopauth"
)

func TestD35_DPoPKeyIsNotTheClientKey(t *testing.T) {
	o := newOrg(t)
	cfg := o.config()
	cfg.DPoPKey = clientKey().WithID("other-name")
	_, err := dpopauth.New(cfg)
	wantError(t, err, "the DPoP key is the client key")
	cfg.Bearer = true // without proofs
	if _, err := dpopauth.New(cfg); err != nil {
		t.Error(err)
	}
}

func TestD38_KidIsOnlyInTheAssertion(t *testing.T) {
	for _, test := range []struct{ id, want string }{{"", ""}, {"k-1", "k-1"}, {`quoted "kid" <&>`, `quoted "kid" <&>`}} {
		o := newOrg(t, func(o *org) { o.client = clientKey().WithID(test.id) })
		mustGet(t, o.transport(), o.URL+"/a")
		s := o.tokenRequests()[0]
		if kid, ok := s.jose["kid"]; ok != (test.want != "") || ok && kid != test.want {
			t.Errorf("kid = %v, want %q", kid, test.want)
		}
		if _, ok := s.proof.header["kid"]; ok {
			t.Error("the proof has a kid")
		}
	}
	t.Run("invalid_client", func(t *testing.T) {
		o := newOrg(t)
		o.token = func(w http.ResponseWriter, _ *seen) bool {
			o.oauthError(w, 401, "invalid_client", "The client_assertion signature is invalid.")
			return true
		}
		_, _, err := get(t, o.transport(), o.URL+"/a")
		hint := asError(t, err).Hint()
		for _, word := range []string{"client-1", clientKey().Thumbprint(), "0oa1"} {
			if !strings.Contains(hint, word) {
				t.Errorf("hint = %q, want %s in it", hint, word)
			}
		}
	})
}

// A farSigner behaves like a KMS: it exports no private key, and sign can block.
type farSigner struct {
	key  crypto.Signer
	sign func()
}

func (s farSigner) Public() crypto.PublicKey { return s.key.Public() }
func (s farSigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	s.sign()
	return s.key.Sign(r, digest, o)
}

func TestD39_AnySigner(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg.name, func(t *testing.T) {
			o := newOrg(t)
			far := must(newKey(t, farSigner{alg.signer(), func() {}}).WithAlgorithm(alg.name))
			mustGet(t, o.transport(withKey(far)), o.URL+"/a")
			if err := far.WriteFile(t.TempDir() + "/key"); err == nil {
				t.Error("a key that is elsewhere was written")
			}
		})
	}
	t.Run("its latency is outside locks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := newPipeOrg(t)
			slow := false
			key := newKey(t, farSigner{p256(), func() {
				if slow {
					time.Sleep(time.Second)
				}
			}})
			tr := o.transport(withKey(key))
			mustGet(t, tr, o.URL+"/a")
			slow = true
			start := time.Now()
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() { mustGet(t, tr, o.URL+"/a") })
			}
			wg.Wait()
			if took := time.Since(start); took != time.Second {
				t.Errorf("50 signatures of 1 s took %v, want 1 s", took)
			}
		})
	})
	t.Run("its failure is the caller's error", func(t *testing.T) {
		o := newOrg(t)
		fail := false
		key := newKey(t, flaky{p256(), &fail})
		tr := o.transport(withKey(key))
		mustGet(t, tr, o.URL+"/a")
		fail = true
		_, _, err := get(t, tr, o.URL+"/a")
		wantError(t, err, "sign with ES256: the KMS is away")
		o.wantRequests(1, 1)
	})
	bubble(t, "the client key's as well", func(t *testing.T, o *org, _ *dpopauth.Transport) {
		fail := false
		o.client = newKey(t, flaky{p256(), &fail})
		tr := o.transport()
		fail = true
		_, _, err := get(t, tr, o.URL+"/a")
		wantError(t, err, "get token: sign with ES256: the KMS is away")
		o.wantRequests(0, 0)
	})
}

// flaky fails while *fail is true.
type flaky struct {
	crypto.Signer
	fail *bool
}

func (f flaky) Sign(r io.Reader, d []byte, o crypto.SignerOpts) ([]byte, error) {
	if *f.fail {
		return nil, errors.New("the KMS is away")
	}
	return f.Signer.Sign(r, d, o)
}
