// Package timestamp requests and verifies time stamps (RFC 3161). In a time stamp, a
// time-stamping authority signs that a message existed at a time. A stamp is the
// whole response of the authority, as openssl ts -verify reads it:
//
//	openssl ts -verify -in STAMP -data MESSAGE -CAfile AUTHORITIES
//
// Package org requests a stamp for the signature of each snapshot, and package
// snapshot/verify checks the stamps. Start reading at [Request], which obtains a stamp, and
// [Verify], which checks it. Both are safe for concurrent use.
package timestamp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/sigstore/timestamp-authority/v2/pkg/verification"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// MaxStamp is the maximum size of a stamp. Usual stamps have less than 10 KiB.
const MaxStamp = 32 << 10

const (
	requestTimeout = 10 * time.Second
	nonceBits      = 64
	maxDepth       = 32 // of nested elements; usual stamps have 15
)

// Request requests a stamp for message from the authority at the URL authority
// (http or https). The authority receives only the SHA-256 digest of message.
// Request uses client, or a default if it is nil. It takes at most 10 seconds,
// and follows no redirect.
//
// The stamp has the digest and the nonce of the request. Request does not check
// the certificate of the authority; see [Verify]. Errors contain the host of the
// URL, and no other part of it.
func Request(ctx context.Context, client *http.Client, authority string, message []byte) (stamp []byte, err error) {
	u, err := url.Parse(authority)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("request time stamp: the URL of the authority is not valid")
	}
	stamp, err = request(ctx, client, u, message)
	if err != nil {
		return nil, fmt.Errorf("request time stamp from %s: %w", u.Host, err)
	}
	return stamp, nil
}

func request(ctx context.Context, client *http.Client, u *url.URL, message []byte) ([]byte, error) {
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), nonceBits))
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(message)
	query, err := (&timestamp.Request{
		HashAlgorithm: crypto.SHA256,
		HashedMessage: digest[:],
		Certificates:  true,
		Nonce:         nonce,
	}).Marshal()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stamp, err := post(ctx, client, u, query)
	if err != nil {
		return nil, err
	}
	if err := checkDER(stamp, maxDepth); err != nil {
		return nil, err
	}
	ts, err := timestamp.ParseResponse(stamp)
	switch {
	case err != nil:
		return nil, invalid(err)
	case ts.HashAlgorithm != crypto.SHA256 || !bytes.Equal(ts.HashedMessage, digest[:]):
		return nil, errors.New("the stamp is for another message")
	case ts.Nonce == nil || ts.Nonce.Cmp(nonce) != 0:
		return nil, errors.New("the stamp does not have the nonce of the request")
	}
	return stamp, nil
}

// post sends a query and returns the body of the response.
func post(ctx context.Context, client *http.Client, u *url.URL, query []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/timestamp-query")
	req.Header.Set("Accept", "application/timestamp-reply")
	if client == nil {
		client = http.DefaultClient
	}
	noRedirects := *client
	noRedirects.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := noRedirects.Do(req)
	if err != nil {
		if urlError, ok := errors.AsType[*url.Error](err); ok {
			err = urlError.Err // without the URL, which can contain a key
		}
		text, _, _ := strings.Cut(err.Error(), `"`) // net/http quotes a malformed response
		return nil, errors.New(strings.TrimRight(text, ": "))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the response has the status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxStamp+1))
	if err != nil {
		return nil, errors.New("the response is cut short")
	}
	if len(body) > MaxStamp {
		return nil, fmt.Errorf("the response is larger than %d bytes", MaxStamp)
	}
	return body, nil
}

// Verify checks a stamp over message and returns its time. The stamp must be
// signed by a time-stamping certificate that authorities issued. As in openssl,
// a chain must end in a self-signed certificate of authorities. All certificates
// must be valid at the time of the stamp. Verify does not check revocation.
func Verify(stamp, message []byte, authorities []*x509.Certificate) (time.Time, error) {
	if len(stamp) > MaxStamp {
		return time.Time{}, fmt.Errorf("verify time stamp: it is larger than %d bytes", MaxStamp)
	}
	if err := checkDER(stamp, maxDepth); err != nil {
		return time.Time{}, fmt.Errorf("verify time stamp: %w", err)
	}
	var options verification.VerifyOpts
	for _, certificate := range authorities {
		if bytes.Equal(certificate.RawSubject, certificate.RawIssuer) {
			options.Roots = append(options.Roots, certificate)
		} else {
			options.Intermediates = append(options.Intermediates, certificate)
		}
	}
	ts, err := verification.VerifyTimestampResponse(stamp, bytes.NewReader(message), options)
	if err != nil {
		return time.Time{}, fmt.Errorf("verify time stamp: %w", invalid(err))
	}
	return ts.Time, nil
}

// invalid returns err with its text in quotes if it can contain text of the
// authority.
func invalid(err error) error {
	return fmt.Errorf("the stamp is not valid: %.200q", err.Error())
}

// checkDER checks that every element of der ends within the element that contains
// it. The parser of the libraries also accepts other input, and needs exponential
// time for it.
func checkDER(der cryptobyte.String, depth int) error {
	for !der.Empty() {
		var element cryptobyte.String
		var tag asn1.Tag
		if !der.ReadAnyASN1(&element, &tag) || depth == 0 {
			return errors.New("the stamp is not valid: it is not in DER")
		}
		if constructed := tag&0x20 != 0; constructed {
			if err := checkDER(element, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}
