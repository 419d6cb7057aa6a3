package reconcile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// app is an app of a sandbox org in the same process. It has a bearer token.
type app struct {
	org   *sandbox.Org
	token string
}

var scopes = []string{"okta.users.read", "okta.groups.read", "okta.apps.read"}

// newApp returns an app with a role; the default is sandbox.RoleReadOnly.
func newApp(t *testing.T, cfg sandbox.Config, role ...string) *app {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Clients = []sandbox.ClientApp{{ID: "0oa1", Scopes: scopes, Role: strings.Join(role, ""), Keys: []sandbox.PublicKey{{KID: "k", Key: key.Public()}}}}
	a := &app{org: sandbox.NewOrg(cfg)}
	encode := base64.RawURLEncoding.EncodeToString
	address := a.org.URL() + "/oauth2/v1/token"
	claims, err := json.Marshal(map[string]any{"iss": "0oa1", "sub": "0oa1", "aud": address, "exp": time.Now().Add(cfg.ClockOffset + time.Minute).Unix(), "jti": rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	signed := encode([]byte(`{"alg":"ES256","kid":"k"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	x, y, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	resp, err := a.org.Client().PostForm(address, url.Values{
		"grant_type": {"client_credentials"}, "scope": {strings.Join(scopes, " ")},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {signed + "." + encode(append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...))},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatalf("no token: %d, %v", resp.StatusCode, err)
	}
	a.token = answer.Token
	return a
}

func (a *app) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token)
	return a.org.Transport().RoundTrip(r)
}
