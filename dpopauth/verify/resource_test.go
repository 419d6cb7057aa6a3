package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth/verify"
)

// An exchange is the response to a request.
type exchange struct {
	status int
	header http.Header
	body   string
}

func send(t *testing.T, client *http.Client, r *http.Request) exchange {
	t.Helper()
	resp := must(client.Do(r))
	defer resp.Body.Close()
	body := must(io.ReadAll(resp.Body))
	return exchange{resp.StatusCode, resp.Header, string(body)}
}

// newRequest returns a request with header fields, which may repeat.
func newRequest(method, target, body string, fields ...string) *http.Request {
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header[fields[i]] = append(r.Header[fields[i]], fields[i+1])
	}
	return r
}

const allAlgorithms = `algs="ES256 ES384 ES512 RS256 RS384 RS512 PS256 PS384 PS512 EdDSA Ed25519"`

func challenge(reason verify.Reason) string {
	return `DPoP error="` + reason.Code() + `", error_description="` + reason.Description() + `", ` + allAlgorithms
}

func TestD104_Resource(t *testing.T) {
	as := newAuthServer(nil)
	defer as.Close()
	api := newAPI(as, nil, "orders.read")
	defer api.Close()
	token := as.mint(nil, nil)

	for range 3 {
		got := send(t, api.Client(), newRequest("GET", api.URL+"/orders?status=open", "",
			"Authorization", "DPoP "+token, "DPoP", proveNow("GET", api.URL+"/orders", token, "")))
		if got.status != 200 || got.body != "0oa1 orders.read " {
			t.Errorf("got %d %q %v, want 200", got.status, got.body, got.header)
		}
	}
	got := send(t, api.Client(), newRequest("GET", api.URL+"/orders", "",
		"Authorization", "dpop   "+token, "DPoP", proveNow("GET", api.URL+"/orders", token, "")))
	if got.status != 200 {
		t.Errorf("scheme in lower case: %d %v, want 200", got.status, got.header)
	}
	if n := as.count("/oauth2/default/v1/keys"); n != 1 {
		t.Errorf("keys were read %d times for 4 requests, want once", n)
	}

	// The handler can still read a form that was searched for a token.
	form := url.Values{"note": {strings.Repeat("x", 100_000)}}
	got = send(t, api.Client(), newRequest("POST", api.URL+"/orders", form.Encode(),
		"Content-Type", "application/x-www-form-urlencoded",
		"Authorization", "DPoP "+token, "DPoP", proveNow("POST", api.URL+"/orders", token, "")))
	if got.status != 200 || len(got.body) != len("0oa1 orders.read ")+100_000 {
		t.Errorf("form: %d, %d bytes", got.status, len(got.body))
	}

	defer func() {
		if recover() == nil {
			t.Error("Protect of an empty Resource does not panic")
		}
	}()
	verify.Resource{}.Protect(http.NotFoundHandler())
}

func TestD104_OwnTokens(t *testing.T) {
	// Opaque tokens, as with introspection.
	tokens := map[string]*verify.Token{
		"valid":   {Thumbprint: proofKey.thumbprint(), ClientID: "0oa1", Scopes: []string{"a", "b"}},
		"unbound": {ClientID: "0oa1", Scopes: []string{"a", "b"}},
	}
	var refused []verify.Reason
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	proofs := must(verify.New(verify.Config{Origin: server.URL}))
	resource := verify.Resource{
		Proofs: proofs,
		Tokens: func(_ context.Context, token string) (*verify.Token, error) {
			if token == "down" {
				return nil, errors.New("introspection is down")
			}
			if tokens[token] == nil {
				return nil, &verify.Error{Reason: verify.TokenExpired}
			}
			return tokens[token], nil
		},
		Refused: func(_ *http.Request, err *verify.Error) { refused = append(refused, err.Reason) },
	}
	server.Config.Handler = resource.Protect(http.NotFoundHandler(), "a", "b")
	for _, tt := range []struct {
		token  string
		status int
		reason verify.Reason
	}{
		{"valid", 404, ""},
		{"unbound", 401, verify.TokenNotBound},
		{"gone", 401, verify.TokenExpired},
		{"down", 503, verify.KeysUnavailable},
	} {
		refused = nil
		got := send(t, server.Client(), newRequest("GET", server.URL, "",
			"Authorization", "DPoP "+tt.token, "DPoP", proveNow("GET", server.URL, tt.token, "")))
		if got.status != tt.status || tt.reason != "" && !slices.Equal(refused, []verify.Reason{tt.reason}) {
			t.Errorf("%s: %d %v, refused %q", tt.token, got.status, got.header, refused)
		}
		if tt.status == 503 && got.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After in %v", tt.token, got.header)
		}
	}
	if token, ok := verify.TokenFrom(t.Context()); ok {
		t.Errorf("TokenFrom(a context of another request) = %v", token)
	}
}

