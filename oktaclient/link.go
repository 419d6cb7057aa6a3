package oktaclient

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxLinks is the most bytes of all Link headers of a response. Each repeats the
// query, and few servers accept a URL of over 16 kB.
const maxLinks = 32 << 10

// NextPage returns the URL of the page after resp, or "" after the last page. It
// rejects a link to another origin or path, because a token must not be sent
// there.
func NextPage(resp *http.Response) (string, error) {
	next, err := nextPage(resp.Header, resp.Request.URL)
	if next == nil {
		return "", err
	}
	return next.String(), err
}

// nextPage is NextPage for a response from base. It returns nil after the last
// page.
func nextPage(h http.Header, base *url.URL) (*url.URL, error) {
	headers := h.Values("Link")
	if total := len(strings.Join(headers, "")); total > maxLinks {
		return nil, fmt.Errorf("%d bytes of Link headers", total)
	}
	links, err := parseLinks(headers)
	if err != nil {
		return nil, err
	}
	target, found := "", false
	for _, link := range links {
		if !link.is("next") {
			continue
		}
		if found && link.target != target {
			return nil, errors.New("two different next links")
		}
		target, found = link.target, true
	}
	if !found {
		return nil, nil
	}
	next, err := url.Parse(target)
	if err != nil {
		return nil, errors.New("next link is not a URL")
	}
	if !next.IsAbs() {
		next = base.ResolveReference(next)
	}
	switch {
	case !sameOrigin(next, base):
		return nil, fmt.Errorf("next link leads to another origin: %s://%s", word(next.Scheme), word(next.Host))
	case next.EscapedPath() != base.EscapedPath():
		return nil, errors.New("next link leads to another path")
	}
	return next, nil
}

// sameOrigin compares scheme, host and port (RFC 6454, section 5). It rejects user
// names.
func sameOrigin(a, b *url.URL) bool {
	return a.User == nil && b.User == nil && a.Opaque == "" && b.Opaque == "" && strings.EqualFold(a.Scheme, b.Scheme) &&
		strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case strings.EqualFold(u.Scheme, "https"):
		return "443"
	default:
		return "80"
	}
}

// link is one link of a Link header (RFC 8288, section 3).
type link struct{ target, rel string }

// is reports whether the link has a relation. A link can have several.
func (l link) is(rel string) bool {
	for name := range strings.FieldsSeq(l.rel) {
		if strings.EqualFold(name, rel) {
			return true
		}
	}
	return false
}

var errLink = errors.New("broken Link header")

// parseLinks parses Link headers, each with one or more links. Any
// malformed link is an error: a skipped next link would end a list too early.
func parseLinks(headers []string) (links []link, err error) {
	for _, rest := range headers {
		for {
			rest = strings.TrimLeft(rest, " \t,")
			if rest == "" {
				break
			}
			var l link
			if l, rest, err = cutLink(rest); err != nil {
				return nil, err
			}
			links = append(links, l)
		}
	}
	return links, nil
}

// cutLink parses one link and returns the rest: empty, or a comma and more.
func cutLink(s string) (l link, rest string, err error) {
	if s[0] != '<' {
		return l, "", errLink
	}
	target, rest, found := strings.Cut(s[1:], ">")
	if !found {
		return l, "", errLink
	}
	l.target = target
	hasRel := false
	for {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" || rest[0] == ',' {
			return l, rest, nil
		}
		if rest[0] != ';' {
			return l, "", errLink
		}
		var name, value string
		if name, value, rest, err = cutParameter(rest[1:]); err != nil {
			return l, "", err
		}
		if strings.EqualFold(name, "rel") && !hasRel { // the first one counts
			l.rel, hasRel = value, true
		}
	}
}

// cutParameter parses `name=token`, `name="quoted string"` or `name`, and returns
// the rest.
func cutParameter(s string) (name, value, rest string, err error) {
	end := strings.IndexAny(s, "=;,")
	if end < 0 {
		end = len(s)
	}
	name = strings.Trim(s[:end], " \t")
	if rest = s[end:]; rest == "" || rest[0] != '=' {
		return name, "", rest, nil
	}
	rest = strings.TrimLeft(rest[1:], " \t")
	if rest == "" || rest[0] != '"' {
		if end = strings.IndexAny(rest, ";, \t"); end < 0 {
			end = len(rest)
		}
		return name, rest[:end], rest[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return name, b.String(), rest[i+1:], nil
		case '\\':
			if i++; i == len(rest) {
				return "", "", "", errLink
			}
		}
		b.WriteByte(rest[i])
	}
	return "", "", "", errLink
}
