package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// webFolder returns a folder with a certificate, its key and another key.
func webFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	newKey := func(name string) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
		return key
	}
	newKey("other-key.pem")
	key := newKey("key.pem")
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "oktasync"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return dir
}

// Each file under testdata/web/bad breaks one rule for an address other than
// loopback. Its first lines are comments with all errors.
func TestBadWebConfigurations(t *testing.T) {
	dir := webFolder(t)
	files, err := filepath.Glob("testdata/web/bad/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for line := range strings.Lines(string(data)) {
			if message, ok := strings.CutPrefix(line, "# error: "); ok {
				want = append(want, strings.TrimSpace(message))
			}
		}
		write(t, filepath.Join(dir, "web.yaml"), string(data))
		_, err = (&Config{Daemon: DaemonConfig{Listen: "0.0.0.0:9467", WebConfigFile: filepath.Join(dir, "web.yaml")}}).LoadWeb()
		if err == nil {
			t.Errorf("%s: no error", file)
			continue
		}
		got := strings.ReplaceAll(err.Error(), dir+"/", "")
		if got != strings.Join(want, "\n") {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, strings.Join(want, "\n"))
		}
		for _, secret := range []string{"s3cret", "12345678", "$2a$", "PRIVATE"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s: %s\nshows %s", file, got, secret)
			}
		}
	}
}

func TestGoodWebConfigurations(t *testing.T) {
	dir := webFolder(t)
	files, err := filepath.Glob("testdata/web/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "web.yaml"), string(data))
		web, err := (&Config{Daemon: DaemonConfig{Listen: ":9467", WebConfigFile: filepath.Join(dir, "web.yaml")}}).LoadWeb()
		if err != nil || !web.Closed() || len(web.Certificate) != 64 {
			t.Errorf("%s: %v", file, err)
		}
	}
}
