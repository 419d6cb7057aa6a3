package oktaclient_test

import (
	"reflect"
	"strings"
	"testing"

	"oktasync/oktaclient"
)

func TestParseLinks(t *testing.T) {
	type links = [][2]string
	for _, test := range []struct {
		header string
		want   links
	}{
		{``, nil},
		{`<a>`, links{{"a", ""}}},
		{`<https://acme.okta.com/api/v1/users?after=00u,1&limit=200>; rel="next"`, links{{"https://acme.okta.com/api/v1/users?after=00u,1&limit=200", "next"}}},
		{`<a>;rel=self,<b> ; rel = "next"`, links{{"a", "self"}, {"b", "next"}}},
		{`<a>; rel="self" , , <b>; rel="prev next"`, links{{"a", "self"}, {"b", "prev next"}}},
		{`<a>; title="x\",<y>; rel=\"no\""; REL=next; rel=self`, links{{"a", "next"}}},
		{`<a>; crossorigin; rel=next`, links{{"a", "next"}}},
		{`<>; rel=next`, links{{"", "next"}}},
	} {
		got, err := oktaclient.ParseLinks([]string{test.header})
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("ParseLinks(%s) = %q, %v; want %q", test.header, got, err, test.want)
		}
	}
	for _, header := range []string{`a`, `<a`, `<a>x`, `<a> <b>`, `<a>; rel="next`, `<a>; rel="next\`, `<a>; rel="next"x`} {
		if got, err := oktaclient.ParseLinks([]string{header}); err == nil {
			t.Errorf("ParseLinks(%s) = %q, want an error", header, got)
		}
	}
}

// Several Link headers mean the same as one with commas between them (RFC 9110,
// section 5.3), and a written link is parsed to its parts.
func FuzzParseLinks(f *testing.F) {
	f.Add("https://acme.okta.com/api/v1/users?limit=200", "self", "https://acme.okta.com/api/v1/users?after=00u1,2&limit=200", "next")
	f.Add("a", `q"\`, "b;,<", "Next prev")
	f.Fuzz(func(t *testing.T, a, relA, b, relB string) {
		lines := []string{a, b}
		separate, err := oktaclient.ParseLinks(lines)
		joined, errJoined := oktaclient.ParseLinks([]string{a + ", " + b})
		if err == nil && (errJoined != nil || !reflect.DeepEqual(separate, joined)) {
			t.Fatalf("ParseLinks(%q) = %q, joined %q, %v", lines, separate, joined, errJoined)
		}
		if strings.Contains(a+b, ">") {
			return
		}
		quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
		written := "<" + a + `>; x=y; rel="` + quote.Replace(relA) + `",<` + b + `> ;REL = "` + quote.Replace(relB) + `"; title=","`
		want := [][2]string{{a, relA}, {b, relB}}
		if got, err := oktaclient.ParseLinks([]string{written}); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("ParseLinks(%s) = %q, %v; want %q", written, got, err, want)
		}
	})
}
