package parse_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"oktasync/dpopauth/internal/parse"
)

// FuzzChallenges: what is read, written out again and read again is the same,
// and fields are read one by one.
func FuzzChallenges(f *testing.F) {
	for _, s := range []string{
		`DPoP error="use_dpop_nonce"`, `Bearer realm="a, b", DPoP algs="ES256", error=x`, `Negotiate abc==, Basic realm="x"`,
		`DPoP error_description="say \"no\", \\ DPoP error=x", error="y"`, `,, Basic ,`, `DPoP error = "x`, `error="x"`, "DPoP a=b c=d",
	} {
		f.Add(s, s)
	}
	read := func(fields ...string) []parse.Challenge {
		return parse.Challenges(http.Header{"Www-Authenticate": fields})
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		all := read(a)
		var written []string
		for _, c := range all {
			if c.Scheme == "" || c.Scheme != strings.ToLower(c.Scheme) {
				t.Errorf("scheme = %q", c.Scheme)
			}
			text := c.Scheme + " "
			for k, v := range c.Params {
				text += fmt.Sprintf(`, %s="%s"`, k, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v))
			}
			written = append(written, text)
		}
		if size := len(strings.Join(written, ", ")); size < 8<<10 {
			if again := read(strings.Join(written, ", ")); !reflect.DeepEqual(all, again) {
				t.Errorf("%q is read as %v, and written out as %v", a, all, again)
			}
		}
		if both, apart := read(a, b), append(read(a), read(b)...); !reflect.DeepEqual(both, apart) {
			t.Errorf("%q and %q are read as %v together, as %v apart", a, b, both, apart)
		}
	})
}

// FuzzDate: what is taken for a date is that date when net/http writes it, and
// no Retry-After has us wait for longer than the cap or for less than nothing.
func FuzzDate(f *testing.F) {
	dates := 0
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "120", "-1", "1e3", "99999999999999999999", "yesterday", ""} {
		f.Add(s)
		if _, ok := parse.Date(&http.Response{StatusCode: 200, Header: http.Header{"Date": {s}}}); ok {
			dates++
		}
	}
	if dates != 3 {
		f.Fatalf("%d seeds are dates, want 3", dates)
	}
	now := time.Date(1994, 11, 6, 8, 49, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := parse.Date(&http.Response{StatusCode: 200, Header: http.Header{"Date": {s}}}); ok && d.Year() > 0 {
			again, ok := parse.Date(&http.Response{StatusCode: 200, Header: http.Header{"Date": {d.UTC().Format(http.TimeFormat)}}})
			if !ok || !again.Equal(d) {
				t.Errorf("%q is %v and again %v", s, d, again)
			}
		}
		if w := parse.RetryAfter(http.Header{"Retry-After": {s}}, now, 30*time.Second); w < 0 || w > 30*time.Second {
			t.Errorf("Retry-After: %q waits %v", s, w)
		}
	})
}

// FuzzClean: what is shown of a server's words is printable, short, the same
// when cleaned again, and has no long run of a token's characters with a digit.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"The client_assertion signature is invalid.", "eyJhbGciOiJFUzI1NiJ9.x", "\x1b[31mred", "é\xff", strings.Repeat("a1 ", 500), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := parse.Clean(s, 100)
		if len(got) > 100 || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("Clean(%q) = %q", s, got)
		}
		for _, run := range strings.FieldsFunc(got, func(r rune) bool {
			return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=", r)
		}) {
			if len(run) >= 19 && strings.ContainsAny(run, "0123456789") { // 16 and the dots where it was cut
				t.Errorf("Clean(%q) = %q shows %q", s, got, run)
			}
		}
	})
}

// FuzzJSON: what is read has the members that encoding/json reads, and each once;
// what is not read is no object for encoding/json, or has one twice.
func FuzzJSON(f *testing.F) {
	read := 0
	for _, s := range []string{"{}", `{"a":1,"b":{"a":2}}`, ` {"a":"é"} `, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{":{":{"b:\":":[{"c":1}]},"\\":2}`, `{"a":1}{}`, "[]", "null", "", "{\"a\":\"\xff\"}"} {
		f.Add([]byte(s))
		if _, err := parse.JSON([]byte(s)); err == nil {
			read++
		}
	}
	if read != 4 {
		f.Fatalf("%d seeds are read, want 4", read)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := parse.JSON(data)
		var want map[string]json.RawMessage
		good := utf8.Valid(data) && json.Unmarshal(data, &want) == nil && want != nil && count(data) == len(want)
		if good != (err == nil) || good && len(o) != len(want) {
			t.Fatalf("%q is read as %d members, %v, by encoding/json as %d", data, len(o), err, len(want))
		}
		if err != nil {
			return
		}
		for name, value := range want {
			if string(o[name]) != string(value) {
				t.Errorf("%q: %s = %s, want %s", data, name, o[name], value)
			}
			if n, ok := o.Number(name); ok && (n < 0 || n != n) {
				t.Errorf("%q: %s is the number %v", data, name, n)
			}
		}
	})
}

// count returns how many members a well-formed object has.
func count(object []byte) (n int) {
	dec := json.NewDecoder(bytes.NewReader(object))
	_, _ = dec.Token()
	for ; dec.More(); n++ {
		var value json.RawMessage
		_, _ = dec.Token()
		_ = dec.Decode(&value)
	}
	return n
}
