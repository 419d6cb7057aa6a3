package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/doctor"
	"oktasync/dpopauth/keys"
	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile/snapshot"
)

// mishap is a site in the making that something goes wrong with.
type mishap struct {
	*sandboxSite
	run func(args ...string) (status int) // a command of ours
}

func (m *mishap) path(name string) string { return filepath.Join(m.dir, name) }

func (m *mishap) write(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(m.path(name), []byte(text), 0o600)
}

// edit puts new in the place of old in the configuration.
func (m *mishap) edit(old, new string) error {
	data, err := os.ReadFile(m.config)
	if err != nil {
		return err
	}
	text := strings.Replace(string(data), old, new, 1)
	if text == string(data) {
		return fmt.Errorf("the configuration has no %q", old)
	}
	return os.WriteFile(m.config, []byte(text), 0o600)
}

func (m *mishap) fault(text string) error {
	f, err := sandbox.ParseFault(text)
	m.org.Inject(f)
	return err
}

// app changes the app in the org.
func (m *mishap) app(change func(*sandbox.ClientApp)) error {
	app := sandboxApp(m.key, true)
	change(&app)
	m.org.Register(app)
	return nil
}

// othersTake has others make n requests in the window of the first one of ours.
func (m *mishap) othersTake(n int) error {
	m.org.OnRequest(func(number int, _ *http.Request) {
		if number == 1 {
			m.org.TakeRateLimit(doctor.UsersPath, n)
		}
	})
	return nil
}

func (m *mishap) role(role string) error {
	return m.app(func(app *sandbox.ClientApp) { app.Role = role })
}

// limitedRole has a snapshot made of everybody, and then limits the role.
func (m *mishap) limitedRole() error {
	if m.run("apply", "--config", m.config) != exitDone {
		return errors.New("no snapshot could be made")
	}
	return m.role(sandbox.RoleGroup("Engineering"))
}

func otherKeys() []sandbox.PublicKey {
	key, err := keys.Generate()
	if err != nil {
		return nil
	}
	return []sandbox.PublicKey{{KID: "another", Key: key.Public()}}
}

// edwardsKey puts a key in the client key's place that Okta does not take.
func (m *mishap) edwardsKey() error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := m.write("ed25519.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))); err != nil {
		return err
	}
	return m.edit("client-key.pem", "ed25519.pem")
}

// proxied has the org be somewhere that only a proxy leads to: what is on
// loopback is never reached through one.
func (m *mishap) proxied(proxy string) error {
	m.env = append(m.env, "HTTPS_PROXY="+proxy)
	return m.edit(m.server.URL, "https://acme.okta.example")
}

// unreachable names an address at which nothing listens any more.
func (m *mishap) unreachable(use func(address string) error) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return errors.Join(use("http://"+l.Addr().String()), l.Close())
}

// refusingProxy has a proxy that connects to nobody.
func (m *mishap) refusingProxy(status int) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	proxy := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
	})}
	m.closers = append(m.closers, proxy)
	go proxy.Serve(l) // until closed
	return m.proxied("http://" + l.Addr().String())
}

// withoutTLS has the org answer at another port, and not speak TLS there.
func (m *mishap) withoutTLS() error {
	plain, err := sandbox.NewPlainServer(m.org, "127.0.0.1:0")
	if err != nil {
		return err
	}
	m.closers = append(m.closers, plain)
	return m.edit(m.server.URL, strings.Replace(plain.URL, "http:", "https:", 1))
}

// storeSetting adds a line to what the configuration says of the store.
func (m *mishap) storeSetting(line string) error {
	return m.edit("path: snapshots\n", "path: snapshots\n  "+line+"\n")
}

// signingKey makes a signing key and has the configuration name it.
func (m *mishap) signingKey(name string) error {
	if _, err := snapshot.NewSigningKey(m.path(name)); err != nil {
		return err
	}
	return m.storeSetting("signing_key_file: " + name)
}

// otherSigner has the auditor know another key than the one that signs.
func (m *mishap) otherSigner() error {
	other, err := snapshot.NewSigningKey(m.path("other-key"))
	if err != nil {
		return err
	}
	return errors.Join(m.write("allowed_signers", other.AllowedSigner("archive@acme.example")+"\n"),
		m.signingKey("signing-key"), m.storeSetting("allowed_signers_file: allowed_signers"))
}
