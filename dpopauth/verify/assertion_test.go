package verify_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth/verify"
)

// assertion returns an assertion that is valid except for edits.
func (s signer) assertion(header, edits m) string {
	return s.sign(m{"alg": s.alg, "kid": "1"}.with(header).json(), m{
		"iss": "0oa1", "sub": "0oa1", "aud": origin + "/token", "jti": newID(),
		"iat": start.Unix(), "exp": start.Add(5 * time.Minute).Unix(),
	}.with(edits).json())
}

func newClients(t testing.TB, edits ...func(*verify.ClientsConfig)) *verify.Clients {
	t.Helper()
	cfg := verify.ClientsConfig{Now: at(start), Keys: func(_ context.Context, client string) ([]verify.Key, error) {
		one := verify.Key{ID: "1", Public: newSigner("RS256").key.Public()}
		two := verify.Key{ID: "2", Public: newSigner("ES256").key.Public()}
		switch client {
		case "0oa1":
			return []verify.Key{one, two}, nil
		case "0oa2":
			return []verify.Key{one}, nil
		case "0oa3":
			return nil, nil
		case "0oa4":
			return nil, errors.New("database is down")
		}
		return nil, fmt.Errorf("look up: %w", verify.ErrUnknownClient)
	}}
	for _, edit := range edits {
		edit(&cfg)
	}
	c := must(verify.NewClients(cfg))
	return c
}

