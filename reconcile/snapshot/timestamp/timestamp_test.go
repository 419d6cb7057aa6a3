package timestamp_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	digitorus "github.com/digitorus/timestamp"

	"oktasync/reconcile/snapshot/timestamp"
)

var message = []byte("manifest.json.sig")

// Verify and openssl ts -verify accept the stamps of openssl's own authority, and
// reject the same changes.
func TestOpenSSL(t *testing.T) {
	needOpenSSL(t)
	a := newAuthority(t, usualCertificate)
	start := time.Now().Truncate(time.Second)
	stamp := a.stamp(t, message)
	at, err := timestamp.Verify(stamp, message, a.roots())
	if err != nil || at.Before(start) || at.After(time.Now()) {
		t.Errorf("Verify = %s, %v, want the current time", at, err)
	}
	if !a.opensslAccepts(t, stamp, message, time.Now()) {
		t.Error("openssl rejects what Verify accepts")
	}
	other := newAuthority(t, usualCertificate)
	changed := bytes.Clone(stamp)
	changed[len(changed)-1] ^= 1 // in the signature
	for _, test := range []struct {
		name    string
		by      *authority
		stamp   []byte
		message string
		want    string
	}{
		{"another message", a, stamp, "manifest.json", "don't match"},
		{"another authority", other, stamp, string(message), "unknown authority"},
		{"a stamp of another message", a, a.stamp(t, []byte("other")), string(message), "don't match"},
		{"a changed signature", a, changed, string(message), "verification"},
		{"a cut stamp", a, stamp[:len(stamp)-1], string(message), "not valid"},
		{"trailing bytes", a, append(bytes.Clone(stamp), 5, 0), string(message), "trailing data"},
		{"no stamp", a, nil, string(message), "not valid"},
		{"overlapping elements", a, overlapping(), string(message), "not in DER"},
		{"a large stamp", a, make([]byte, timestamp.MaxStamp+1), string(message), "larger than"},
	} {
		at, err := timestamp.Verify(test.stamp, []byte(test.message), test.by.roots())
		if err == nil || !at.IsZero() || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Verify = %s, %v, want %q", test.name, at, err, test.want)
		}
		if test.name != "trailing bytes" && test.by.opensslAccepts(t, test.stamp, []byte(test.message), time.Now()) { // openssl ignores them
			t.Errorf("%s: openssl accepts it", test.name)
		}
	}
	if _, err := timestamp.Verify(stamp, message, nil); err == nil {
		t.Error("Verify without authorities accepts a stamp")
	}
}

// Request and Verify reject a stamp if its certificate was not valid at its time,
// or is not for time stamps.
func TestVerifyRejectsCertificates(t *testing.T) {
	needOpenSSL(t)
	day := 24 * time.Hour
	for _, test := range []struct {
		name   string
		change func(*x509.Certificate)
		want   string
	}{
		{"an expired certificate", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(-9*day), time.Now().Add(-day) }, "outside of certificate validity"},
		{"a certificate of the future", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(day) }, "outside of certificate validity"},
	} {
		a := newAuthority(t, test.change)
		if _, err := timestamp.Request(t.Context(), nil, a.url, message); err == nil {
			t.Errorf("%s: Request accepts it", test.name)
		}
		digest := sha256.Sum256(message)
		query, err := (&digitorus.Request{HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Certificates: true}).Marshal()
		must(t, err)
		stamp := a.reply(t, query)
		if at, err := timestamp.Verify(stamp, message, a.roots()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Verify = %s, %v, want %q", test.name, at, err, test.want)
		}
		if a.opensslAccepts(t, stamp, message, time.Now()) {
			t.Errorf("%s: openssl accepts it", test.name)
		}
	}
	a := newAuthority(t, usualCertificate)
	for name, change := range map[string]func(*x509.Certificate){
		"not for time stamps": func(c *x509.Certificate) {
			c.ExtraExtensions, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		},
		"a usage that is not critical": func(c *x509.Certificate) {
			c.ExtraExtensions, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}
		},
	} {
		stamp := a.sign(t, a.issue(t, change), time.Now())
		if at, err := timestamp.Verify(stamp, message, a.roots()); err == nil {
			t.Errorf("%s: Verify = %s", name, at)
		}
	}
}

// A stamp stays valid after the certificate has expired.
func TestVerifyAfterExpiry(t *testing.T) {
	needOpenSSL(t)
	a := newAuthority(t, usualCertificate)
	stamp := a.stamp(t, message)
	synctest.Test(t, func(t *testing.T) { // the clock of the bubble begins in 2000
		time.Sleep(time.Until(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)))
		if _, err := timestamp.Verify(stamp, message, a.roots()); err != nil {
			t.Error(err)
		}
	})
}

