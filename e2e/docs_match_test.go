package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// The parts of an output that differ from run to run. A page shows an example of each.
// If an example matches bindable, it is the same value everywhere on the page, and
// other examples are other values.
var (
	bindable = regexp.MustCompile(strings.Join([]string{
		`[0-9]{8}T[0-9]{6}Z`, // a snapshot's name
		`[0-9a-f]{64}`,       // a digest
		`SHA256:[A-Za-z0-9+/]{43}`,
		`[A-Za-z0-9_-]{43}`, // a key's thumbprint
	}, "|"))
	varying = regexp.MustCompile(bindable.String() + "|" + strings.Join([]string{
		`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]+)?Z`,
		`[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(?::[0-9]{2} [+-][0-9:]{5})? UTC`,
		`[0-9]+ bytes`,
		`run by \S+ on \S+`,
		`…`,
	}, "|"))
)

// match compares the lines of a page with an output, and returns the difference.
func (p *page) match(want, got []string) string {
	if len(want) == 0 {
		want = []string{""}
	}
	for len(want) > 0 {
		anything := strings.TrimSpace(want[0]) == "…"
		if anything {
			if want = want[1:]; len(want) == 0 {
				return ""
			}
		}
		for {
			if len(got) == 0 {
				return fmt.Sprintf("the output lacks the line %q", want[0])
			}
			problem := p.matchLine(want[0], got[0])
			if problem == "" {
				break
			}
			if !anything {
				return problem
			}
			got = got[1:]
		}
		want, got = want[1:], got[1:]
	}
	if len(got) > 0 {
		return fmt.Sprintf("the page lacks the line %q", got[0])
	}
	return ""
}

var spaces = regexp.MustCompile(` +`)

// matchLine compares a line, and binds its examples to real values.
func (p *page) matchLine(want, got string) string {
	want, got = spaces.ReplaceAllString(want, " "), spaces.ReplaceAllString(strings.TrimRight(got, " \r"), " ")
	var pattern strings.Builder
	var names []string
	rest := want
	for _, shown := range varying.FindAllString(want, -1) {
		before, after, _ := strings.Cut(rest, shown)
		rest = after
		pattern.WriteString(regexp.QuoteMeta(before))
		switch {
		case shown == "…":
			pattern.WriteString(".*")
		case bindable.MatchString(shown):
			names = append(names, shown)
			pattern.WriteString("(" + bindable.String() + ")")
		default:
			pattern.WriteString("(?:" + varying.String() + ")")
		}
	}
	pattern.WriteString(regexp.QuoteMeta(rest))
	m := regexp.MustCompile("^" + pattern.String() + "$").FindStringSubmatch(got)
	if m == nil {
		return fmt.Sprintf("the page has %q, the output %q", want, got)
	}
	for i, shown := range names {
		if problem := p.bind(shown, m[i+1]); problem != "" {
			return problem
		}
	}
	return ""
}

// bind binds an example to a real value. It returns the contradiction to an
// earlier binding, if any.
func (p *page) bind(shown, real string) string {
	for s, r := range p.bound {
		if (s == shown) != (r == real) {
			return fmt.Sprintf("the page uses %s for %s, and %s for %s", shown, real, s, r)
		}
	}
	p.bound[shown] = real
	return ""
}

func TestMatch(t *testing.T) {
	const first, second, digest = "20261123T060000Z", "20261124T060000Z", "319eb3529a3c29afae61b15f927a61863c4a0bc708d10cf2011c1c26fc84258d"
	for _, test := range []struct {
		want, got string
		match     bool
	}{
		{"published " + first, "published 20270101T000000Z", true},
		{first + "\n" + first, "20270101T000000Z\n20270101T000000Z", true},
		{first + "\n" + first, "20270101T000000Z\n20270102T000000Z", false},
		{first + "\n" + second, "20270101T000000Z\n20270101T000000Z", false},
		{"sha256 " + digest, "sha256 319eb3529", false},
		{"300 users", "301 users", false},
		{"300 … users", "300 good users", true},
		{"a  b", "a     b", true},
		{"a", "a\nb", false},
		{"a\nb", "a", false},
		{"…\nb", "x\ny\nb", true},
		{"a\n…", "a\nb\nc", true},
		{"…\nb", "x\ny", false},
		{"", "output", false},
	} {
		p := &page{bound: map[string]string{}}
		if problem := p.match(strings.Split(test.want, "\n"), strings.Split(test.got, "\n")); (problem == "") != test.match {
			t.Errorf("match(%q, %q) = %q, want a match: %t", test.want, test.got, problem, test.match)
		}
	}
}
