package verify_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

func TestSigned(t *testing.T) {
	signer := storetest.NewSigner(t)
	s := storetest.SignedDays(t, signer)
	problems, sum := storetest.VerifyWith(t, s, verify.Options{})
	if want := []verify.Signed{{Export: staff, Fingerprint: signer.Fingerprint(), Manifests: 3}}; len(problems) > 0 || !slices.Equal(sum.Signed, want) {
		t.Errorf("without allowed signers: %q, %+v", problems, sum.Signed)
	}
	anchor := verify.Options{Signers: storetest.Allow(t, "archive "+signer.PublicKey())}
	problems, sum = storetest.VerifyWith(t, s, anchor)
	if want := []verify.Signed{{Export: staff, Fingerprint: signer.Fingerprint(), Principals: "archive", Manifests: 3}}; len(problems) > 0 || !slices.Equal(sum.Signed, want) {
		t.Errorf("with allowed signers: %q, %+v", problems, sum.Signed)
	}

	unsigned := storetest.Init(t, s.Dir(), snapshot.Options{})
	if _, err := storetest.Reconcile(t, unsigned, storetest.Day(4), storetest.People(4)...); err == nil || !strings.Contains(err.Error(), "is signed, and no key is configured") {
		t.Errorf("publish without a key: %v", err)
	}
	problems, _ = storetest.VerifyWith(t, storetest.ThreeDays(t), anchor)
	if want := "staff@20261125T060000Z/manifest.json: is not signed, so no allowed signer vouches for the chain up to it"; !slices.Equal(problems, []string{want}) {
		t.Errorf("an unsigned store with allowed signers: %q", problems)
	}
}

// A key can be replaced: allowed_signers contains the times.
func TestSignerRotation(t *testing.T) {
	old, next := storetest.NewSigner(t), storetest.NewSigner(t)
	s := storetest.SignedDays(t, old)
	again := storetest.Init(t, s.Dir(), snapshot.Options{Signer: next})
	storetest.Publish(t, again, storetest.Day(4), storetest.People(4)...)
	problems, sum := storetest.VerifyWith(t, s, verify.Options{Signers: storetest.Allow(t,
		`archive valid-before="20261126Z" `+old.PublicKey(), `archive valid-after="20261126Z" `+next.PublicKey())})
	if len(problems) > 0 || len(sum.Signed) != 2 || sum.Signed[1].Manifests != 1 {
		t.Errorf("Verify: %q, %+v", problems, sum.Signed)
	}
}

// Verify rejects a signature by the same key for another purpose.
func TestVerifyFindsOtherNamespace(t *testing.T) {
	key := storetest.NewKey(t)
	signer, err := snapshot.LoadSigner(key)
	storetest.Must(t, err)
	s := storetest.SignedDays(t, signer)
	manifest := s.Path(staff, third, "manifest.json")
	signature, err := sign(key, "file", []byte(storetest.Read(t, manifest)))
	storetest.Must(t, err)
	storetest.Write(t, manifest+".sig", string(signature))
	problems, _ := storetest.Verify(t, s)
	if len(problems) != 1 || !strings.Contains(problems[0], `was made for "file"`) {
		t.Errorf("found %q", problems)
	}
}

// Heads that are recorded elsewhere reveal a chain that was rewritten or cut.
func TestVerifyHeads(t *testing.T) {
	s, other := storetest.ThreeDays(t), storetest.ThreeDays(t)
	heads := func(s *snapshot.Store) (heads []verify.Head) {
		list, err := s.List(staff)
		storetest.Must(t, err)
		for _, snap := range list {
			heads = append(heads, verify.Head{Export: staff, Sequence: snap.Manifest.Sequence, Digest: snap.Digest})
		}
		return heads
	}
	ours, theirs := heads(s), heads(other)
	for _, test := range []struct {
		name  string
		heads []verify.Head
		want  string
	}{
		{"ours", ours, ""},
		{"another export's", []verify.Head{{Export: "others", Sequence: 9}}, ""},
		{"a fork", theirs[1:2], "two chains, forked at 2 or before"},
		{"both", []verify.Head{ours[2], theirs[2]}, "staff: two heads noted for sequence 3 differ"},
		{"newer", []verify.Head{{Export: staff, Sequence: 4, Digest: "ab"}}, "staff: ends at sequence 3, and the head noted has 4"},
	} {
		problems, _ := storetest.VerifyWith(t, s, verify.Options{Heads: test.heads})
		if (test.want == "") != (len(problems) == 0) || test.want != "" && !strings.Contains(problems[0], test.want) {
			t.Errorf("%s: %q, want %q", test.name, problems, test.want)
		}
	}
}

// sign signs data with the key in a file.
func sign(keyFile, namespace string, data []byte) ([]byte, error) {
	pem, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return nil, err
	}
	signature, err := sshsig.Sign(bytes.NewReader(data), key, sshsig.HashSHA512, namespace)
	if err != nil {
		return nil, err
	}
	return sshsig.Armor(signature), nil
}
