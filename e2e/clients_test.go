package e2e

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// TestClients isn't part of CI, because it downloads its clients:
//
//	OKTASYNC_CLIENTS=1 go test ./e2e -run TestClients -timeout 30m -v
//
// It reads the sandbox with Okta's SDKs for Go and Node.js, and with the code of
// Okta's DPoP walk-through. OKTASYNC_WALKTHROUGH is the URL or the folder of the
// walk-through's repository, if it isn't the one at GitHub.
func TestClients(t *testing.T) {
	if os.Getenv("OKTASYNC_CLIENTS") == "" {
		t.Skip("runs with OKTASYNC_CLIENTS=1")
	}
	for _, test := range []struct {
		name  string
		setup []string // commands
		run   []string
		users int // of 450; the walk-through reads a single page
	}{
		{"okta-sdk-golang", []string{
			"cp $CLIENTS/golang.go main.go && go mod init client && go get github.com/okta/okta-sdk-golang/v5@v5.0.2 && go mod tidy && go build -o client .",
		}, []string{"./client"}, 450},
		{"okta-sdk-nodejs", []string{
			"cp $CLIENTS/nodejs.js . && npm install --ignore-scripts --no-audit @okta/okta-sdk-nodejs@8.1.0",
		}, []string{"node", "nodejs.js"}, 450},
		{"okta-node-dpop-example", []string{
			`git clone "$WALKTHROUGH" code && git -C code checkout -q 13e03cd && cp code/*.js code/package*.json . && npm install --ignore-scripts --no-audit`,
		}, []string{"node", "app.js"}, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			org, dir, env := rsaSite(t)
			for _, command := range test.setup {
				runIn(t, dir, env, "sh", "-ec", command)
			}
			out := runIn(t, dir, append(env, "SSL_CERT_FILE=ca.pem", "NODE_EXTRA_CA_CERTS=ca.pem"), test.run...)
			ids := regexp.MustCompile(`\b00u\w{17}\b`).FindAllString(out, -1)
			slices.Sort(ids)
			all := slices.Sorted(maps.Keys(maps.Collect(org.UsersJSON())))
			if got := len(slices.Compact(slices.DeleteFunc(ids, func(id string) bool { return !slices.Contains(all, id) }))); got < test.users {
				t.Errorf("read %d users, want %d", got, test.users)
			}
			for _, v := range org.Stats().Violations {
				if v != "token endpoint: the request has no DPoP proof" { // okta-sdk-golang sends a request without one first
					t.Errorf("violation: %s", v)
				}
			}
		})
	}
}

// rsaSite serves an org for a client with RSA keys. The variables in env describe
// the client as the walk-through does.
func rsaSite(t *testing.T) (org *sandbox.Org, dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	var public [2]*rsa.PublicKey
	for i, name := range []string{"cc.pem", "dpop.pem"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		check(t, err)
		public[i] = &key.PublicKey
		write(t, filepath.Join(dir, name), string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	}
	encode := base64.RawURLEncoding.EncodeToString
	jwk, err := json.Marshal(map[string]string{"kty": "RSA", "n": encode(public[1].N.Bytes()), "e": encode(big.NewInt(int64(public[1].E)).Bytes())})
	check(t, err)
	write(t, filepath.Join(dir, "dpop.json"), string(jwk))
	org = sandbox.NewOrg(sandbox.Config{Users: 450, Deprovisioned: -1, Seed: 141, Clients: []sandbox.ClientApp{{
		ID: clientID, Keys: []sandbox.PublicKey{{Key: public[0]}}, RequireDPoP: true, Scopes: []string{"okta.users.read"},
	}}})
	server, err := sandbox.NewServer(org, "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { server.Close() })
	check(t, server.WriteCA(filepath.Join(dir, "ca.pem")))
	clients, err := filepath.Abs("testdata/clients")
	check(t, err)
	walkthrough := cmp.Or(os.Getenv("OKTASYNC_WALKTHROUGH"), "https://github.com/oktadev/okta-node-dpop-example")
	return org, dir, append(os.Environ(), "CLIENTS="+clients, "WALKTHROUGH="+walkthrough,
		"OKTA_ORG_URL="+server.URL, "OKTA_CLIENT_ID="+clientID, "OKTA_SCOPES=okta.users.read",
		"OKTA_CC_PRIVATE_KEY_FILE=cc.pem", "OKTA_DPOP_PRIVATE_KEY_FILE=dpop.pem", "OKTA_DPOP_PUBLIC_KEY_FILE=dpop.json",
	)
}

// runIn runs a command in dir. The command must succeed.
func runIn(t *testing.T, dir string, env []string, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", command, err, out)
	}
	return string(out)
}
