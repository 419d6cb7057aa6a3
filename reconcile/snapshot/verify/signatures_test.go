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
	"oktasync/reconcile/snapshot/sign"
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
	if _, err := storetest.Reconcile(t, unsigned, storetest.Day(4), storetest.People(4)...); err == nil || !strings.Contains(err.Error(), "the configuration has no signing key") {
		t.Errorf("publish without a key: %v", err)
	}
	problems, _ = storetest.VerifyWith(t, storetest.ThreeDays(t), anchor)
	if want := []string{"staff/checkpoint: is not signed", "staff: snapshots from sequence 1 to 3 are not signed"}; !slices.Equal(problems, want) {
		t.Errorf("an unsigned store with allowed signers: %q", problems)
	}
}

// A key can be replaced: allowed_signers contains the times.
func TestSignerRotation(t *testing.T) {
	old, next := storetest.NewSigner(t), storetest.NewSigner(t)
	s := storetest.SignedDays(t, old)
	both := storetest.Allow(t, "archive "+old.PublicKey(), "archive "+next.PublicKey())
	again := storetest.Init(t, s.Dir(), snapshot.Options{Signer: next, Allowed: both})
	rotated := storetest.Publish(t, again, storetest.Day(4), storetest.People(4)...).Manifest.Signed.Format("20060102150405Z")
	problems, sum := storetest.VerifyWith(t, s, verify.Options{Signers: storetest.Allow(t,
		`archive valid-before="`+rotated+`" `+old.PublicKey(), `archive valid-after="`+rotated+`" `+next.PublicKey())})
	if len(problems) > 0 || len(sum.Signed) != 2 || sum.Signed[1].Manifests != 1 {
		t.Errorf("Verify: %q, %+v", problems, sum.Signed)
	}
}

// Verify rejects a signature by the same key for another purpose.
func TestVerifyFindsOtherNamespace(t *testing.T) {
	key := storetest.NewKey(t)
	signer, err := sign.Load(key)
	storetest.Must(t, err)
	s := storetest.SignedDays(t, signer)
	manifest := s.Path(staff, third, "manifest.json")
	signature, err := signWith(key, "file", []byte(storetest.Read(t, manifest)))
	storetest.Must(t, err)
	storetest.Write(t, manifest+".sig", string(signature))
	problems, _ := storetest.Verify(t, s)
	if len(problems) != 1 || !strings.Contains(problems[0], `was made for "file"`) {
		t.Errorf("found %q", problems)
	}
}

// Heads that are noted elsewhere show that a chain was created again or cut.
func TestVerifyHeads(t *testing.T) {
	noted := func(s *snapshot.Store) snapshot.Head {
		c, err := s.Checkpoint(staff)
		storetest.Must(t, err)
		return c.Head()
	}
	s, other := storetest.ThreeDays(t), storetest.ThreeDays(t)
	theirs := noted(other)
	old := noted(s)
	storetest.Publish(t, s, storetest.Day(4), storetest.People(3)...)
	newer, journal := old, old
	newer.Sequence, newer.Lines = 9, 99
	journal.Line = theirs.Line
	lines := old
	lines.Lines = 99
	for _, test := range []struct {
		name, export string
		head         snapshot.Head
		want         string
	}{
		{"old", staff, old, ""},
		{"another export's", "others", theirs, ""},
		{"a fork", staff, theirs, "sequence 3 has another manifest: there are two chains, forked at 3 or before"},
		{"newer", staff, newer, "its chain ends at sequence 4"},
		{"more lines", staff, lines, "its journal ends at line 8"},
		{"another journal", staff, journal, "line 6 of its journal is another one"},
	} {
		test.head.Export = test.export
		problems, _ := storetest.VerifyWith(t, s, verify.Options{Heads: []snapshot.Head{test.head}})
		if (test.want == "") != (len(problems) == 0) || test.want != "" && !strings.Contains(problems[0], test.want) {
			t.Errorf("%s: %q, want %q", test.name, problems, test.want)
		}
	}
}

func signWith(keyFile, namespace string, data []byte) ([]byte, error) {
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
