package oktaclient_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
)

// bearer authenticates against a sandbox in the simplest way there is.
type bearer struct {
	org *sandbox.Org
	key *ecdsa.PrivateKey

	ahead time.Duration // the org's clock to ours

	token string
	err   error
}

// newSandbox makes an org with an app, and a transport that is that app.
func newSandbox(t testing.TB, cfg sandbox.Config) *bearer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Clients = []sandbox.ClientApp{{ID: "0oa1", Scopes: []string{"okta.users.read"}, Keys: []sandbox.PublicKey{{KID: "k", Key: key.Public()}}}}
	b := &bearer{org: sandbox.NewOrg(cfg), key: key, ahead: cfg.ClockOffset}
	b.err = b.grant()
	return b
}

func (b *bearer) client(t *testing.T, change func(*oktaclient.Config)) *oktaclient.Client {
	t.Helper()
	return newClient(t, b.org.URL(), &http.Client{Transport: b}, func(cfg *oktaclient.Config) {
		cfg.BaseWait = 0
		cfg.RateLimitShare = 1
		if change != nil {
			change(cfg)
		}
	})
}

func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.err != nil {
		return nil, b.err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.org.Transport().RoundTrip(r)
}

func (b *bearer) grant() error {
	encode := base64.RawURLEncoding.EncodeToString
	address := b.org.URL() + "/oauth2/v1/token"
	claims, _ := json.Marshal(map[string]any{"iss": "0oa1", "sub": "0oa1", "aud": address, "exp": time.Now().Add(b.ahead + time.Minute).Unix(), "jti": rand.Text()})
	signed := encode([]byte(`{"alg":"ES256","kid":"k"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	x, y, err := ecdsa.Sign(rand.Reader, b.key, digest[:])
	if err != nil {
		return err
	}
	resp, err := b.org.Client().PostForm(address, url.Values{
		"grant_type": {"client_credentials"}, "scope": {"okta.users.read"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {signed + "." + encode(append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...))},
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Token == "" {
		return fmt.Errorf("no token: %d, %v", resp.StatusCode, err)
	}
	b.token = answer.Token
	return nil
}

// checkReading compares a reading with what the org holds, byte for byte.
func checkReading(t *testing.T, org *sandbox.Org, s *sink) {
	t.Helper()
	got := map[string][]byte{}
	for id, u := range s.of() {
		got[id] = u.JSON
	}
	n := 0
	for id, want := range org.UsersJSON() {
		if n++; !bytes.Equal(got[id], want) {
			t.Fatalf("user %s = %s, want %s", id, got[id], want)
		}
	}
	if len(got) != n {
		t.Errorf("read %d users, want %d", len(got), n)
	}
	if v := org.Stats().Violations; len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
}

func TestSandboxByteForByte(t *testing.T) {
	for name, cfg := range map[string]sandbox.Config{
		"plain":        {Users: 2000, Deprovisioned: 100},
		"joined links": {Users: 450, JoinLinks: true},
		"twice":        {Users: 450, DuplicateRateHeaders: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newSandbox(t, cfg)
				s := &sink{}
				_, err := b.client(t, func(cfg *oktaclient.Config) { cfg.PageSize = 0 }).Read(t.Context(), everyone, s)
				if err != nil {
					t.Fatal(err)
				}
				checkReading(t, b.org, s)
			})
		})
	}
}

// Whatever goes wrong, a reading is complete or ends with a clear error.
func TestSandboxFaults(t *testing.T) {
	faults := []struct {
		fault   string
		forever string // the error if it does not stop; "": it does no harm
	}{
		{"status=500", "500 E0000009"},
		{"status=502,html", "502"},
		{"status=503", "503 E0000100"},
		{"status=504", "504"},
		{"status=409,code=E0000145", "409 E0000145"},
		{"status=429,retry-after=5s", "429 E0000047"},
		{"busy", "429 E0000047"},
		{"html", "502"},
		{"broken-json", "broken JSON"},
		{"cut=100", "response cut short"},
		{"stall=-1s", "response made no progress"},
		{"cut=1000,stall=-1s", "response made no progress"},
		{"reset", "reset"},
		{"lose", "reset"},
		{"next=loop", "list goes in a circle"},
		{"next=other-host", "another origin"},
		{"next=empty", ""},
		{"next=short", ""},
		{"redirect=https://elsewhere.invalid/", "302"},
	}
	for _, test := range faults {
		for _, forever := range []bool{false, true} {
			for _, concurrency := range []int{1, 4} {
				t.Run(fmt.Sprint(test.fault, " for ever ", forever, " with ", concurrency), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { tryFault(t, test.fault, test.forever, forever, concurrency) })
				})
			}
		}
	}
}

// tryFault has the third request fail, and with forever all after it.
func tryFault(t *testing.T, text, want string, forever bool, concurrency int) {
	fault, err := sandbox.ParseFault(text)
	if err != nil {
		t.Fatal(err)
	}
	b := newSandbox(t, settled(95))
	fault.Nth, fault.Forever = 3, forever
	b.org.Inject(fault)
	s := &sink{}
	_, err = b.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency = concurrency }).Read(t.Context(), everyone, s)
	if err == nil {
		checkReading(t, b.org, s)
		if forever && want != "" {
			t.Errorf("Read() succeeded, want %s", want)
		}
		return
	}
	e, ok := errors.AsType[*oktaclient.Error](err)
	if !ok || !strings.Contains(err.Error(), want) || concurrency == 1 && e.Page != 3 && e.From.IsZero() {
		t.Errorf("Read() = %v, want %s on page 3", err, want)
	}
	once := []string{"next=loop", "next=other-host", "redirect=https://elsewhere.invalid/"}
	if !forever && !slices.Contains(once, text) {
		t.Errorf("Read() = %v, want one fault overcome", err)
	}
}

func TestSandboxPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := settled(4000) // or somebody changed just before, and all would be read again
		cfg.Latency, cfg.Deprovisioned, cfg.RateLimit, cfg.ClientShare = 0, -1, sandbox.Limits(300), 1
		b := newSandbox(t, cfg)
		began, users := time.Now(), 0
		c := b.client(t, func(cfg *oktaclient.Config) { cfg.PageSize, cfg.RateLimitShare = 20, 0.5 })
		if _, err := c.Read(t.Context(), oktaclient.Query{Resource: oktaclient.Users}, counter{&users}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); users < 4000 || took > 63*time.Second {
			t.Errorf("read %d users in %v, want 4000 in at most 63s", users, took)
		}
		if n := b.org.Stats().RateLimited; n > 0 {
			t.Errorf("%d requests refused", n)
		}
	})
}

// counter is a sink that counts users.
type counter struct{ users *int }

func (c counter) Record(oktaclient.Record) error { *c.users++; return nil }

func (c counter) Outside(oktaclient.Record) error { return nil }

func (c counter) Request(oktaclient.Request) error { return nil }