func TestD89_OneHeader(t *testing.T) {
	as := newAuthServer(nil)
	defer as.Close()
	api := newAPI(as, nil)
	defer api.Close()
	token := as.mint(nil, nil)
	proof := func(method, url, token string) string { return proveNow(method, url, token, "") }

	for _, tt := range []struct {
		name   string
		proofs func(method, url, token string) []string
		want   verify.Reason
	}{
		{"none", func(_, _, _ string) []string { return nil }, verify.ProofMissing},
		{"empty", func(_, _, _ string) []string { return []string{""} }, verify.ProofMissing},
		{"two", func(m, u, t string) []string { return []string{proof(m, u, t), proof(m, u, t)} }, verify.ProofMultiple},
		{"joined", func(m, u, t string) []string { return []string{proof(m, u, t) + ", " + proof(m, u, t)} }, verify.ProofMultiple},
		{"one and empty", func(m, u, t string) []string { return []string{proof(m, u, t), ""} }, verify.ProofMultiple},
	} {
		r := newRequest("GET", api.URL+"/", "", "Authorization", "DPoP "+token)
		r.Header["Dpop"] = tt.proofs("GET", api.URL+"/", token)
		got := send(t, api.Client(), r)
		if got.status != 401 || got.header.Get("WWW-Authenticate") != challenge(tt.want) || got.body != "" {
			t.Errorf("%s at RS: %d %q", tt.name, got.status, got.header)
		}
		r = as.tokenRequest()
		r.Header["Dpop"] = tt.proofs("POST", r.URL.String(), "")
		wantTokenError(t, tt.name, send(t, as.Client(), r), 400, tt.want)
	}
}

