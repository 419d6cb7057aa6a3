package dpopauth

import (
	"strconv"
	"time"
)

const (
	assertionLife = 5 * time.Minute  // Okta takes up to an hour
	backdating    = 30 * time.Second // Okta takes no iat in its future
)

// assertion returns a new client assertion (RFC 7523, section 3): every request
// needs its own, since a server takes an id only once.
func assertion(k *Key, clientID, audience string, now time.Time) (string, error) {
	header := []byte(`{"typ":"JWT","alg":"` + k.m.alg.name + `"`)
	if k.id != "" {
		header = appendString(append(header, `,"kid":`...), k.id)
	}
	b := make([]byte, 0, 512)
	b = appendString(append(b, `{"iss":`...), clientID)
	b = appendString(append(b, `,"sub":`...), clientID)
	b = appendString(append(b, `,"aud":`...), audience)
	b = append(b, `,"jti":"`...)
	b = appendID(b)
	b = append(b, `","iat":`...)
	b = strconv.AppendInt(b, now.Add(-backdating).Unix(), 10)
	b = append(b, `,"exp":`...)
	b = strconv.AppendInt(b, now.Add(assertionLife).Unix(), 10)
	return k.m.compact(encode(string(append(header, '}'))), append(b, '}'))
}
