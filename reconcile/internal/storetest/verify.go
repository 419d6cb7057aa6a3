package storetest

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/sign"
	"oktasync/reconcile/snapshot/verify"
)

// Verify returns the findings of a verify, problems and notes apart.
func Verify(t testing.TB, s *snapshot.Store) (problems, notes []string) {
	t.Helper()
	_, err := verify.Verify(t.Context(), s, verify.Options{}, func(f verify.Finding) {
		if f.Note {
			notes = append(notes, f.String())
		} else {
			problems = append(problems, f.String())
		}
	})
	Must(t, err)
	return problems, notes
}

// VerifyWith returns the problems and the summary of a verify with options.
func VerifyWith(t testing.TB, s *snapshot.Store, o verify.Options) (problems []string, sum verify.Summary) {
	t.Helper()
	sum, err := verify.Verify(t.Context(), s, o, func(f verify.Finding) {
		if !f.Note {
			problems = append(problems, f.String())
		}
	})
	Must(t, err)
	return problems, sum
}

// CheckOK reports every finding of a verify as an error, except that a snapshot isn't
// reconciled.
func CheckOK(t testing.TB, s *snapshot.Store) {
	t.Helper()
	problems, notes := Verify(t, s)
	notes = slices.DeleteFunc(notes, func(note string) bool { return strings.Contains(note, " is not reconciled: ") })
	if len(problems)+len(notes) > 0 {
		t.Errorf("Verify: %q %q", problems, notes)
	}
}

// KeyFile writes a private key as OpenSSH does, and returns its path.
func KeyFile(t testing.TB, key crypto.PrivateKey) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	Must(t, err)
	path := filepath.Join(t.TempDir(), "signing-key")
	Write(t, path, string(pem.EncodeToMemory(block)))
	return path
}

// NewKey writes a new Ed25519 key, and returns its path.
func NewKey(t testing.TB) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	Must(t, err)
	return KeyFile(t, key)
}

// NewSigner returns a signer with a new key.
func NewSigner(t testing.TB) *sign.Signer {
	t.Helper()
	s, err := sign.Load(NewKey(t))
	Must(t, err)
	return s
}

// SignedDays returns a store with three signed snapshots of users.
func SignedDays(t testing.TB, signer *sign.Signer) *snapshot.Store {
	t.Helper()
	s := Init(t, filepath.Join(t.TempDir(), "snapshots"), snapshot.Options{Signer: signer})
	for n := 1; n <= 3; n++ {
		Publish(t, s, Day(n), People(n)...)
	}
	return s
}

// Allow returns allowed signers with these lines.
func Allow(t testing.TB, lines ...string) *sign.AllowedSigners {
	t.Helper()
	a, err := sign.ParseAllowedSigners([]byte(strings.Join(lines, "\n") + "\n"))
	Must(t, err)
	return a
}
