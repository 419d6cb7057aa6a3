package snapshot_test

import (
	"bytes"
	"crypto"
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
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

// needs skips a test if a program that it runs isn't installed. With
// OKTASYNC_ALL_TESTS=1 and in the long form, it fails the test.
func needs(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if long() || os.Getenv("OKTASYNC_ALL_TESTS") == "1" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
}

// keyFile writes a private key as OpenSSH does.
func keyFile(t testing.TB, key crypto.PrivateKey) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "signing-key")
	write(t, path, string(pem.EncodeToMemory(block)))
	return path
}

func newSigner(t testing.TB) *snapshot.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := snapshot.LoadSigner(keyFile(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signedDays returns a store with three snapshots that signer has signed.
func signedDays(t testing.TB, signer *snapshot.Signer) *snapshot.Store {
	t.Helper()
	s, err := snapshot.Init(filepath.Join(t.TempDir(), "snapshots"), acme, snapshot.Options{Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		publish(t, s, day(n), people(n)...)
	}
	return s
}

func allowed(t testing.TB, lines ...string) *snapshot.AllowedSigners {
	t.Helper()
	a, err := snapshot.ParseAllowedSigners([]byte(strings.Join(lines, "\n") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// verifyWith is verify held against o.
func verifyWith(t testing.TB, s *snapshot.Store, o verify.Options) (problems []string, sum verify.Summary) {
	t.Helper()
	sum, err := verify.Verify(t.Context(), s, o, func(f verify.Finding) {
		if !f.Note {
			problems = append(problems, f.String())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return problems, sum
}

// What ssh-keygen makes of a signature, and of a key, is what we make of it.
func TestSignaturesAsSSHKeygenHasThem(t *testing.T) {
	needs(t, "ssh-keygen")
	key := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "archive", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	signer, err := snapshot.LoadSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ssh-keygen", "-lf", key+".pub").Output(); err != nil || !strings.Contains(string(out), " "+signer.Fingerprint()+" ") {
		t.Errorf("ssh-keygen -l: %s, %v; want %s", out, err, signer.Fingerprint())
	}
	s := signedDays(t, signer)
	latest, err := s.Latest(staff)
	if err != nil {
		t.Fatal(err)
	}
	public := signer.PublicKey()
	for _, test := range []struct {
		line string
		want string // of our finding; "": accepted
	}{
		{"archive@acme.example " + public, ""},
		{`"archive@acme.example,ops@acme.example" ` + public + " comment", ""},
		{`* namespaces="file,oktasync-*" ` + public, ""},
		{`archive@acme.example valid-after="20261101Z",valid-before="202612010600Z" ` + public, ""},
		{`archive@acme.example valid-after="20261126Z" ` + public, "not valid yet"},
		{`archive@acme.example valid-before="20261122Z" ` + public, "no longer valid"},
		{`archive@acme.example namespaces="file" ` + public, "not allowed for oktasync-snapshot@v1"},
		{`archive@acme.example namespaces="*,!oktasync-*" ` + public, "not allowed for oktasync-snapshot@v1"},
		{"archive@acme.example " + newSigner(t).PublicKey(), "not among the allowed signers"},
	} {
		problems, _ := verifyWith(t, s, verify.Options{Signers: allowed(t, "# ours", "", test.line)})
		if test.want == "" && len(problems) > 0 || test.want != "" && (len(problems) != 3 || !strings.Contains(problems[0], test.want)) {
			t.Errorf("%s: %q, want %q", test.line, problems, test.want)
		}
		list := filepath.Join(t.TempDir(), "allowed_signers")
		write(t, list, test.line+"\n")
		cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", list, "-I", "archive@acme.example", "-n", "oktasync-snapshot@v1",
			"-O", "verify-time="+latest.Manifest.Read.Finished.Format("20060102150405Z"), "-s", filepath.Join(latest.Dir(), "manifest.json.sig"))
		if cmd.Stdin, err = os.Open(filepath.Join(latest.Dir(), "manifest.json")); err != nil {
			t.Fatal(err)
		}
		if out, err := cmd.CombinedOutput(); (err == nil) != (test.want == "") {
			t.Errorf("%s: ssh-keygen says: %s", test.line, out)
		}
	}
}

func TestSigned(t *testing.T) {
	signer := newSigner(t)
	s := signedDays(t, signer)
	problems, sum := verifyWith(t, s, verify.Options{})
	if want := []verify.Signed{{Export: staff, Fingerprint: signer.Fingerprint(), Manifests: 3}}; len(problems) > 0 || !slices.Equal(sum.Signed, want) {
		t.Errorf("without allowed signers: %q, %+v", problems, sum.Signed)
	}
	anchor := verify.Options{Signers: allowed(t, "archive "+signer.PublicKey())}
	problems, sum = verifyWith(t, s, anchor)
	if want := []verify.Signed{{Export: staff, Fingerprint: signer.Fingerprint(), Principals: "archive", Manifests: 3}}; len(problems) > 0 || !slices.Equal(sum.Signed, want) {
		t.Errorf("with allowed signers: %q, %+v", problems, sum.Signed)
	}

	unsigned, err := snapshot.Init(s.Dir(), acme, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reconcile(t, unsigned, day(4), people(4)...); err == nil || !strings.Contains(err.Error(), "is signed, and no key") {
		t.Errorf("publish without a key: %v", err)
	}
	problems, _ = verifyWith(t, threeDays(t), anchor)
	if want := "staff@20261125T060000Z/manifest.json: is not signed, so no allowed signer vouches for the chain up to it"; !slices.Equal(problems, []string{want}) {
		t.Errorf("an unsigned store with allowed signers: %q", problems)
	}
}

// What NewSigningKey makes is a key for LoadSigner and for ssh-keygen, and its
// line lets it sign snapshots and nothing else.
func TestNewSigningKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing-key")
	made, err := snapshot.NewSigningKey(path)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := snapshot.LoadSigner(path)
	if err != nil || loaded.Fingerprint() != made.Fingerprint() {
		t.Errorf("loaded = %v, %v, want the key that was made", loaded, err)
	}
	if _, err := snapshot.NewSigningKey(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second one in its place: %v, want it refused", err)
	}
	if err := allowed(t, made.AllowedSigner("archive@acme.example")).Allows(loaded, time.Now()); err != nil {
		t.Errorf("its own line does not allow it: %v", err)
	}
	if err := allowed(t, newSigner(t).AllowedSigner("archive@acme.example")).Allows(loaded, time.Now()); err == nil {
		t.Error("another key's line allows it")
	}
	needs(t, "ssh-keygen")
	if out, err := exec.Command("ssh-keygen", "-l", "-f", path).CombinedOutput(); err != nil || !strings.Contains(string(out), made.Fingerprint()) {
		t.Errorf("ssh-keygen = %s, %v, want %s", out, err, made.Fingerprint())
	}
}

// A key can be changed, and the times in allowed_signers say from when on.
func TestSignerRotation(t *testing.T) {
	old, next := newSigner(t), newSigner(t)
	s := signedDays(t, old)
	again, err := snapshot.Init(s.Dir(), acme, snapshot.Options{Signer: next})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, again, day(4), people(4)...)
	problems, sum := verifyWith(t, s, verify.Options{Signers: allowed(t,
		`archive valid-before="20261126Z" `+old.PublicKey(), `archive valid-after="20261126Z" `+next.PublicKey())})
	if len(problems) > 0 || len(sum.Signed) != 2 || sum.Signed[1].Manifests != 1 {
		t.Errorf("Verify: %q, %+v", problems, sum.Signed)
	}
}

func TestVerifyFindsFalseSignatures(t *testing.T) {
	const third = "staff@20261125T060000Z"
	signer := newSigner(t)
	other := signedDays(t, newSigner(t))
	for _, test := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
		want   string
	}{
		{"missing", func(t *testing.T, dir string) { remove(t, dir, "20261125T060000Z/manifest.json.sig") },
			third + "/manifest.json.sig: is missing"},
		{"another snapshot's", func(t *testing.T, dir string) {
			copyFile(t, filepath.Join(dir, "20261124T060000Z/manifest.json.sig"), filepath.Join(dir, "20261125T060000Z/manifest.json.sig"))
		}, third + "/manifest.json.sig: is not the signature of this manifest"},
		{"foreign", func(t *testing.T, dir string) {
			copyFile(t, filepath.Join(other.Dir(), staff, "20261125T060000Z/manifest.json.sig"), filepath.Join(dir, "20261125T060000Z/manifest.json.sig"))
		}, third + "/manifest.json.sig: is by SHA256:"},
		{"not one", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "20261125T060000Z/manifest.json.sig"), "signed\n")
		},
			third + "/manifest.json.sig: is no signature"},
		{"unsigned successor", func(t *testing.T, dir string) {
			remove(t, dir, "20261125T060000Z/manifest.json.sig")
			if err := edit(filepath.Join(dir, "20261125T060000Z/manifest.json"), `"signed_by":"`+signer.Fingerprint()+`"`, `"signed_by":null`); err != nil {
				t.Fatal(err)
			}
		}, third + "/manifest.json: is not signed, and 20261124T060000Z before it is"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := signedDays(t, signer)
			test.tamper(t, filepath.Join(s.Dir(), staff))
			problems, _ := verifyWith(t, s, verify.Options{})
			if !slices.ContainsFunc(problems, func(p string) bool { return strings.HasPrefix(p, test.want) }) {
				t.Errorf("found %q, want %q", problems, test.want)
			}
		})
	}
}

// A signature for another purpose, by the very key, is none.
func TestVerifyFindsOtherNamespace(t *testing.T) {
	needs(t, "ssh-keygen")
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	path := keyFile(t, key)
	signer, err := snapshot.LoadSigner(path)
	if err != nil {
		t.Fatal(err)
	}
	s := signedDays(t, signer)
	manifest := filepath.Join(s.Dir(), staff, "20261125T060000Z", "manifest.json")
	remove(t, filepath.Dir(manifest), "manifest.json.sig")
	if out, err := exec.Command("ssh-keygen", "-Y", "sign", "-f", path, "-n", "file", manifest).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	block, _ := pem.Decode([]byte(read(t, manifest+".sig"))) // in lines as we write them
	write(t, manifest+".sig", string(pem.EncodeToMemory(block)))
	problems, _ := verifyWith(t, s, verify.Options{})
	if len(problems) != 1 || !strings.Contains(problems[0], `was made for "file"`) {
		t.Errorf("found %q", problems)
	}
}

// A signing key that the disk has no room for leaves nothing in the way of
// another try.
func TestNewSigningKeyIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing-key")
	signal.Ignore(syscall.SIGXFSZ) // which would end us
	defer signal.Reset(syscall.SIGXFSZ)
	var whole syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &whole); err != nil {
		t.Fatal(err)
	}
	small := whole
	small.Cur = 100
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	_, err := snapshot.NewSigningKey(path)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &whole); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, syscall.EFBIG) {
		t.Fatalf("NewSigningKey = %v, want %v", err, syscall.EFBIG)
	}
	if _, err := snapshot.NewSigningKey(path); err != nil {
		t.Errorf("the next try = %v", err)
	}
}