// Request rejects responses that are not the stamp that it requested.
func TestRequestRejects(t *testing.T) {
	needOpenSSL(t)
	a := newAuthority(t, usualCertificate)
	earlier := a.stamp(t, message)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	t.Cleanup(other.Close)
	respond := func(body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }
	}
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"huge", func(w http.ResponseWriter, _ *http.Request) {
			for chunk := make([]byte, 1<<20); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, "larger than 32768 bytes"},
		{"garbage", respond([]byte("SESAME\x1b[31m")), "not valid"},
		{"empty", respond(nil), "not valid"},
		{"nested", respond(bytes.Repeat([]byte{0x30, 0x80}, timestamp.MaxStamp/2)), "not valid"},
		{"overlapping elements", respond(overlapping()), "not in DER"},
		{"an earlier stamp", respond(earlier), "nonce"},
		{"a stamp of another message", func(w http.ResponseWriter, r *http.Request) {
			query, _ := io.ReadAll(r.Body)
			digest := sha256.Sum256(message)
			wrong := sha256.Sum256([]byte("other"))
			w.Write(a.reply(t, bytes.Replace(query, digest[:], wrong[:], 1)))
		}, "another message"},
		{"refused", func(w http.ResponseWriter, _ *http.Request) { w.Write(a.reply(t, []byte("no query"))) }, "rejected"},
		{"error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "status 500"},
		{"redirect", http.RedirectHandler(other.URL, http.StatusTemporaryRedirect).ServeHTTP, "status 307"},
		{"cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Write(earlier[:100])
		}, "the response is cut short"},
	} {
		server := httptest.NewServer(test.handler)
		t.Cleanup(server.Close)
		stamp, err := timestamp.Request(t.Context(), server.Client(), server.URL+"?key=SESAME", message)
		if err == nil || stamp != nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Request = %d bytes, %v, want %q", test.name, len(stamp), err, test.want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") || err != nil && strings.Contains(err.Error(), "SESAME") {
			t.Errorf("%s: the error contains a key or a control character: %q", test.name, err)
		}
	}
	for _, url := range []string{"", "tsa.example", "ftp://tsa.example", "http://", "http://user:SESAME\x7f@tsa.example"} {
		if _, err := timestamp.Request(t.Context(), nil, url, message); err == nil || strings.Contains(err.Error(), "SESAME") {
			t.Errorf("Request to %q: %v", url, err)
		}
	}
}

// If the authority does not respond, or responds slowly, Request ends after 10
// seconds.
func TestRequestEndsAfterTenSeconds(t *testing.T) {
	for name, response := range map[string]*http.Response{
		"no response": nil,
		"slow":        {StatusCode: http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &http.Client{Transport: transport(func(req *http.Request) (*http.Response, error) {
					if response == nil {
						<-req.Context().Done()
						return nil, req.Context().Err()
					}
					response.Body = io.NopCloser(drip{req.Context()})
					return response, nil
				})}
				start := time.Now()
				_, err := timestamp.Request(t.Context(), client, "https://tsa.example/SESAME", message)
				if err == nil || time.Since(start) != 10*time.Second || strings.Contains(err.Error(), "SESAME") {
					t.Errorf("Request after %s: %v", time.Since(start), err)
				}
			})
		})
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// drip is a body with one byte per second.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(time.Second):
		return copy(p, "0"), nil
	}
}

// overlapping returns elements that end after the elements that contain them. The
// libraries need minutes for them.
func overlapping() []byte {
	token := append(bytes.Repeat([]byte{0x30, 8, 0x30, 2}, 32), make([]byte, 16)...)
	response := slices.Concat([]byte{0x30, 3, 2, 1, 0, 0x30, 0x81, byte(len(token))}, token)
	return append([]byte{0x30, 0x81, byte(len(response))}, response...)
}

// FuzzVerify checks that Verify accepts no changed stamp with another time.
func FuzzVerify(f *testing.F) {
	needOpenSSL(f)
	a := newAuthority(f, usualCertificate)
	at := time.Now().Truncate(time.Second)
	stamp := a.sign(f, a.issue(f, usualCertificate), at)
	f.Add(stamp)
	f.Add([]byte("0\x80"))
	for i := 0; i < len(stamp); i += 97 {
		changed := bytes.Clone(stamp)
		changed[i] ^= 0xff
		f.Add(changed)
		f.Add(stamp[:i])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := timestamp.Verify(data, message, a.roots()); err == nil && !got.Equal(at) {
			t.Errorf("Verify = %s, want %s", got, at)
		}
	})
}

func needOpenSSL(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("OKTASYNC_LONG_TESTS") == "1" || os.Getenv("OKTASYNC_ALL_TESTS") == "1" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("openssl is not installed")
	}
}

// sign returns a stamp of message by certificate at a time.
func (a *authority) sign(t testing.TB, certificate *x509.Certificate, at time.Time) []byte {
	t.Helper()
	digest := sha256.Sum256(message)
	stamp, err := (&digitorus.Timestamp{
		HashAlgorithm:     crypto.SHA256,
		HashedMessage:     digest[:],
		Time:              at,
		Policy:            []int{1, 2, 3, 4, 1},
		AddTSACertificate: true,
	}).CreateResponseWithOpts(certificate, a.key, crypto.SHA256)
	must(t, err)
	return stamp
}

// opensslAccepts reports whether openssl ts -verify accepts a stamp at a time.
func (a *authority) opensslAccepts(t testing.TB, stamp, message []byte, at time.Time) bool {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "stamp"), stamp)
	write(t, filepath.Join(dir, "message"), message)
	write(t, filepath.Join(dir, "ca.pem"), pemOf("CERTIFICATE", a.root.Raw))
	out, err := exec.Command("openssl", "ts", "-verify", "-in", filepath.Join(dir, "stamp"), "-data", filepath.Join(dir, "message"),
		"-CAfile", filepath.Join(dir, "ca.pem"), "-attime", strconv.FormatInt(at.Unix(), 10)).CombinedOutput()
	if (err == nil) != strings.Contains(string(out), "Verification: OK") {
		t.Fatalf("openssl ts -verify: %s, %v", out, err)
	}
	return err == nil
}
