package dpopauth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A proof is what a DPoP proof says beyond its key (RFC 9449, section 4.2).
type proof struct {
	method string
	htu    string
	issued time.Time
	ath    string // hash of the access token; "" at the token endpoint
	nonce  string // "": the server has given none
}

// sign returns the proof with an id of its own, signed by m. The header is
// encoded once a key; what is left costs little more than the signature.
func (p proof) sign(m *material) (string, error) {
	b := make([]byte, 0, 512)
	b = append(b, `{"jti":"`...)
	b = appendID(b)
	b = append(b, `","htm":`...)
	b = appendString(b, p.method)
	b = append(b, `,"htu":`...)
	b = appendString(b, p.htu)
	b = append(b, `,"iat":`...)
	b = strconv.AppendInt(b, p.issued.Unix(), 10) // rounded down
	if p.ath != "" {
		b = append(b, `,"ath":"`...)
		b = append(b, p.ath...)
		b = append(b, '"')
	}
	if p.nonce != "" {
		b = append(b, `,"nonce":`...)
		b = appendString(b, p.nonce)
	}
	return m.compact(m.proof, append(b, '}'))
}

// appendID appends 128 random bits.
func appendID(b []byte) []byte {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return base64.RawURLEncoding.AppendEncode(b, id[:])
}

// hash returns what RFC 9449 has for a token (ath) and RFC 7638 for a key (jkt).
func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
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
