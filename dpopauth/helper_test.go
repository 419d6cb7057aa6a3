package dpopauth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"oktasync/dpopauth"
	"oktasync/dpopauth/keys"
)

// long reports whether the long forms of tests are wanted.
func long() bool { return os.Getenv("OKTASYNC_LONG_TESTS") == "1" }

// scaled returns n, or much in the long form.
func scaled(n, much int) int {
	if long() {
		return much
	}
	return n
}

// Keys of the supported types.
var (
	p256, p384, p521 = sync.OnceValue(newEC(elliptic.P256())), sync.OnceValue(newEC(elliptic.P384())), sync.OnceValue(newEC(elliptic.P521()))
	rsa1             = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ed               = sync.OnceValue(func() ed25519.PrivateKey {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return must(k, err)
	})
)

func newEC(c elliptic.Curve) func() *ecdsa.PrivateKey {
	return func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(c, rand.Reader)) }
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newKey(t testing.TB, s crypto.Signer) *keys.Key {
	t.Helper()
	k, err := keys.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func withKey(k *keys.Key) func(*dpopauth.Config) {
	return func(c *dpopauth.Config) { c.DPoPKey = k }
}

func withLog(w io.Writer) func(*dpopauth.Config) {
	return func(c *dpopauth.Config) { c.Logger = debugLogger(w) }
}

// An inProcess transport calls a handler, without a network.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	if r.Body != nil {
		r.Body.Close()
	}
	return w.Result(), nil
}

// capture returns a transport with key whose API requests are passed to take, which
// may be nil.
func capture(t testing.TB, key *keys.Key, origin string, take func(r *http.Request)) *dpopauth.Transport {
	t.Helper()
	tr, err := dpopauth.New(dpopauth.Config{
		TokenURL: "https://as.example/token", ClientID: "c", ClientKey: clientKey(), DPoPKey: key, Origins: []string{origin},
		Base: inProcess{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Host == "as.example" {
				io.WriteString(w, `{"access_token":"tok","token_type":"DPoP","expires_in":86400}`)
			} else if take != nil {
				take(r)
			}
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// do sends a GET through tr, which must succeed.
func do(t testing.TB, tr *dpopauth.Transport, url string) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// parts returns the decoded header, claims and signature of a JWS.
func parts(t testing.TB, jws string) (header, claims, sig []byte) {
	t.Helper()
	p := strings.Split(jws, ".")
	if len(p) != 3 {
		t.Fatalf("a JWS of %d parts", len(p))
	}
	var out [3][]byte
	for i := range p {
		b, err := base64.RawURLEncoding.Strict().DecodeString(p[i])
		if err != nil {
			t.Fatal(err)
		}
		out[i] = b
	}
	return out[0], out[1], out[2]
}

// names returns the names of the members of a JSON object, in their order.
func names(t testing.TB, data []byte) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	var list []string
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		list = append(list, name.(string))
	}
	return strings.Join(list, " ")
}

// asError returns the *Error that err must contain.
func asError(t testing.TB, err error) *dpopauth.Error {
	t.Helper()
	var e *dpopauth.Error
	if !errors.As(err, &e) {
		t.Fatalf("error = %v (%T), want a *dpopauth.Error", err, err)
	}
	return e
}

// wantError checks that err contains all words.
func wantError(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("error = nil, want one with %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error = %q, want %q in it", err, w)
		}
	}
}

func debugLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// A journal is a log that is safe for concurrent use.
type journal struct {
	mu   sync.Mutex
	text []byte
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(j.text, p...)
	return len(p), nil
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.text)
}

// A writer is a function as io.Writer.
type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// A pipeListener accepts the connections of its dial method, in memory.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8443} }