// tokenRequest returns a valid token request without a proof.
func (as *authServer) tokenRequest() *http.Request {
	now := time.Now()
	assertion := as.client.assertion(nil, m{"aud": as.issuer + "/v1/token", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()})
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"scope":                 {"orders.read"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}
	return newRequest("POST", as.issuer+"/v1/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

func wantTokenError(t *testing.T, name string, got exchange, status int, reason verify.Reason) {
	t.Helper()
	var fields map[string]string
	if err := json.Unmarshal([]byte(got.body), &fields); err != nil {
		t.Fatalf("%s at AS: %v in %q", name, err, got.body)
	}
	if got.status != status || fields["error"] != reason.Code() || fields["error_description"] != reason.Description() || len(fields) != 2 {
		t.Errorf("%s at AS: %d %q, want %d %q", name, got.status, got.body, status, reason)
	}
	if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s at AS: header %v", name, got.header)
	}
	if offered := got.header.Get("DPoP-Nonce") != ""; offered != (reason.Code() == verify.UseNonce) {
		t.Errorf("%s at AS: DPoP-Nonce %q", name, got.header.Get("DPoP-Nonce"))
	}
}

func TestD97_Challenge(t *testing.T) {
	asNonces := verify.NewNonces(verify.NonceConfig{})
	apiNonces := verify.NewNonces(verify.NonceConfig{})
	as := newAuthServer(asNonces)
	defer as.Close()
	api := newAPI(as, apiNonces)
	defer api.Close()
	token := as.mint(nil, nil)
	ask := func(nonce string) exchange {
		return send(t, api.Client(), newRequest("GET", api.URL+"/", "",
			"Authorization", "DPoP "+token, "DPoP", proveNow("GET", api.URL+"/", token, nonce)))
	}
	grant := func(nonce string) exchange {
		r := as.tokenRequest()
		r.Header.Set("DPoP", proveNow("POST", r.URL.String(), "", nonce))
		return send(t, as.Client(), r)
	}
	for nonce, want := range map[string]verify.Reason{
		"":                 verify.NonceMissing,
		"unknown":          verify.NonceUnknown,
		asNonces.Nonce():   verify.NonceUnknown, // of the other role
		apiNonces.Nonce():  "",
		"\u0000" + "é":     verify.NonceUnknown,
		"a\"b\\c\r\nX-Y: ": verify.NonceUnknown,
	} {
		got := ask(nonce)
		if want == "" {
			if got.status != 200 || got.header.Get("DPoP-Nonce") != "" {
				t.Errorf("nonce %q: %d %v", nonce, got.status, got.header)
			}
			continue
		}
		if got.status != 401 || got.header.Get("WWW-Authenticate") != challenge(want) ||
			got.header.Get("Cache-Control") != "no-store" || got.header.Get("DPoP-Nonce") != apiNonces.Nonce() {
			t.Errorf("nonce %q: %d %v", nonce, got.status, got.header)
		}
	}
	wantTokenError(t, "no nonce", grant(""), 400, verify.NonceMissing)
	wantTokenError(t, "nonce of the RS", grant(apiNonces.Nonce()), 400, verify.NonceUnknown)
	if got := grant(asNonces.Nonce()); got.status != 200 {
		t.Errorf("with the nonce: %d %s", got.status, got.body)
	}
	old := asNonces.Nonce()
	asNonces.Rotate()
	if got := grant(old); got.status != 200 || got.header.Get("DPoP-Nonce") != asNonces.Nonce() {
		t.Errorf("grant with the last nonce: %d %v", got.status, got.header)
	}
	// A request with the previous nonce passes, and gets the new one.
	last := apiNonces.Nonce()
	apiNonces.Rotate()
	if got := ask(last); got.status != 200 || got.header.Get("DPoP-Nonce") != apiNonces.Nonce() {
		t.Errorf("with the last nonce: %d %v", got.status, got.header)
	}
}

func TestD99_Schemes(t *testing.T) {
	as := newAuthServer(nil)
	defer as.Close()
	api := newAPI(as, nil)
	defer api.Close()
	token := as.mint(nil, nil)
	auth := func(value string) []string {
		return []string{"Authorization", value, "DPoP", proveNow("GET", api.URL+"/", token, "")}
	}
	form := []string{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}
	for _, tt := range []struct {
		name         string
		target, body string
		fields       []string
		status       int
		want         verify.Reason
	}{
		{"bound token as Bearer", "/", "", auth("Bearer " + token), 401, verify.TokenScheme},
		{"bound token as bearer", "/", "", auth("bearer " + token), 401, verify.TokenScheme},
		{"bound token as Bearer, no proof", "/", "", []string{"Authorization", "Bearer " + token}, 401, verify.TokenScheme},
		{"plain token as Bearer", "/", "", auth("Bearer " + as.mint(nil, m{"cnf": absent})), 401, verify.TokenScheme},
		{"plain token as DPoP", "/", "", auth("DPoP " + as.mint(nil, m{"cnf": absent})), 401, verify.TokenNotBound},
		{"no token", "/", "", auth("DPoP"), 401, verify.TokenMalformed},
		{"no token after the space", "/", "", auth("DPoP "), 401, verify.TokenMalformed},
		{"garbled token", "/", "", auth("DPoP x"), 401, verify.TokenMalformed},
		{"two fields", "/", "", append(auth("DPoP "+token), "Authorization", "DPoP "+token), 400, verify.TokenMultiple},
		{"two schemes", "/", "", append(auth("DPoP "+token), "Authorization", "Bearer "+token), 400, verify.TokenMultiple},
		{"in the query too", "/?access_token=x", "", auth("DPoP " + token), 400, verify.TokenMultiple},
		{"in the body too", "/", "a=1&access_token=x", append(auth("DPoP "+token), form...), 400, verify.TokenMultiple},
		{"Basic", "/", "", auth("Basic eDp5"), 401, verify.TokenMissing},
		{"nothing", "/", "", nil, 401, verify.TokenMissing},
		{"in the query only", "/?access_token=" + token, "", nil, 401, verify.TokenMissing},
	} {
		got := send(t, api.Client(), newRequest("GET", api.URL+tt.target, tt.body, tt.fields...))
		want := challenge(tt.want)
		if tt.want == verify.TokenMissing {
			want = "DPoP " + allAlgorithms // no error (RFC 6750, section 3.1)
		}
		if got.status != tt.status || got.header.Get("WWW-Authenticate") != want {
			t.Errorf("%s: %d %v, want %d %s", tt.name, got.status, got.header, tt.status, want)
		}
	}
}

func TestD100_Errors(t *testing.T) {
	as := newAuthServer(nil)
	defer as.Close()
	api := newAPI(as, nil, "orders.read", "orders.write")
	defer api.Close()
	const marker = "c4naryc4naryc4nary"
	for _, tt := range []struct {
		name   string
		token  m
		proof  m
		status int
		want   string
	}{
		{"proof", nil, m{"htu": "https://x.example/" + marker}, 401, challenge(verify.ProofURL)},
		{"replay", nil, m{"jti": strings.Repeat(marker, 100)}, 401, challenge(verify.ProofID)},
		{"token", m{"exp": 1, "sub": marker}, nil, 401, challenge(verify.TokenExpired)},
		{"key", m{"cnf": m{"jkt": marker}}, nil, 401, challenge(verify.ProofOtherKey)},
		{"scope", m{"scp": []string{marker, "orders.read"}}, nil, 403, strings.Replace(challenge(verify.TokenScope), "algs=", `scope="orders.read orders.write", algs=`, 1)},
	} {
		token := as.mint(nil, tt.token)
		valid := m{"htm": "GET", "htu": api.URL + "/", "iat": time.Now().Unix(), "ath": verify.AccessTokenHash(token)}
		got := send(t, api.Client(), newRequest("GET", api.URL+"/?q="+marker, "",
			"Authorization", "DPoP "+token, "DPoP", proofKey.proof(m{"kid": marker}, valid.with(tt.proof))))
		if got.status != tt.status || got.header.Get("WWW-Authenticate") != tt.want || got.body != "" {
			t.Errorf("%s: %d %v %q, want %d %s", tt.name, got.status, got.header, got.body, tt.status, tt.want)
		}
		for name, values := range got.header {
			if strings.Contains(strings.Join(values, ""), marker) {
				t.Errorf("%s: field %s echoes the request", tt.name, name)
			}
		}
	}
	// The descriptions need no escapes in a quoted string.
	for _, reason := range []verify.Reason{verify.ProofMissing, verify.TokenScope, verify.AssertionIssuer, verify.KeysUnavailable} {
		if strings.ContainsAny(string(reason), "\"\\\r\n") || reason.Description() == "" || !strings.Contains(string(reason), reason.Code()+": ") {
			t.Errorf("reason %q", string(reason))
		}
	}
	w := httptest.NewRecorder()
	verify.WriteTokenError(w, errors.New("database is down"))
	if w.Code != 503 || strings.Contains(w.Body.String(), "database") || w.Header().Get("Retry-After") == "" {
		t.Errorf("another error: %d %v %s", w.Code, w.Header(), w.Body)
	}
	r := as.tokenRequest()
	r.Body = io.NopCloser(strings.NewReader("grant_type=client_credentials"))
	r.ContentLength = int64(len("grant_type=client_credentials"))
	wantTokenError(t, "no assertion", send(t, as.Client(), r), 401, verify.AssertionMalformed)
}

func TestD101_TokenType(t *testing.T) {
	as := newAuthServer(nil)
	defer as.Close()
	api := newAPI(as, nil)
	defer api.Close()
	grant := func(proof bool) (exchange, map[string]any, map[string]any) {
		r := as.tokenRequest()
		if proof {
			r.Header.Set("DPoP", proveNow("POST", r.URL.String(), "", ""))
		}
		got := send(t, as.Client(), r)
		var answer, claims map[string]any
		json.Unmarshal([]byte(got.body), &answer)
		if token, ok := answer["access_token"].(string); ok {
			json.Unmarshal(unbase64(t, strings.Split(token, ".")[1]), &claims)
		}
		return got, answer, claims
	}
	_, answer, token := grant(true)
	if answer["token_type"] != "DPoP" || token["cnf"].(map[string]any)["jkt"] != proofKey.thumbprint() {
		t.Errorf("with a proof: %v %v", answer["token_type"], token)
	}
	access := answer["access_token"].(string)
	got := send(t, api.Client(), newRequest("GET", api.URL+"/", "",
		"Authorization", "DPoP "+access, "DPoP", proveNow("GET", api.URL+"/", access, "")))
	if got.status != 200 {
		t.Errorf("the token at the API: %d %v", got.status, got.header)
	}
	refused, _, _ := grant(false)
	wantTokenError(t, "app requires DPoP, no proof", refused, 400, verify.ProofMissing)

	as.requireDPoP.Store(false)
	if _, answer, token := grant(true); answer["token_type"] != "Bearer" || token["cnf"] != nil {
		t.Errorf("app does not require DPoP: %v %v", answer["token_type"], token)
	}
}
