package dpopauth

import (
	"net"
	"net/url"
	"strings"
)

// proofClaims are the claims of a DPoP proof (RFC 9449, section 4.2).
type proofClaims struct {
	ID        string `json:"jti"`
	Method    string `json:"htm"`
	URL       string `json:"htu"`
	IssuedAt  int64  `json:"iat"`
	TokenHash string `json:"ath,omitempty"`   // empty at the token endpoint
	Nonce     string `json:"nonce,omitempty"` // empty if the server has sent none
}

// proofURL returns the htu for a request to u: scheme, host and path as on the
// request line, without query and fragment, in the normal form of RFC 3986,
// sections 6.2.2.1 and 6.2.3.
func proofURL(u *url.URL, decodedPath bool) string {
	path := u.EscapedPath()
	if decodedPath {
		path = pathEscaper.Replace(u.Path)
	}
	if path == "" {
		path = "/"
	}
	return origin(u) + path
}

// pathEscaper escapes only the characters of a decoded path that would change the
// URL's structure, as Okta's Java SDK does.
var pathEscaper = strings.NewReplacer("%", "%25", " ", "%20", `"`, "%22", "#", "%23", "?", "%3F")

// origin returns scheme, host and port of u (RFC 6454) in lower case, without a
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
