package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// webFolder is a folder with a certificate, its key and another key.
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

// Each file under testdata/web/bad breaks one rule, where the daemon listens
// beyond loopback. Its first lines say what is to be reported.
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
		_, err = loadWebConfig(DaemonConfig{Listen: "0.0.0.0:9467", WebConfigFile: filepath.Join(dir, "web.yaml")})
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
		access, err := loadWebConfig(DaemonConfig{Listen: ":9467", WebConfigFile: filepath.Join(dir, "web.yaml")})
		if err != nil || !access.closed() || len(access.certificate) != 64 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// ask is the status that access answers a name and a password with.
func ask(access *webAccess, name, password string) int {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if name != "" {
		r.SetBasicAuth(name, password)
	}
	w := httptest.NewRecorder()
	access.admit(w, r)
	return w.Code
}

func TestPasswords(t *testing.T) {
	access := &webAccess{users: map[string]secretText{"ops": "$2a$04$h6oxpKMkbtzPOSTQCikV8eoIUp5.7t0Y69FzS79MvjUogcEIWinDy"}}
	for range 2 { // the second time from memory
		for _, test := range []struct {
			name, password string
			want           int
		}{
			{"ops", "right", 200}, {"ops", "wrong", 401}, {"ops", "", 401}, {"", "", 401}, {"nobody", "right", 401}, {"Ops", "right", 401},
		} {
			if got := ask(access, test.name, test.password); got != test.want {
				t.Errorf("%s with %q: %d, want %d", test.name, test.password, got, test.want)
			}
		}
	}
	// Whoever guesses keeps nobody out whose password is known.
	access.waiting.Store(mostTries)
	if got := ask(access, "ops", "another guess"); got != 429 {
		t.Errorf("one guess too many: %d", got)
	}
	if got := ask(access, "ops", "right"); got != 200 {
		t.Errorf("a known password beside guesses: %d", got)
	}
	access.waiting.Store(0)
	for i := range 3 * mostKnown {
		access.known[[32]byte{byte(i), byte(i >> 8), 1}] = false
		if i == 2*mostKnown {
			ask(access, "ops", "one more guess")
		}
	}
	if n := len(access.known); n > 2*mostKnown {
		t.Errorf("%d guesses are remembered", n)
	}
}

func TestRateLimitOfRequests(t *testing.T) {
	b := newTokens(webRateLimit{Burst: 2, Interval: time.Second})
	start := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	for i, test := range []struct {
		at   time.Duration
		want bool
	}{{0, true}, {0, true}, {0, false}, {900 * time.Millisecond, false}, {1100 * time.Millisecond, true}, {time.Hour, true}, {time.Hour, true}, {time.Hour, false}} {
		if got := b.take(start.Add(test.at)); got != test.want {
			t.Errorf("request %d: %t, want %t", i, got, test.want)
		}
	}
}
