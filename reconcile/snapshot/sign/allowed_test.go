package sign_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot/sign"
)

// AllowedSigners and ssh-keygen give the same answers for generated files. A
// file that only ParseAllowedSigners rejects is rejected for a documented reason.
func TestAllowedSignersLikeSSHKeygen(t *testing.T) {
	storetest.NeedProgram(t, "ssh-keygen")
	files := 250
	if storetest.Long() {
		files = 1000
	}
	const seed = 1
	g := newSignersGenerator(t, seed)
	var accepted, allowed, refused int
	for range files {
		file, signer := g.file(), g.signers[g.IntN(len(g.signers))]
		principal, at := g.pick(g.names), g.time()
		a, err := sign.ParseAllowedSigners([]byte(file))
		if err != nil {
			refused++
			for line := range strings.Lines(file) { // ssh-keygen ignores an invalid line
				if _, err := sign.ParseAllowedSigners([]byte(line)); err != nil && !stricter(err) && signer.verify(t, line, principal, at) {
					t.Errorf("seed %d: ParseAllowedSigners(%q) = %v, ssh-keygen accepts it", seed, line, err)
				}
			}
			continue
		}
		accepted++
		theirs := signer.verify(t, file, principal, at)
		name, err := a.Check(signer.key.PublicKey(), testNamespace, at, principal)
		if (err == nil) != theirs || err == nil && name != principal {
			t.Errorf("seed %d: Check by %s at %s in %q = %q, %v, ssh-keygen: %t", seed, principal, at, file, name, err, theirs)
		}
		if theirs {
			allowed++
		}
		if strings.Contains(strings.ToLower(file), "namespaces") {
			continue // find-principals ignores them
		}
		patterns, _ := a.Check(signer.key.PublicKey(), testNamespace, at)
		if found := signer.findPrincipals(file, at); found != patterns {
			t.Errorf("seed %d: Check at %s in %q = %q, find-principals: %q", seed, at, file, patterns, found)
		}
	}
	if accepted < files/4 || refused < files/4 || allowed < files/20 {
		t.Errorf("%d files: %d accepted, %d refused, %d signatures allowed, want more of each", files, accepted, refused, allowed)
	}
}

// stricter reports whether ParseAllowedSigners documents that it is stricter.
func stricter(err error) bool {
	return slices.ContainsFunc([]string{
		"is given twice", "pattern is empty", "negated pattern", "control character", "no space after the quoted",
		"a quote is not at the start", `unknown option ""`, "no time",
	}, func(reason string) bool { return strings.Contains(err.Error(), reason) })
}

const testNamespace = "oktasync-snapshot@v1"

type testSigner struct {
	key       ssh.Signer
	public    string
	signature string // file with a signature of no bytes in testNamespace
}

func newTestSigner(t *testing.T, private crypto.Signer) testSigner {
	key, err := ssh.NewSignerFromSigner(private)
	storetest.Must(t, err)
	sig, err := sshsig.Sign(strings.NewReader(""), key, sshsig.HashSHA512, testNamespace)
	storetest.Must(t, err)
	path := filepath.Join(t.TempDir(), "sig")
	storetest.Write(t, path, string(sshsig.Armor(sig)))
	return testSigner{key, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))), path}
}

// keygen runs ssh-keygen -Y command with an allowed_signers file.
func (s testSigner) keygen(file, command string, at time.Time, args ...string) (string, error) {
	path := s.signature + ".allowed"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		return "", err
	}
	args = append([]string{"-Y", command, "-f", path, "-s", s.signature, "-O", "verify-time=" + at.UTC().Format("20060102150405Z")}, args...)
	out, err := exec.Command("ssh-keygen", args...).Output()
	return string(out), err
}

func (s testSigner) verify(t *testing.T, file, principal string, at time.Time) bool {
	t.Helper()
	out, err := s.keygen(file, "verify", at, "-I", principal, "-n", testNamespace)
	if (err == nil) != strings.HasPrefix(out, "Good") {
		t.Fatalf("ssh-keygen -Y verify: %q, %v", out, err)
	}
	return err == nil
}

func (s testSigner) findPrincipals(file string, at time.Time) string {
	out, _ := s.keygen(file, "find-principals", at)
	return strings.ReplaceAll(strings.TrimSuffix(out, "\n"), "\n", ",")
}

// signersGenerator generates allowed_signers files.
type signersGenerator struct {
	*rand.Rand
	signers []testSigner
	names   []string
}

