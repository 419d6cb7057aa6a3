package sign_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot/sign"
	"oktasync/reconcile/snapshot/verify"
)

// ssh-keygen accepts the same signatures and allowed signers, and prints the same
// fingerprint.
func TestSSHKeygen(t *testing.T) {
	storetest.NeedProgram(t, "ssh-keygen")
	key := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "archive", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	signer, err := sign.Load(key)
	storetest.Must(t, err)
	if out, err := exec.Command("ssh-keygen", "-lf", key+".pub").Output(); err != nil || !strings.Contains(string(out), " "+signer.Fingerprint()+" ") {
		t.Errorf("ssh-keygen -l: %s, %v; want %s", out, err, signer.Fingerprint())
	}
	s := storetest.SignedDays(t, signer)
	latest := storetest.Find(t, s, "")
	public := signer.PublicKey()
	for _, test := range []struct {
		line string
		want string // part of the finding; "": accepted
	}{
		{"archive@acme.example " + public, ""},
		{`"archive@acme.example,ops@acme.example" ` + public + " comment", ""},
		{`* namespaces="file,oktasync-*" ` + public, ""},
		{`archive@acme.example valid-after="20261101Z",valid-before="209912010600Z" ` + public, ""},
		{`archive@acme.example valid-after="20990101Z" ` + public, "not valid yet"},
		{`archive@acme.example valid-before="20261122Z" ` + public, "no longer valid"},
		{`archive@acme.example namespaces="file" ` + public, "not allowed for oktasync-snapshot@v1"},
		{`archive@acme.example namespaces="*,!oktasync-*" ` + public, "not allowed for oktasync-snapshot@v1"},
		{"archive@acme.example " + storetest.NewSigner(t).PublicKey(), "not among the allowed signers"},
	} {
		problems, _ := storetest.VerifyWith(t, s, verify.Options{Signers: storetest.Allow(t, "# comment", "", test.line)})
		if test.want == "" && len(problems) > 0 || test.want != "" && (len(problems) != 4 || !strings.Contains(problems[1], test.want)) {
			t.Errorf("%s: %q, want %q", test.line, problems, test.want)
		}
		list := filepath.Join(t.TempDir(), "allowed_signers")
		storetest.Write(t, list, test.line+"\n")
		cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", list, "-I", "archive@acme.example", "-n", "oktasync-snapshot@v1",
			"-O", "verify-time="+latest.Manifest.Signed.Format("20060102150405Z"), "-s", filepath.Join(latest.Dir(), "manifest.json.sig"))
		cmd.Stdin = strings.NewReader(storetest.Read(t, latest.Dir(), "manifest.json"))
		if out, err := cmd.CombinedOutput(); (err == nil) != (test.want == "") {
			t.Errorf("%s: ssh-keygen says: %s", test.line, out)
		}
	}
}

// Load and ssh-keygen read a key of NewKey, and its line allows it.
func TestNewKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing-key")
	made, err := sign.NewKey(path)
	storetest.Must(t, err)
	loaded, err := sign.Load(path)
	if err != nil || loaded.Fingerprint() != made.Fingerprint() {
		t.Errorf("loaded = %v, %v, want the new key", loaded, err)
	}
	if _, err := sign.NewKey(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second key at the path: %v, want an error", err)
	}
	if err := storetest.Allow(t, made.AllowedSigner("archive@acme.example")).Allows(loaded, time.Now()); err != nil {
		t.Errorf("its own line does not allow it: %v", err)
	}
	if err := storetest.Allow(t, storetest.NewSigner(t).AllowedSigner("archive@acme.example")).Allows(loaded, time.Now()); err == nil {
		t.Error("another key's line allows it")
	}
	storetest.NeedProgram(t, "ssh-keygen")
	if out, err := exec.Command("ssh-keygen", "-l", "-f", path).CombinedOutput(); err != nil || !strings.Contains(string(out), made.Fingerprint()) {
		t.Errorf("ssh-keygen = %s, %v, want %s", out, err, made.Fingerprint())
	}
}

// If the disk is full, NewKey leaves no file.
func TestNewKeyOnAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing-key")
	signal.Ignore(syscall.SIGXFSZ) // which would end the process
	defer signal.Reset(syscall.SIGXFSZ)
	var whole syscall.Rlimit
	storetest.Must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &whole))
	small := whole
	small.Cur = 100
	storetest.Must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small))
	_, err := sign.NewKey(path)
	storetest.Must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &whole))
	if !errors.Is(err, syscall.EFBIG) {
		t.Fatalf("NewKey = %v, want %v", err, syscall.EFBIG)
	}
	if _, err := sign.NewKey(path); err != nil {
		t.Errorf("the next try = %v", err)
	}
}

func TestLoadRejects(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	valid := storetest.KeyFile(t, key)
	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	storetest.Must(t, err)
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("sesame"))
	storetest.Must(t, err)
	lockedFile := filepath.Join(t.TempDir(), "locked")
	storetest.Write(t, lockedFile, string(pem.EncodeToMemory(locked)))
	garbage := filepath.Join(t.TempDir(), "garbage")
	storetest.Write(t, garbage, "SESAME")
	for _, test := range []struct {
		path, want string
		mode       os.FileMode
		credential bool
	}{
		{path: valid, mode: 0o600},
		{path: valid, mode: 0o640, want: "other users have access to it (mode 0640)"},
		{path: valid, mode: 0o604, want: "other users have access to it (mode 0604)"},
		{path: valid, mode: 0o440, credential: true},
		{path: valid, mode: 0o444, credential: true, want: "other users have access to it (mode 0444)"},
		{path: lockedFile, mode: 0o600, want: "it has a passphrase"},
		{path: garbage, mode: 0o600, want: "it is not an OpenSSH private key"},
		{path: storetest.KeyFile(t, elliptic), mode: 0o600, want: "its type is ecdsa-sha2-nistp256"},
		{path: t.TempDir(), mode: 0o700, want: "it is no regular file"},
	} {
		storetest.Must(t, os.Chmod(test.path, test.mode))
		t.Setenv("CREDENTIALS_DIRECTORY", "")
		if test.credential {
			t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(test.path))
		}
		_, err := sign.Load(test.path)
		if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "SESAME")) {
			t.Errorf("Load, mode %04o: %v, want %q", test.mode, err, test.want)
		}
	}
}