func TestLoadSignerRefuses(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	good := keyFile(t, key)
	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("sesame"))
	if err != nil {
		t.Fatal(err)
	}
	lockedFile := filepath.Join(t.TempDir(), "locked")
	write(t, lockedFile, string(pem.EncodeToMemory(locked)))
	garbage := filepath.Join(t.TempDir(), "garbage")
	write(t, garbage, "SESAME")
	for _, test := range []struct {
		path, want string
		mode       os.FileMode
		credential bool
	}{
		{path: good, mode: 0o600},
		{path: good, mode: 0o640, want: "others have access to it (mode 0640)"},
		{path: good, mode: 0o604, want: "others have access to it (mode 0604)"},
		{path: good, mode: 0o440, credential: true},
		{path: good, mode: 0o444, credential: true, want: "others have access to it (mode 0444)"},
		{path: lockedFile, mode: 0o600, want: "it has a passphrase"},
		{path: garbage, mode: 0o600, want: "it is no OpenSSH private key"},
		{path: keyFile(t, elliptic), mode: 0o600, want: "it is of type ecdsa-sha2-nistp256"},
		{path: t.TempDir(), mode: 0o700, want: "it is no regular file"},
	} {
		if err := os.Chmod(test.path, test.mode); err != nil {
			t.Fatal(err)
		}
		t.Setenv("CREDENTIALS_DIRECTORY", "")
		if test.credential {
			t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(test.path))
		}
		_, err := snapshot.LoadSigner(test.path)
		if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "SESAME")) {
			t.Errorf("LoadSigner, mode %04o: %v, want %q", test.mode, err, test.want)
		}
	}
}

