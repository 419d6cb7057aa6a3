package dpopauth_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth"
)

// FuzzChallenges checks that parsed challenges are the same after formatting and
// parsing them again, and that header lines are parsed independently.
func FuzzChallenges(f *testing.F) {
	for _, s := range []string{
		`DPoP error="use_dpop_nonce"`, `Bearer realm="a, b", DPoP algs="ES256", error=x`, `Negotiate abc==, Basic realm="x"`,
		`DPoP error_description="say \"no\", \\ DPoP error=x", error="y"`, `,, Basic ,`, `DPoP error = "x`, `error="x"`, "DPoP a=b c=d",
	} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		all := dpopauth.ParseChallenges(a)
		var formatted []string
		for _, c := range all {
			if c.Scheme == "" || c.Scheme != strings.ToLower(c.Scheme) {
				t.Errorf("scheme = %q", c.Scheme)
			}
			text := c.Scheme + " "
			for k, v := range c.Params {
				text += fmt.Sprintf(`, %s="%s"`, k, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v))
			}
			formatted = append(formatted, text)
		}
		if line := strings.Join(formatted, ", "); len(line) < 8<<10 {
			if again := dpopauth.ParseChallenges(line); !reflect.DeepEqual(all, again) {
				t.Errorf("challenges of %q = %v, after formatting %v", a, all, again)
			}
		}
		if both, apart := dpopauth.ParseChallenges(a, b), append(dpopauth.ParseChallenges(a), dpopauth.ParseChallenges(b)...); !reflect.DeepEqual(both, apart) {
			t.Errorf("challenges of %q and %q = %v, of each line %v", a, b, both, apart)
		}
	})
}

// FuzzDateHeader checks that net/http formats a parsed Date to the same date, and
// that the wait for Retry-After is within its bounds.
func FuzzDateHeader(f *testing.F) {
	parse := func(s string) (time.Time, bool) {
		return dpopauth.DateHeader(&http.Response{StatusCode: 200, Header: http.Header{"Date": {s}}})
	}
	dates := 0
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "120", "-1", "1e3", "99999999999999999999", "yesterday", ""} {
		f.Add(s)
		if _, ok := parse(s); ok {
			dates++
		}
	}
	if dates != 3 {
		f.Fatalf("seeds that are dates = %d, want 3", dates)
	}
	now := time.Date(1994, 11, 6, 8, 49, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := parse(s); ok && d.Year() > 0 {
			if again, ok := parse(d.UTC().Format(http.TimeFormat)); !ok || !again.Equal(d) {
				t.Errorf("date of %q = %v, after formatting %v", s, d, again)
			}
		}
		if w := dpopauth.RetryAfterHeader(http.Header{"Retry-After": {s}}, now, 30*time.Second); w < 0 || w > 30*time.Second {
			t.Errorf("wait for Retry-After %q = %v", s, w)
		}
	})
}

// FuzzCleanText checks that cleaned text is printable and short, and contains no
// long run of token characters with a digit.
func FuzzCleanText(f *testing.F) {
	for _, s := range []string{"The client_assertion signature is invalid.", "eyJhbGciOiJFUzI1NiJ9.x", "\x1b[31mred", "é\xff", strings.Repeat("a1 ", 500), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := dpopauth.CleanText(s, 100)
		if len(got) > 100 || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("CleanText(%q) = %q", s, got)
		}
		for _, run := range strings.FieldsFunc(got, func(r rune) bool {
			return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=", r)
		}) {
			if len(run) >= 19 && strings.ContainsAny(run, "0123456789") { // 16 and the ellipsis
				t.Errorf("CleanText(%q) = %q contains %q", s, got, run)
			}
		}
	})
}

// TestResponseHeaders covers the values that no other test sends; see also D21,
// D53, D73 and D74.
func TestResponseHeaders(t *testing.T) {
	long := strings.Repeat("i", 64)
	for id, want := range map[string]string{"": "", "aZ3k:1": "aZ3k:1", "a b": "", "a\n": "", long: long, long + "i": ""} {
		if got := dpopauth.RequestIDHeader(http.Header{"X-Request-Id": {id}}); got != want {
			t.Errorf("request id of %q = %q, want %q", id, got, want)
		}
	}
	if got := dpopauth.ErrorCode("", "no code", "invalid_client"); got != "invalid_client" {
		t.Errorf("ErrorCode() = %q, want invalid_client", got)
	}
	if got := dpopauth.ErrorCode("eyJhbGciOiJFUzI1NiJ9"); got != "" {
		t.Errorf("ErrorCode() = %q, which may be a token", got)
	}
}
