package dpopauth

import (
	"net"
	"net/url"
	"strings"
)

// A proof is what a DPoP proof claims (RFC 9449, section 4.2).
type proof struct {
	ID        string `json:"jti"`
	Method    string `json:"htm"`
	URL       string `json:"htu"`
	IssuedAt  int64  `json:"iat"`
	TokenHash string `json:"ath,omitempty"`   // empty at the token endpoint
	Nonce     string `json:"nonce,omitempty"` // empty: the server has given none
}

// target returns the htu for a request to u: scheme, host and path as the
// request line has them, in the normal form of RFC 3986, sections 6.2.2.1 and
// 6.2.3, without query and fragment.
func target(u *url.URL, decoded bool) string {
	path := u.EscapedPath()
	if decoded {
		path = escaper.Replace(u.Path)
	}
	if path == "" {
		path = "/"
	}
	return origin(u) + path
}

// escaper leaves a decoded path readable and a URL still a URL: what Okta's Java
// SDK escapes again after decoding, and what would end the path.
var escaper = strings.NewReplacer("%", "%25", " ", "%20", `"`, "%22", "#", "%23", "?", "%3F")

// origin returns scheme, host and port (RFC 6454): in lower case, without a
// default port.
func origin(u *url.URL) string {
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	if port == "" || scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return scheme + "://" + host
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
