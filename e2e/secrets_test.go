package e2e

import (
	"bytes"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// looksLikeJWT finds tokens, assertions and proofs: each begins with the
// base64url of `{"`.
var looksLikeJWT = regexp.MustCompile(`eyJ[\w-]{20,}`)

// At debug level, with faults, nothing that anybody could use to get in is in a
// log, in any output, or in the store.
func TestNoSecretIsWrittenAnywhere(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 600, Seed: 18, NonceEvery: 2, APINonceEvery: 2})
	var written bytes.Buffer
	run := func(args ...string) {
		r := s.run(t, append(args, "--log-level", "debug")...)
		written.WriteString(r.stdout)
		written.WriteString(r.stderr)
	}
	for _, fault := range []sandbox.Fault{
		{}, {Nth: 2, RevokeToken: true}, {Nth: 2, Status: 500}, {Nth: 2, BrokenJSON: true}, {Nth: 2, Reset: true},
		{Path: "token", Status: 401}, {Path: "token", Status: 500}, {Path: "token", HTML: true}, {Path: "token", BrokenJSON: true},
		{Path: "token", Redirect: "https://" + sandbox.OtherHost + "/"}, {Path: "token", Forever: true, Bearer: true},
	} {
		s.org.ClearFaults()
		if fault != (sandbox.Fault{}) {
			s.org.Inject(fault)
		}
		run("apply")
	}
	run("doctor") // the org gives plain tokens by now
	s.org.ClearFaults()
	for _, args := range [][]string{{"doctor"}, {"doctor", "--json"}, {"plan"}, {"plan", "--json"}, {"validate"}, {"status", "--json"}, {"list", "--json"},
		{"diff", "all-users"}, {"show", "all-users"}, {"verify", "--json"}, {"api", "/api/v1/users?limit=1", "--include"}} {
		run(args...)
	}
	d := s.start(t, "    schedule: \"@every 1s\"\nlog: {level: debug}\n")
	written.WriteString(d.wait("snapshot published"))
	_, metrics := get(t, d.url+"/metrics")
	written.WriteString(metrics)
	d.cmd.Process.Signal(syscall.SIGTERM)
	for line := range d.logs {
		written.WriteString(line + "\n")
	}
	if !strings.Contains(written.String(), `"level":"DEBUG"`) {
		t.Error("nothing was logged at debug level")
	}

	secrets := keyPieces(t, filepath.Join(s.dir, "client-key.pem"))
	search := func(where string, data []byte) {
		if found := looksLikeJWT.Find(data); found != nil {
			t.Errorf("%s holds what looks like a token: %.12s…", where, found)
		}
		for _, piece := range secrets {
			if bytes.Contains(data, piece) {
				t.Errorf("%s holds a piece of the private key", where)
			}
		}
	}
	search("output", written.Bytes())
	files := 0
	err := filepath.WalkDir(filepath.Join(s.dir, "snapshots"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		search(path, data)
		return err
	})
	if err != nil || files < 10 {
		t.Errorf("searched %d files: %v", files, err)
	}
}

// keyPieces are 16-byte pieces of a PEM file, as text and as bytes.
func keyPieces(t *testing.T, path string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	var pieces [][]byte
	for _, data := range [][]byte{block.Bytes, bytes.Join(bytes.Split(text, []byte("\n"))[1:3], nil)} {
		for i := 32; i+16 <= len(data); i += 8 { // past what all such keys begin with
			pieces = append(pieces, data[i:i+16])
		}
	}
	return pieces
}