func newSignersGenerator(t *testing.T, seed uint64) signersGenerator {
	_, ed, err := ed25519.GenerateKey(cryptorand.Reader)
	storetest.Must(t, err)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	storetest.Must(t, err)
	rsaKey, err := rsa.GenerateKey(cryptorand.Reader, 2048)
	storetest.Must(t, err)
	return signersGenerator{
		Rand:    rand.New(rand.NewPCG(seed, 0)),
		signers: []testSigner{newTestSigner(t, ed), newTestSigner(t, ec), newTestSigner(t, rsaKey)},
		names:   []string{"a@acme.example", "bb@acme.example", "ops", "a b"},
	}
}

func (g signersGenerator) pick(of []string) string { return of[g.IntN(len(of))] }

// time returns a time that is often a bound of a validity.
func (g signersGenerator) time() time.Time {
	return time.Date(2026, 7, 1+g.IntN(3), 12*g.IntN(2), 0, g.IntN(3)-1, 0, time.UTC)
}

func (g signersGenerator) file() string {
	var lines []string
	for range 1 + g.IntN(3) {
		lines = append(lines, g.line())
	}
	return strings.Join(lines, g.pick([]string{"\n", "\n", "\r\n", "\n\n# comment\n"})) + g.pick([]string{"", "\n"})
}

// rare returns an element of unusual at times, otherwise one of usual.
func (g signersGenerator) rare(unusual []string, usual ...string) string {
	if g.IntN(20) == 0 {
		return g.pick(unusual)
	}
	return g.pick(usual)
}

func (g signersGenerator) line() string {
	line := g.rare([]string{" ", "\t"}, "") + g.rare(
		[]string{"!ops,*", "ops,", ",ops", `""`, `a"b"`, `"ops`, "*,!ops", "ops,\x01", `"ops"x`},
		"a@acme.example", "a@acme.example,ops", "*@acme.example", "?@acme.example", "*", "*@*.example", "a*p*e", "op?,bb*",
		`"a b"`, `"a@acme.example,ops"`, `"*"`, "nobody", "*.example", "**a?b*", "?*", `"*,ops"`,
	) + g.rare([]string{""}, " ", "\t", "  \t")
	var options []string
	for range g.IntN(3) {
		options = append(options, g.option())
	}
	if len(options) > 0 {
		line += strings.Join(options, g.rare([]string{",,", " ", ", "}, ",")) + g.rare([]string{",", "", ", "}, " ", "\t")
	}
	key := g.signers[g.IntN(len(g.signers))].public
	return line + g.rare([]string{
		"", "ssh-ed25519", "ssh-ed25519 AAAA", key + "=", key[:len(key)-4], "ssh-rsa " + strings.Fields(key)[1],
		strings.ToUpper(key), "# " + key, `"` + key + `"`,
	}, key, strings.Replace(key, " ", "\t ", 1)) + g.pick([]string{"", " comment", ` "comment`, " a, b", "\t", " "})
}

func (g signersGenerator) option() string {
	switch g.IntN(8) {
	case 0, 1, 2:
		return g.rare([]string{"NAMESPACES", "Namespaces"}, "namespaces") + g.rare([]string{" = ", "==", ""}, "=") + g.rare(
			[]string{`""`, `"*,"`, `"`, "*", "", `"!"`, `"a\"`},
			`"oktasync-snapshot@v1"`, `"file,oktasync-*"`, `"*"`, `"*,!oktasync-*"`, `"file"`, `"!file,*"`, `"oktasync-snapshot@v?"`,
			`"o*k*t*1"`, `"\",*"`, `"a b,*"`, `"*@v1"`,
		)
	case 3:
		return g.rare([]string{`cert-authority="yes"`, "Cert-Authority", "cert-authorityx", "no-pty", "verify-required", "namespaces"}, "cert-authority")
	default:
		day := fmt.Sprintf("202607%02d", 1+g.IntN(3))
		return g.rare([]string{"Valid-After", "VALID-BEFORE"}, "valid-after", "valid-before") + "=" + g.rare(
			[]string{`"20260230Z"`, `"20261301Z"`, `"19700101Z"`, `"202607Z"`, `"soon"`, `""`, day + "Z", `"Z"`, `" ` + day + `"`},
			`"`+day+`Z"`, `"`+day+`1200Z"`, `"`+day+`120000Z"`, `"`+day+`z"`, `"`+day+`UTC"`, `"`+day+`"`, `"`+day+`1200utc"`,
		)
	}
}