func TestParseAllowedSignersRefuses(t *testing.T) {
	public := newSigner(t).PublicKey()
	for lines, want := range map[string]string{
		"":                                   "it names no key",
		"archive":                            "line 1: there is no key",
		"# ours\narchive ssh-ed25519 AAAA":   "line 2: there is no key",
		`"archive ` + public:                 "line 1: a quote is not closed",
		"archive valid-until=2026 " + public: `line 1: unknown option "valid-until"`,
		"archive valid-after=soon " + public: `line 1: "soon" is no time`,
		"archive cert-authority " + public:   "it names no key",
	} {
		if _, err := snapshot.ParseAllowedSigners([]byte(lines)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("ParseAllowedSigners(%q): %v, want %q", lines, err, want)
		}
	}
}

// What ParseAllowedSigners accepts has a key on a line of its own, whatever
// is said around it; so a store that nobody signed never passes.
func FuzzParseAllowedSigners(f *testing.F) {
	public := newSigner(f).PublicKey()
	f.Add([]byte("archive " + public))
	f.Add([]byte(`"a b,c" namespaces="x,!y",valid-after="20261123Z" ` + public + " comment\n#\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := snapshot.ParseAllowedSigners(data); err == nil && !bytes.Contains(data, []byte("AAAA")) {
			t.Errorf("ParseAllowedSigners(%q): no error, and no key in it", data)
		}
	})
}

// Heads that were noted elsewhere tell of a chain that was made anew or cut.
func TestVerifyHeads(t *testing.T) {
	s, other := threeDays(t), threeDays(t)
	heads := func(s *snapshot.Store) (heads []verify.Head) {
		list, err := s.List(staff)
		if err != nil {
			t.Fatal(err)
		}
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
		problems, _ := verifyWith(t, s, verify.Options{Heads: test.heads})
		if (test.want == "") != (len(problems) == 0) || test.want != "" && !strings.Contains(problems[0], test.want) {
			t.Errorf("%s: %q, want %q", test.name, problems, test.want)
		}
	}
}

func remove(t testing.TB, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	write(t, to, read(t, from))
}
