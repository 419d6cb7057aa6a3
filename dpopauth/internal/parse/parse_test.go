package parse_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"oktasync/dpopauth/internal/parse"
)

// TestHeaders has what a client's tests do not come across. Those are the rest:
// D21, D53, D73, D74.
func TestHeaders(t *testing.T) {
	now := time.Date(2026, 11, 25, 6, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "7", 7 * time.Second},
		{"Retry-After", "3600", time.Minute},
		{"Retry-After", "-1", 0},
		{"Retry-After", "Wed, 25 Nov 2026 06:00:09 GMT", 9 * time.Second},
		{"Retry-After", "Wed, 25 Nov 2026 05:00:00 GMT", 0},
		{"Retry-After", "soon", 0},
		{"X-Rate-Limit-Reset", "1795586405", 6 * time.Second},
	} {
		h := http.Header{}
		h.Set(test.name, test.value)
		if got := parse.RetryAfter(h, now, time.Minute); got != test.want {
			t.Errorf("%s: %s waits %v, want %v", test.name, test.value, got, test.want)
		}
	}
	for nonce, want := range map[string]string{"": "", "n-1": "n-1", `a"b`: "", "a b": "", strings.Repeat("n", 1025): ""} {
		if got := parse.Nonce(http.Header{"Dpop-Nonce": {nonce}}); got != want {
			t.Errorf("nonce %q is taken as %q", nonce, got)
		}
	}
	for id, want := range map[string]string{"": "", "aZ3k:1": "aZ3k:1", "a b": "", "a\n": "", strings.Repeat("i", 64): strings.Repeat("i", 64), strings.Repeat("i", 65): ""} {
		if got := parse.RequestID(http.Header{"X-Request-Id": {id}}); got != want {
			t.Errorf("request id %q is taken as %q", id, got)
		}
	}
	for kind, want := range map[string]string{"text/HTML; charset=utf-8": "text/html", "": "without a media type"} {
		if got := parse.MediaType(http.Header{"Content-Type": {kind}}); got != want {
			t.Errorf("media type %q is taken as %q", kind, got)
		}
	}
}

func TestObject(t *testing.T) {
	o, err := parse.JSON([]byte(`{"s": "7.5", "n": 3.6e3, "huge": 1e999, "minus": -1, "null": null, "word": "seven"}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"s": 7.5, "n": 3600} {
		if n, ok := o.Number(name); !ok || n != want {
			t.Errorf("%s = %v, %v, want %v", name, n, ok, want)
		}
	}
	if n, ok := o.Number("huge"); !ok || n < 1e300 {
		t.Errorf("huge = %v, %v", n, ok)
	}
	for _, name := range []string{"minus", "null", "word", "absent"} {
		if n, ok := o.Number(name); ok {
			t.Errorf("%s = %v, want no number", name, n)
		}
	}
	if o.Has("null") || o.Has("absent") || !o.Has("minus") || o.Text("n") != "" {
		t.Error("null and absent are one, and a number is no text")
	}
}

func TestTexts(t *testing.T) {
	if got := parse.Code("", "no code", "invalid_client"); got != "invalid_client" {
		t.Errorf("code = %q", got)
	}
	if got := parse.Code("eyJhbGciOiJFUzI1NiJ9"); got != "" {
		t.Errorf("code = %q, which may be a token", got)
	}
	if !parse.Visible("a~!") || parse.Visible("a b") || parse.Visible("é") {
		t.Error("visible ASCII is ! to ~")
	}
	h := http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`, `Basic realm="x", DPoP error="use_dpop_nonce"`}}
	if c, ok := parse.Refusal(h); !ok || c.Scheme != "dpop" {
		t.Errorf("refusal = %v, %v, want that of DPoP", c, ok)
	}
	if c, ok := parse.Refusal(http.Header{"Www-Authenticate": {"Negotiate"}}); ok {
		t.Errorf("refusal = %v, want none", c)
	}
}
