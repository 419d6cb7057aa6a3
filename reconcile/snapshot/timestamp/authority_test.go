package timestamp_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"oktasync/reconcile/snapshot/timestamp"
)

// authority is a time-stamping authority: openssl ts -reply behind a server.
type authority struct {
	url     string
	dir     string
	root    *x509.Certificate
	rootKey *rsa.PrivateKey
	key     *rsa.PrivateKey
	queries atomic.Int64
}

var (
	timeStampingUsage = pkix.Extension{
		Id: []int{2, 5, 29, 37}, Critical: true,
		Value: []byte{0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08},
	}
	usualCertificate = func(*x509.Certificate) {}
)

// newAuthority starts an authority whose certificate is changed by change.
func newAuthority(t testing.TB, change func(*x509.Certificate)) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	var err error
	a.rootKey, err = rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	a.key, err = rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"},
		NotBefore: time.Now().AddDate(-20, 0, 0), NotAfter: time.Now().AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.root = create(t, template, template, a.rootKey, a.rootKey)
	certificate := a.issue(t, change)
	write(t, filepath.Join(a.dir, "tsa.pem"), pemOf("CERTIFICATE", certificate.Raw))
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	must(t, err)
	write(t, filepath.Join(a.dir, "tsa.key"), pemOf("PRIVATE KEY", key))
	write(t, filepath.Join(a.dir, "tsa.cnf"), []byte(`[tsa]
default_tsa = tsa_config
[tsa_config]
serial = serial
default_policy = 1.2.3.4.1
digests = sha256
signer_digest = sha256
ess_cert_id_alg = sha256
`))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/timestamp-query" {
			t.Errorf("query: %s, %s, %v", r.Method, r.Header.Get("Content-Type"), err)
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		w.Write(a.reply(t, query))
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

// issue returns a certificate for the key of a.
func (a *authority) issue(t testing.TB, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Test TSA"},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{timeStampingUsage},
	}
	change(template)
	return create(t, template, a.root, a.key, a.rootKey)
}

// reply returns openssl's response to a query.
func (a *authority) reply(t testing.TB, query []byte) []byte {
	n := a.queries.Add(1)
	in, out := filepath.Join(a.dir, fmt.Sprint(n, ".tsq")), filepath.Join(a.dir, fmt.Sprint(n, ".tsr"))
	if err := os.WriteFile(in, query, 0o600); err != nil {
		t.Error(err)
	}
	cmd := exec.Command("openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", in, "-signer", "tsa.pem", "-inkey", "tsa.key", "-out", out)
	cmd.Dir = a.dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("openssl ts -reply: %v: %s", err, text)
	}
	response, err := os.ReadFile(out)
	if err != nil {
		t.Error(err)
	}
	return response
}

// stamp requests a stamp of message.
func (a *authority) stamp(t testing.TB, message []byte) []byte {
	t.Helper()
	stamp, err := timestamp.Request(t.Context(), nil, a.url, message)
	must(t, err)
	return stamp
}

func (a *authority) roots() []*x509.Certificate { return []*x509.Certificate{a.root} }

func create(t testing.TB, template, parent *x509.Certificate, key, signer *rsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	return certificate
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	must(t, os.WriteFile(path, data, 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
