// Package sign signs the manifests and checkpoints of a store with an Ed25519 key, and
// checks such signatures. They are SSH signatures (PROTOCOL.sshsig), as ssh-keygen makes
// and verifies them.
//
// Package snapshot signs what it writes. Package verify checks each signature against
// the allowed signers. Start reading at [Signer], [Verify] and [AllowedSigners].
package sign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// Namespaces of the signatures (PROTOCOL.sshsig, section 2). A signature for
// another namespace is rejected.
const (
	Snapshot   = "oktasync-snapshot@v1"
	Checkpoint = "oktasync-checkpoint@v1"

	namespacePattern = "oktasync-*@v1"
)

// MaxKey is the maximum size of the file of a key or a signature, in bytes.
const MaxKey = 64 << 10

// A Signer signs manifests with an Ed25519 key. This command verifies a
// signature:
//
//	ssh-keygen -Y verify -f allowed_signers -I WHO -n oktasync-snapshot@v1 -s manifest.json.sig < manifest.json
//
// Ed25519 signatures are deterministic: signing the same manifest again gives the same
// signature.
type Signer struct{ key ssh.Signer }

// Load reads an OpenSSH private key without a passphrase, as ssh-keygen
// -t ed25519 writes it. It returns an error if other users have access to the file. The
// group bits of a systemd credential (LoadCredential=) are ignored, because they show an
// access list for the service's user only. Errors contain no part of the key.
func Load(path string) (*Signer, error) {
	s, err := load(path)
	if err != nil {
		return nil, fmt.Errorf("load signing key %s: %w", path, err)
	}
	return s, nil
}

func load(path string) (*Signer, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO would block
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, cause(err)
	}
	others := info.Mode().Perm() & 0o077
	if isCredential(path) {
		others &= 0o007
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	case others != 0:
		return nil, fmt.Errorf("other users have access to it (mode %04o): run `chmod 600 %s`", info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxKey))
	defer clear(data)
	if err != nil {
		return nil, cause(err)
	}
	return parseSigner(data)
}

// NewKey generates a key and writes it to a new file with mode 0600, as ssh-keygen
// -t ed25519 does. If the file exists, NewKey returns an error and doesn't change it.
func NewKey(path string) (*Signer, error) {
	s, err := newKey(path)
	if err != nil {
		return nil, fmt.Errorf("make signing key %s: %w", path, err)
	}
	return s, nil
}

func newKey(path string) (*Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := ssh.MarshalPrivateKey(key, "oktasync")
	if err != nil {
		return nil, err
	}
	data := pem.EncodeToMemory(block)
	defer clear(data)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, cause(err)
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path) // it is incomplete, and would prevent another try
		return nil, cause(err)
	}
	return parseSigner(data)
}

func parseSigner(data []byte) (*Signer, error) {
	key, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, errors.New("it has a passphrase; use a key without a passphrase, or a systemd credential")
	case err != nil:
		return nil, errors.New("it is not an OpenSSH private key; create one with `ssh-keygen -t ed25519 -N '' -f FILE`")
	case key.PublicKey().Type() != ssh.KeyAlgoED25519:
		return nil, fmt.Errorf("its type is %s, not ssh-ed25519; create a key with `ssh-keygen -t ed25519 -N '' -f FILE`", key.PublicKey().Type())
	}
	return &Signer{key}, nil
}

// isCredential reports whether systemd passed the file.
func isCredential(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	rel, err := filepath.Rel(dir, path)
	return dir != "" && err == nil && filepath.IsLocal(rel)
}

// Key returns the public key.
func (s *Signer) Key() ssh.PublicKey { return s.key.PublicKey() }

// Fingerprint returns the SHA-256 fingerprint of the key, as ssh-keygen -l prints it.
func (s *Signer) Fingerprint() string { return ssh.FingerprintSHA256(s.key.PublicKey()) }

// PublicKey returns the type and the Base64 of the public key, as in a line of an
// allowed_signers file.
func (s *Signer) PublicKey() string {
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(s.key.PublicKey())))
}

// AllowedSigner returns a line for an allowed_signers file that allows the key of s to sign
// snapshots and checkpoints.
func (s *Signer) AllowedSigner(principal string) string {
	return fmt.Sprintf("%s namespaces=%q %s", principal, namespacePattern, s.PublicKey())
}

// Sign returns an armored SSHSIG over data.
func (s *Signer) Sign(data []byte, namespace string) ([]byte, error) {
	sig, err := sshsig.Sign(bytes.NewReader(data), s.key, sshsig.HashSHA512, namespace)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sshsig.Armor(sig), nil
}

// hasRest reports whether bytes follow a signature in its field, which ssh-keygen
// rejects. A security key has flags and a counter there (PROTOCOL.u2f).
func hasRest(sig *ssh.Signature) bool {
	return len(sig.Rest) > 0 && !strings.HasPrefix(sig.Format, "sk-")
}

// Verify checks an armored SSHSIG over data by the key with a fingerprint, and returns
// the key. An error continues the clause "the signature …".
func Verify(data, armored []byte, fingerprint, namespace string) (ssh.PublicKey, error) {
	sig, err := sshsig.Unarmor(armored)
	if err != nil || !bytes.Equal(sshsig.Armor(sig), armored) || hasRest(sig.Signature) {
		return nil, errors.New("is not in the form in which oktasync writes it")
	}
	if by := ssh.FingerprintSHA256(sig.PublicKey); by != fingerprint {
		return nil, fmt.Errorf("is by %s, and signed_by is %s", by, fingerprint)
	}
	err = sshsig.Verify(bytes.NewReader(data), sig, sig.PublicKey, sig.HashAlgorithm, namespace)
	switch {
	case errors.Is(err, sshsig.ErrNamespaceMismatch):
		return nil, fmt.Errorf("was made for %q, and must be for %q", sig.Namespace, namespace)
	case err != nil:
		return nil, errors.New("is not a signature of this content")
	}
	return sig.PublicKey, nil
}

// cause returns the cause of an error of the file system, without the path.
func cause(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