func TestD43_Assertion(t *testing.T) {
	rs, es := newSigner("RS256"), newSigner("ES256")
	client := func(id string) m { return m{"iss": id, "sub": id} }
	ahead := func(d time.Duration) int64 { return start.Add(d).Unix() }
	c := newClients(t)
	okta := newClients(t, func(cfg *verify.ClientsConfig) {
		cfg.Leeway, cfg.OptionalID, cfg.Algorithms = -1, true, []string{"RS256", "ES256"}
	})
	signed, _ := cutSignature(rs.assertion(nil, nil))
	for _, tt := range []struct {
		name      string
		assertion string
		want      verify.Reason
		okta      verify.Reason
	}{
		{"valid", rs.assertion(nil, nil), "", ""},
		{"second key", es.assertion(m{"kid": "2"}, nil), "", ""},
		{"only key, not named", rs.assertion(m{"kid": absent}, client("0oa2")), "", ""},
		{"typ", rs.assertion(m{"typ": "client-authentication+jwt"}, nil), "", ""},
		{"one of several keys, not named", rs.assertion(m{"kid": absent}, nil), verify.AssertionKeyID, verify.AssertionKeyID},
		{"unknown kid", rs.assertion(m{"kid": "3"}, nil), verify.AssertionKeyID, verify.AssertionKeyID},
		{"unknown kid of an only key", rs.assertion(m{"kid": "3"}, client("0oa2")), verify.AssertionKeyID, verify.AssertionKeyID},
		{"kid a number", rs.assertion(m{"kid": 1}, client("0oa2")), verify.AssertionKeyID, verify.AssertionKeyID},
		{"malformed", "x.y.z", verify.AssertionMalformed, verify.AssertionMalformed},
		{"empty", "", verify.AssertionMalformed, verify.AssertionMalformed},
		{"too large", rs.assertion(nil, m{"a": strings.Repeat("x", 16<<10)}), verify.AssertionMalformed, verify.AssertionMalformed},
		{"none", rs.assertion(m{"alg": "none"}, nil), verify.AssertionAlgorithm, verify.AssertionAlgorithm},
		{"HS256", rs.assertion(m{"alg": "HS256"}, nil), verify.AssertionAlgorithm, verify.AssertionAlgorithm},
		{"PS256", signer{"PS256", rs.key}.assertion(nil, nil), "", verify.AssertionAlgorithm},
		{"alg of another key", rs.assertion(m{"alg": "ES256"}, nil), verify.AssertionAlgorithm, verify.AssertionAlgorithm},
		{"no iss", rs.assertion(nil, m{"iss": absent}), verify.AssertionIssuer, verify.AssertionIssuer},
		{"empty iss", rs.assertion(nil, client("")), verify.AssertionIssuer, verify.AssertionIssuer},
		{"unknown client", rs.assertion(nil, client("0oa9")), verify.AssertionIssuer, verify.AssertionIssuer},
		{"client without keys", rs.assertion(nil, client("0oa3")), verify.AssertionNoKeys, verify.AssertionNoKeys},
		{"no keys to be had", rs.assertion(nil, client("0oa4")), verify.KeysUnavailable, verify.KeysUnavailable},
		{"by another key", es.assertion(m{"kid": "1", "alg": "RS256"}, nil), verify.AssertionSignature, verify.AssertionSignature},
		{"not signed", signed + ".", verify.AssertionSignature, verify.AssertionSignature},
		{"sub of another", rs.assertion(nil, m{"sub": "0oa2"}), verify.AssertionSubject, verify.AssertionSubject},
		{"no sub", rs.assertion(nil, m{"sub": absent}), verify.AssertionSubject, verify.AssertionSubject},
		{"aud in a list", rs.assertion(nil, m{"aud": []string{origin + "/token"}}), "", ""},
		{"aud the issuer", rs.assertion(nil, m{"aud": origin}), "", ""},
		{"aud another", rs.assertion(nil, m{"aud": origin + "/token/"}), verify.AssertionAudience, verify.AssertionAudience},
		{"aud another too", rs.assertion(nil, m{"aud": []string{origin + "/token", "https://evil.example"}}), verify.AssertionAudience, verify.AssertionAudience},
		{"no aud", rs.assertion(nil, m{"aud": absent}), verify.AssertionAudience, verify.AssertionAudience},
		{"aud of numbers", rs.assertion(nil, m{"aud": []int{1}}), verify.AssertionAudience, verify.AssertionAudience},
		{"no exp", rs.assertion(nil, m{"exp": absent}), verify.AssertionNoExpiry, verify.AssertionNoExpiry},
		{"exp a string", rs.assertion(nil, m{"exp": "1795413600"}), verify.AssertionNoExpiry, verify.AssertionNoExpiry},
		{"exp now", rs.assertion(nil, m{"exp": ahead(0)}), verify.AssertionExpired, verify.AssertionExpired},
		{"exp in an instant", rs.assertion(nil, m{"exp": ahead(time.Second)}), "", ""},
		{"exp in an hour", rs.assertion(nil, m{"exp": ahead(time.Hour)}), "", ""},
		{"exp in more than an hour", rs.assertion(nil, m{"exp": ahead(time.Hour + time.Second)}), verify.AssertionTooLong, verify.AssertionTooLong},
		{"iat ahead, within skew", rs.assertion(nil, m{"iat": ahead(5 * time.Second)}), "", verify.AssertionIssuedAt},
		{"iat ahead", rs.assertion(nil, m{"iat": ahead(6 * time.Second)}), verify.AssertionIssuedAt, verify.AssertionIssuedAt},
		{"iat a string", rs.assertion(nil, m{"iat": "now"}), verify.AssertionIssuedAt, verify.AssertionIssuedAt},
		{"no iat", rs.assertion(nil, m{"iat": absent}), "", ""},
		{"nbf past", rs.assertion(nil, m{"nbf": ahead(-time.Hour)}), "", ""},
		{"nbf ahead", rs.assertion(nil, m{"nbf": ahead(6 * time.Second)}), verify.AssertionNotYet, verify.AssertionNotYet},
		{"no jti", rs.assertion(nil, m{"jti": absent}), verify.AssertionID, ""},
		{"empty jti", rs.assertion(nil, m{"jti": ""}), verify.AssertionID, verify.AssertionID},
		{"long jti", rs.assertion(nil, m{"jti": strings.Repeat("x", 257)}), verify.AssertionID, verify.AssertionID},
	} {
		for dialect, clients := range map[*verify.Clients]verify.Reason{c: tt.want, okta: tt.okta} {
			got, err := dialect.Assertion(t.Context(), tt.assertion, origin, origin+"/token")
			if reasonOf(err) != clients {
				t.Errorf("%s (Okta: %t): %v, want %q", tt.name, dialect == okta, err, clients)
			}
			if (got == nil) != (err != nil) {
				t.Errorf("%s: Assertion() = %v and error %v", tt.name, got, err)
			}
		}
	}
	got, err := newClients(t).Assertion(t.Context(), es.assertion(m{"kid": "2"}, m{"jti": "x"}), origin+"/token")
	want := verify.Assertion{ClientID: "0oa1", KeyID: "2", ID: "x", Expiry: start.Add(5 * time.Minute)}
	if err != nil || got.ClientID != want.ClientID || got.KeyID != want.KeyID || got.ID != want.ID || !got.Expiry.Equal(want.Expiry) {
		t.Errorf("Assertion() = %+v, %v, want %+v", got, err, want)
	}
}

func TestD41_AssertionReplay(t *testing.T) {
	s := newSigner("RS256")
	now := start
	c := newClients(t, func(cfg *verify.ClientsConfig) { cfg.Now = func() time.Time { return now } })
	check := func(assertion string, want verify.Reason) {
		t.Helper()
		if _, err := c.Assertion(t.Context(), assertion, origin+"/token"); reasonOf(err) != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
	spent := m{"jti": "1"}
	check(s.assertion(nil, spent.with(m{"aud": "x"})), verify.AssertionAudience) // does not use the jti
	check(s.assertion(nil, spent), "")
	check(s.assertion(nil, spent), verify.AssertionReplayed)
	check(s.assertion(nil, m{"jti": "1", "iss": "0oa2", "sub": "0oa2"}), "") // of another client
	now = start.Add(5*time.Minute - time.Second)
	check(s.assertion(nil, spent), verify.AssertionReplayed) // until it expires
	full := newClients(t, func(cfg *verify.ClientsConfig) { cfg.Replay = verify.NewReplayCache(1) })
	for _, want := range []verify.Reason{"", verify.ReplayUnavailable} {
		if _, err := full.Assertion(t.Context(), s.assertion(nil, nil), origin+"/token"); reasonOf(err) != want {
			t.Errorf("cache of one: %v, want %q", err, want)
		}
	}
}