// Times without Z are in standard time, also in summer, as ssh-keygen reads them.
func TestSignerTimes(t *testing.T) {
	storetest.NeedProgram(t, "ssh-keygen")
	_, key, err := ed25519.GenerateKey(cryptorand.Reader)
	storetest.Must(t, err)
	signer := newTestSigner(t, key)
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Adelaide", "Asia/Tokyo"} {
		zone, err := time.LoadLocation(name)
		storetest.Must(t, err)
		t.Setenv("TZ", name)
		for _, text := range []string{
			"20260101", "20260701", "202607011200", "20260701120001Z", "202603290230", "202610250230", "202603080230", "202611010130",
		} {
			seconds, err := sign.ParseSignerTime(text, zone)
			storetest.Must(t, err)
			file := fmt.Sprintf("ops valid-after=%q %s\n", text, signer.public)
			after, before := signer.verify(t, file, "ops", time.Unix(seconds, 0)), signer.verify(t, file, "ops", time.Unix(seconds-1, 0))
			if !after || before {
				t.Errorf("%s in %s is %s; ssh-keygen accepts that time: %t, the second before it: %t",
					text, name, time.Unix(seconds, 0).UTC(), after, before)
			}
		}
	}
}

func TestParseAllowedSignersRejects(t *testing.T) {
	public := storetest.NewSigner(t).PublicKey()
	for lines, want := range map[string]string{
		"":                                     "it names no key",
		"archive":                              "line 1: there is no key",
		"# ours\narchive ssh-ed25519 AAAA":     "line 2: there is no key",
		`"archive ` + public:                   "line 1: a quote is not closed",
		`archive valid-until="2026" ` + public: `line 1: unknown option "valid-until"`,
		`archive valid-after="soon" ` + public: `line 1: option valid-after: "soon" is not a time`,
		`archive valid-after=20261123Z ` + public:                      `line 1: option "valid-after": the value is not in quotes`,
		`archive namespaces="" ` + public:                              "line 1: option namespaces: a pattern is empty",
		`archive namespaces="a",namespaces="b" ` + public:              "line 1: option namespaces is given twice",
		`archive cert-authority,cert-authority ` + public:              "line 1: option cert-authority is given twice",
		"archive,!ops " + public:                                       "line 1: principals: a negated pattern",
		"archive,,ops " + public:                                       "line 1: principals: a pattern is empty",
		`a valid-after="20261123Z",valid-before="20261123Z" ` + public: "line 1: valid-before is not later",
		"archive cert-authority " + public:                             "it names no key",
		strings.Repeat("#", sign.MaxAllowedSigners) + "\n" + public:    "it is larger than",
	} {
		if _, err := sign.ParseAllowedSigners([]byte(lines)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("ParseAllowedSigners(%.100q): %v, want %q", lines, err, want)
		}
	}
}

// Check restricts the signers to the given principals, and names the one that
// matches.
func TestCheckOfPrincipals(t *testing.T) {
	_, key, err := ed25519.GenerateKey(cryptorand.Reader)
	storetest.Must(t, err)
	signer := newTestSigner(t, key)
	a := storetest.Allow(t, "*@acme.example "+signer.public)
	for _, test := range []struct {
		principals []string
		want, err  string
	}{
		{nil, "*@acme.example", ""},
		{[]string{"ops@brightwater.example", "ops@acme.example"}, "ops@acme.example", ""},
		{[]string{"ops@brightwater.example"}, "", "is by a key of *@acme.example, and only ops@brightwater.example is accepted"},
	} {
		got, err := a.Check(signer.key.PublicKey(), testNamespace, time.Now(), test.principals...)
		if got != test.want || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("Check for %q = %q, %v, want %q, %q", test.principals, got, err, test.want, test.err)
		}
	}
}

// A pattern with many stars takes no exponential time.
func TestPatternWithManyStars(t *testing.T) {
	a := storetest.Allow(t, strings.Repeat("*a", 500)+"b "+storetest.NewSigner(t).PublicKey())
	_, key, err := ed25519.GenerateKey(cryptorand.Reader)
	storetest.Must(t, err)
	if _, err := a.Check(newTestSigner(t, key).key.PublicKey(), testNamespace, time.Now(), strings.Repeat("a", 1000)); err == nil {
		t.Error("another key is allowed")
	}
}

// FuzzParseAllowedSigners checks that an accepted file contains a key.
func FuzzParseAllowedSigners(f *testing.F) {
	public := storetest.NewSigner(f).PublicKey()
	f.Add([]byte("archive " + public))
	f.Add([]byte(`"a b,c" namespaces="x,!y",valid-after="20261123Z" ` + public + " comment\n#\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := sign.ParseAllowedSigners(data); err == nil && !bytes.Contains(data, []byte("AAAA")) {
			t.Errorf("ParseAllowedSigners(%q): accepted without a key", data)
		}
	})
}
