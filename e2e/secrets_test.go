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

// looksLikeJWT matches access tokens, client assertions and proofs: each begins
// with `{"` in base64url.
var looksLikeJWT = regexp.MustCompile(`eyJ[\w-]{20,}`)

// No output, log or file of the store contains a credential, even at level debug
// and with faults.
func TestNoSecretsInOutput(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 600, Seed: 18, NonceEvery: 2, APINonceEvery: 2})
	var output bytes.Buffer
	run := func(args ...string) {
		r := s.run(t, append(args, "--log-level", "debug")...)
		output.WriteString(r.stdout)
		output.WriteString(r.stderr)
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
	run("doctor") // while the org issues Bearer tokens
	s.org.ClearFaults()
	for _, args := range [][]string{{"doctor"}, {"doctor", "--json"}, {"plan"}, {"plan", "--json"}, {"validate"}, {"status", "--json"}, {"list", "--json"},
		{"diff", "all-users"}, {"show", "all-users"}, {"verify", "--json"}, {"api", "/api/v1/users?limit=1", "--include"}} {
		run(args...)
	}
	d := s.start(t, everySecond+"log: {level: debug}\n")
	output.WriteString(d.wait("snapshot published"))
	_, metrics := get(t, d.url+"/metrics")
	output.WriteString(metrics)
	d.signal(syscall.SIGTERM)
	for line := range d.logs {
		output.WriteString(line + "\n")
	}
	if !strings.Contains(output.String(), " DBG ") {
		t.Error("the log has no line at level debug")
	}

	secrets := keyPieces(t, s.path("client-key.pem"))
	search := func(where string, data []byte) {
		if found := looksLikeJWT.Find(data); found != nil {
			t.Errorf("%s contains a token: %.12s…", where, found)
		}
		for _, piece := range secrets {
			if bytes.Contains(data, piece) {
				t.Errorf("%s contains a part of the private key", where)
			}
		}
	}
	search("output", output.Bytes())
	files := 0
	err := filepath.WalkDir(s.path("snapshots"), func(path string, e fs.DirEntry, err error) error {
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

// No secret in an app or an assignment is stored or printed: not in a snapshot, not
// in a quarantined read, and not in the log.
func TestNoSecretsOfApps(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 120, Seed: 5, Apps: 30, Assignments: 2500}, "okta.groups.read", "okta.apps.read")
	s.configure(t, "    groups: {}\n    apps: {}\n    app_users: {}\n    app_groups: {}\n")
	var output strings.Builder
	apply := func(status int) {
		r := s.must(t, status, "apply", "--log-level", "debug")
		output.WriteString(r.stdout + r.stderr)
	}
	apply(0)
	deleted := 0
	for id := range s.org.AppsJSON() {
		if deleted++; deleted > 20 {
			break
		}
		check(t, s.org.DeleteApp(id))
	}
	apply(3)
	for _, args := range [][]string{{"show", "all-users", "apps"}, {"show", "all-users", "app_users", "--format", "csv"}, {"quarantine", "show", "all-users"}} {
		output.WriteString(s.must(t, 0, args...).stdout)
	}
	stored := s.sh(t, "find snapshots -type f -exec zstd -dcf {} +")
	if !strings.Contains(stored, "Warehouse Scanner") || !strings.Contains(stored, `"scope":"GROUP"`) {
		t.Error("the store has no apps and app users")
	}
	for where, text := range map[string]string{"the store": stored, "the output": output.String()} {
		if strings.Contains(text, sandbox.PlantedSecret) {
			t.Errorf("%s contains a secret of an app", where)
		}
	}
	s.noViolations(t)
}

// No token, secret, phone number or answer of an API token or a factor is stored or
// printed: not in a snapshot, not in a quarantined read, not in the log, and not in an
// error.
func TestNoSecretsOfCredentials(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 120, Seed: 5})
	check(t, s.register(func(app *sandbox.ClientApp) {
		app.Scopes, app.Permissions = append(app.Scopes, "okta.apiTokens.read"), []string{"okta.users.apitokens.read"}
	}))
	s.configure(t, "    users: {}\n    api_tokens: {}\n    factors: {}\n")
	var output strings.Builder
	run := func(status int, args ...string) {
		r := s.must(t, status, append(args, "--log-level", "debug")...)
		output.WriteString(r.stdout + r.stderr)
	}
	run(0, "plan")
	run(0, "apply")
	for id := range s.org.UsersJSON() {
		for _, status := range []string{"PENDING_ACTIVATION", "ACTIVE"} {
			_, err := s.org.EnrollFactor(id, "question", status)
			check(t, err)
		}
		break
	}
	for _, path := range []string{"/api/v1/api-tokens", "/api/v1/users/{id}/factors"} {
		s.org.Inject(sandbox.Fault{Path: path, BrokenJSON: true})
		run(0, "apply")
		s.org.Inject(sandbox.Fault{Path: path, Forever: true, Status: 403, Code: "E0000006"})
		run(1, "apply")
		s.org.ClearFaults()
	}
	run(0, "apply")
	s.org.Delete(40)
	run(3, "apply")
	for _, args := range [][]string{{"show", "all-users", "api_tokens"}, {"show", "all-users", "factors", "--format", "csv"}, {"diff", "all-users"},
		{"quarantine", "show", "all-users"}, {"quarantine", "diff", "all-users"}, {"status"}, {"list"}, {"verify"}} {
		run(0, args...)
	}
	run(1, "doctor")
	stored := s.sh(t, "find snapshots -type f -size +0 -exec zstd -dcf {} +")
	if !strings.Contains(stored, `"name":"Terraform"`) || !strings.Contains(stored, `"factorType":"question"`) || !strings.Contains(stored, "PENDING_ACTIVATION") {
		t.Error("the store has no API tokens and factors")
	}
	for where, text := range map[string]string{"the store": stored, "the output": output.String()} {
		if at := strings.Index(text, sandbox.PlantedSecret); at >= 0 {
			t.Errorf("%s contains a secret of an API token or a factor: %.60q", where, text[at:])
		}
	}
	s.noViolations(t)
}

// keyPieces returns 16-byte pieces of a key in PEM, both of its text and of its
// bytes.
func keyPieces(t *testing.T, path string) [][]byte {
	t.Helper()
	text := []byte(read(t, path))
	block, _ := pem.Decode(text)
	var pieces [][]byte
	for _, data := range [][]byte{block.Bytes, bytes.Join(bytes.Split(text, []byte("\n"))[1:3], nil)} {
		for i := 32; i+16 <= len(data); i += 8 { // after the bytes that are the same in all keys
			pieces = append(pieces, data[i:i+16])
		}
	}
	return pieces
}
