package oktaclient_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
)

// bearer is a transport with a bearer token of a sandbox.
type bearer struct {
	org *sandbox.Org
	key *ecdsa.PrivateKey

	ahead time.Duration // the org's clock minus the local clock

	token string
	err   error
}

const allScopes = "okta.users.read okta.groups.read okta.apps.read okta.roles.read okta.apiTokens.read"

// newSandbox returns a transport to a new org.
func newSandbox(t testing.TB, cfg sandbox.Config) *bearer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Clients = []sandbox.ClientApp{{ID: "0oa1", Scopes: strings.Fields(allScopes), Permissions: []string{"okta.iam.read", "okta.users.apitokens.read"}, Keys: []sandbox.PublicKey{{KID: "k", Key: key.Public()}}}}
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
		"grant_type": {"client_credentials"}, "scope": {allScopes},
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

// checkResult compares the records with those of the org, byte for byte.
func checkResult(t *testing.T, org *sandbox.Org, s *sink) {
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

// counter is a sink that counts users.
type counter struct{ users *int }

func (c counter) Record(oktaclient.Record) error { *c.users++; return nil }

func (c counter) Outside(oktaclient.Record) error { return nil }

func (c counter) Request(oktaclient.Request) error { return nil }
