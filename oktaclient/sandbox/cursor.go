package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A position is a place in a list: behind the user with a sort key and an id,
// or, with [Config.OffsetCursors], behind a number of users.
type position struct {
	key, id string
	offset  int
}

// cursor seals a position, so that it is good for one query only, and for as
// long as cursors live here. Okta says no more of cursors than that they are
// opaque ("Okta API: pagination"); this one has characters that a URL must escape.
func (o *Org) cursor(r *http.Request, query url.Values, p position) string {
	text := strings.Join([]string{strconv.Itoa(p.offset), p.id, p.key, ""}, "\x00")
	if o.cfg.CursorLife > 0 {
		text += o.now().Format(time.RFC3339Nano)
	}
	return base64.StdEncoding.EncodeToString([]byte(text)) + "/" + o.seal(r, query, text)
}

func (o *Org) seal(r *http.Request, query url.Values, text string) string {
	mac := hmac.New(sha256.New, o.secret)
	mac.Write([]byte(r.URL.Path + "?" + query.Encode() + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:10])
}

// position opens a cursor. One that was altered, is of another query or too old is E0000029.
func (o *Org) position(r *http.Request, query url.Values, cursor string) (p position, err error) {
	encoded, seal, _ := cutLast(cursor, "/")
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !hmac.Equal([]byte(seal), []byte(o.seal(r, query, string(b)))) {
		o.stats.violate("a cursor that was altered or is of another query")
		return p, newError("E0000029")
	}
	part := strings.SplitN(string(b), "\x00", 4)
	if part[3] != "" {
		minted, _ := time.Parse(time.RFC3339Nano, part[3])
		if o.now().Sub(minted) > o.cfg.CursorLife {
			return p, newError("E0000029")
		}
	}
	p.offset, _ = strconv.Atoi(part[0])
	p.id, p.key = part[1], part[2]
	return p, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// next is the path and query of the page after p.
func (o *Org) next(r *http.Request, query url.Values, p position) string {
	next := r.URL.EscapedPath() + "?" + url.Values{"after": {o.cursor(r, query, p)}}.Encode()
	if len(query) > 0 {
		next += "&" + query.Encode()
	}
	return next
}

// link adds a Link header, one line for each.
func (o *Org) link(a *answer, rel, target string) {
	value := "<" + target + `>; rel="` + rel + `"`
	name := "Link"
	if o.cfg.LowerCaseLinks {
		name = "link"
	}
	if have := a.header[name]; o.cfg.JoinLinks && len(have) > 0 {
		a.header[name] = []string{have[0] + ", " + value}
		return
	}
	a.header[name] = append(a.header[name], value)
}

// self is the URL of the request as it came, under the org's own name.
func (o *Org) self(r *http.Request) string {
	self := o.URL() + r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		self += "?" + r.URL.RawQuery
	}
	return self
}
