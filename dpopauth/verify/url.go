package verify

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

var errURL = errors.New("not an absolute http URL without userinfo, query and fragment")

// splitURL returns the origin of raw in normal form (RFC 3986, sections 6.2.2.1 and
// 6.2.3: scheme and host in lower case, no default port), and the path as written,
// or "/" if it is empty.
func splitURL(raw string) (origin, path string, err error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(raw, "?#\\") {
		return "", "", errURL
	}
	host := strings.ToLower(u.Hostname())
	for _, c := range host {
		if c > '~' { // internationalized names must be A-labels
			return "", "", errURL
		}
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", "", errURL
	}
	if port := u.Port(); port != "" && !(u.Scheme == "https" && port == "443") && !(u.Scheme == "http" && port == "80") {
		host += ":" + port
	}
	_, rest, _ := strings.Cut(raw, "://")
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		return u.Scheme + "://" + host, rest[slash:], nil
	}
	return u.Scheme + "://" + host, "/", nil
}

// normalPath returns the normal form of a path (RFC 3986, sections 6.2.2 and
// 6.2.3): escapes in upper case, no escaped unreserved characters, no dot
// segments, "/" for the empty path. It keeps a trailing slash and %2F.
func normalPath(escaped string) string {
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c != '%' || i+2 >= len(escaped) {
			b.WriteByte(c)
			continue
		}
		hex := strings.ToUpper(escaped[i : i+3])
		if char, err := url.PathUnescape(hex); err == nil && unreserved(char[0]) {
			b.WriteString(char)
		} else {
			b.WriteString(hex)
		}
		i += 2
	}
	return removeDots(b.String())
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// removeDots implements RFC 3986, section 5.2.4. path.Clean would also merge // and
// remove a trailing slash.
func removeDots(p string) string {
	var out []string
	segments := strings.Split(strings.TrimPrefix(p, "/"), "/")
	for i, segment := range segments {
		switch segment {
		case ".", "..":
			if segment == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if i == len(segments)-1 {
				out = append(out, "")
			}
		default:
			out = append(out, segment)
		}
	}
	return "/" + strings.Join(out, "/")
}

// minimalEscaper escapes only characters that a URL can't contain, as Okta's Java
// SDK does in its htu.
var minimalEscaper = strings.NewReplacer("%", "%25", " ", "%20", `"`, "%22", "#", "%23")

// HostOrigin is a [Config.OriginOf] for a server without a proxy. It uses the
// scheme of the connection and the Host header. Use it only if a wrong Host header
// does no harm, for example on a server with a single name.
func HostOrigin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// ForwardedOrigin is a [Config.OriginOf] for a server behind a proxy. The proxy must
// set X-Forwarded-Proto and X-Forwarded-Host, and remove these headers from client
// requests.
func ForwardedOrigin(r *http.Request) string {
	return r.Header.Get("X-Forwarded-Proto") + "://" + r.Header.Get("X-Forwarded-Host")
}

// checkServerURL requires https, except on a loopback host.
func checkServerURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("%q is not an absolute URL", raw)
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return fmt.Errorf("%q is not an https URL", raw)
	}
	return nil
}

// sameServer reports whether two URLs have the same scheme, host and port.
func sameServer(a, b string) bool { return serverOf(a) != "" && serverOf(a) == serverOf(b) }

// serverOf returns the origin of a URL, or "" if it is not valid.
func serverOf(raw string) string {
	base, _, _ := strings.Cut(raw, "?")
	origin, _, _ := splitURL(base)
	return origin
}

// loopback reports whether host is a loopback address.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
