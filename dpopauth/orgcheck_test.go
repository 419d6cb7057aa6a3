package dpopauth_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

type seen struct {
	n       int // number among the requests of its kind, from 1
	at      time.Time
	method  string
	uri     string
	header  http.Header
	body    []byte
	form    url.Values
	proofs  []string
	proof   proof
	jkt     string
	claims  map[string]any // of the client assertion
	jose    map[string]any // the assertion's header
	refused string         // reason for which the org rejects the proof
}

type proof struct{ header, claims map[string]any }

func (s *seen) nonce() string { v, _ := s.proof.claims["nonce"].(string); return v }
func (s *seen) jti() string   { v, _ := s.proof.claims["jti"].(string); return v }
func (s *seen) iat() int64    { v, _ := s.proof.claims["iat"].(json.Number).Int64(); return v }

// see records a request, and sets the Date of the response.
func (o *org) see(w http.ResponseWriter, r *http.Request, list *[]*seen) *seen {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = nil
	}
	s := &seen{at: time.Now(), method: r.Method, uri: r.RequestURI, header: r.Header, body: body, proofs: r.Header.Values("DPoP")}
	if o.noDate {
		w.Header()["Date"] = nil
	} else {
		w.Header().Set("Date", o.now().UTC().Format(http.TimeFormat))
	}
	if !o.unbound {
		s.refused = o.checkProof(s, r)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	*list = append(*list, s)
	s.n = len(*list)
	return s
}

// verdict returns the error for the time, the nonce or the token hash of a proof.
func (o *org) verdict(role string, s *seen, token string) (code, about string) {
	o.mu.Lock()
	accepted := o.nonces[role]
	o.mu.Unlock()
	ath, _ := s.proof.claims["ath"].(string)
	switch {
	case s.refused != "":
		return "invalid_dpop_proof", s.refused
	case role == "token" && s.proof.claims["ath"] != nil:
		o.fault("ath at the token endpoint")
	case role == "api" && ath != hash(token):
		o.fault("ath is not the hash of the token")
	case len(accepted) > 0 && !slices.Contains(accepted, s.nonce()):
		return "use_dpop_nonce", "Authorization server requires nonce in DPoP proof."
	}
	return "", ""
}

// checkProof checks a proof apart from nonce and token hash. It returns an error
// text for a wrong time, which a correct client may send once. It records all
// other errors as faults.
func (o *org) checkProof(s *seen, r *http.Request) string {
	if len(s.proofs) != 1 {
		o.fault("%d proofs", len(s.proofs))
		return "one proof is needed"
	}
	sig, err := jose.ParseSignedCompact(s.proofs[0], o.algs)
	if err != nil || len(sig.Signatures) != 1 {
		o.fault("proof can't be parsed: %v", err)
		return "The DPoP proof JWT cannot be parsed."
	}
	jwk := sig.Signatures[0].Header.JSONWebKey
	payload, err := sig.Verify(jwk)
	if err != nil || !jwk.IsPublic() {
		o.fault("proof's signature: %v", err)
		return "The DPoP proof JWT signature is invalid."
	}
	thumb, _ := jwk.Thumbprint(crypto.SHA256)
	s.jkt = base64.RawURLEncoding.EncodeToString(thumb)
	header, _ := base64.RawURLEncoding.DecodeString(strings.Split(s.proofs[0], ".")[0])
	s.proof = proof{object(o.t, header), object(o.t, payload)}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	c := s.proof.claims
	if o.decoded { // as Okta compares
		path = r.URL.Path
		if htu, ok := c["htu"].(string); ok {
			c["htu"], _ = url.PathUnescape(htu)
		}
	}
	if want := o.URL + path; c["htu"] != want {
		o.fault("htu = %v, want %s", c["htu"], want)
	}
	if c["htm"] != r.Method {
		o.fault("htm = %v, want %s", c["htm"], r.Method)
	}
	iat, ok := c["iat"].(json.Number)
	if !ok || strings.ContainsAny(iat.String(), ".eE") {
		o.fault("iat = %v, not an integer", c["iat"])
	}
	o.mu.Lock()
	again := o.jtis[s.jti()]
	o.jtis[s.jti()] = true
	o.mu.Unlock()
	if again || s.jti() == "" {
		o.fault("jti %q again", s.jti())
	}
	switch issued := time.Unix(s.iat(), 0); {
	case issued.After(o.now()): // no tolerance at all
		return "The DPoP proof JWT is issued in the future."
	case issued.Before(o.now().Add(-o.past)):
		return "The DPoP proof JWT is issued more than five minutes in the past."
	}
	return ""
}

func (o *org) checkAssertion(s *seen) {
	sig, err := jose.ParseSignedCompact(s.form.Get("client_assertion"), o.algs)
	if err != nil {
		o.fault("client assertion: %v", err)
		return
	}
	payload, err := sig.Verify(o.client.Public())
	if err != nil {
		o.fault("client assertion: %v", err)
		return
	}
	header, _ := base64.RawURLEncoding.DecodeString(strings.Split(s.form.Get("client_assertion"), ".")[0])
	s.jose, s.claims = object(o.t, header), object(o.t, payload)
	id, _ := s.claims["jti"].(string)
	o.mu.Lock()
	defer o.mu.Unlock()
	if id == "" || o.jtis[id] {
		o.faults = append(o.faults, "client assertion has no new jti")
	}
	o.jtis[id] = true
}

func (o *org) fault(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, fmt.Sprintf(format, args...))
}

// object decodes a JSON object, with numbers as json.Number.
func object(t testing.TB, data []byte) map[string]any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		t.Errorf("decode %d octets: %v", len(data), err)
	}
	return m
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
