package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"oktasync/dpopauth/verify/internal/jws"
)

// Bounds of asking an issuer for its keys. Anyone can send a token with an
// unknown kid, so what that causes has a limit.
const (
	keysFresh    = time.Hour        // after which known keys are asked for again
	keysKept     = 24 * time.Hour   // for which known keys last while the issuer does not answer
	keysWait     = 30 * time.Second // between two attempts, whatever comes
	keysTimeout  = 10 * time.Second // of one attempt
	maxDocument  = 512 << 10        // bytes of a document
	maxKeys      = 100              // in a set
	metadataName = "/.well-known/oauth-authorization-server"
	openIDName   = "/.well-known/openid-configuration"
)

// A keySet holds the keys that an issuer publishes.
type keySet struct {
	issuer, url string
	client      *http.Client
	asking      sync.Mutex // held by the one who asks the issuer

	mu      sync.Mutex
	keys    []Key
	fetched time.Time // when keys came; zero: never
	tried   time.Time // when they were last asked for
	err     error     // what came of that
}

func newKeySet(cfg IssuerConfig) *keySet {
	client := &http.Client{}
	if cfg.HTTPClient != nil {
		*client = *cfg.HTTPClient
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &keySet{issuer: cfg.URL, url: cfg.KeysURL, client: client}
}

// find returns the key that header names. A key that is not known makes it ask
// the issuer, which may have a new one; so does the age of what is known.
func (s *keySet) find(ctx context.Context, header jws.Object) (Key, bool, error) {
	if key, ok, _ := s.lookup(header, keysFresh); ok {
		return key, true, nil
	}
	if !s.asking.TryLock() {
		if key, ok, _ := s.lookup(header, keysKept); ok {
			return key, true, nil // an older one will do while another asks
		}
		s.asking.Lock() // for keysTimeout at most
	}
	defer s.asking.Unlock()
	s.refresh(ctx)
	return s.lookup(header, keysKept)
}

// lookup looks among the keys that are known, if they are not older than age.
// The error says why none are.
func (s *keySet) lookup(header jws.Object, age time.Duration) (Key, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetched.IsZero() || time.Since(s.fetched) > age {
		return Key{}, false, s.err
	}
	key, ok := pick(s.keys, header)
	return key, ok, nil
}

// refresh asks the issuer, unless it was asked a short while ago. The caller holds
// s.asking.
func (s *keySet) refresh(ctx context.Context) {
	s.mu.Lock()
	early := !s.tried.IsZero() && time.Since(s.tried) < keysWait
	s.mu.Unlock()
	if early {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout) // for those who wait, too
	defer cancel()
	keys, err := s.fetch(ctx)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried, s.err = time.Now(), err
	if err == nil {
		s.keys, s.fetched = keys, s.tried
	}
}

func (s *keySet) fetch(ctx context.Context) ([]Key, error) {
	address := s.url
	if address == "" {
		var err error
		if address, err = s.discover(ctx); err != nil {
			return nil, fmt.Errorf("read metadata of issuer: %w", err)
		}
	}
	document, err := s.get(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("read keys of issuer: %w", err)
	}
	keys, err := signingKeys(document)
	if err != nil {
		return nil, fmt.Errorf("read keys of issuer: %w", err)
	}
	return keys, nil
}

// signingKeys returns the keys of a JWKS that signatures may be by. Others, and
// those of a kind that we don't know, are not for us (RFC 7517, section 5).
func signingKeys(jwks jws.Object) ([]Key, error) {
	list, _ := jwks["keys"].([]any)
	if len(list) > maxKeys {
		return nil, fmt.Errorf("more than %d keys", maxKeys)
	}
	var keys []Key
	for _, entry := range list {
		entry, _ := entry.(map[string]any) // PublicKey refuses what is none
		jwk := jws.Object(entry)
		use, _ := jwk.Text("use")
		ops, _ := jwk.Texts("key_ops")
		if use != "" && use != "sig" || jwk.Has("key_ops") && !slices.Contains(ops, "verify") {
			continue
		}
		if public, err := jws.PublicKey(jwk); err == nil {
			id, _ := jwk.Text("kid")
			alg, _ := jwk.Text("alg")
			keys = append(keys, Key{ID: id, Algorithm: alg, Public: public})
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no signing key that we know")
	}
	return keys, nil
}

// discover finds the address of the keys in the issuer's metadata. RFC 8414
// (section 3.1) puts its name between host and path of the issuer; Okta and
// others append it, and some have OpenID's document only (section 5).
func (s *keySet) discover(ctx context.Context) (string, error) {
	u, err := url.Parse(s.issuer)
	if err != nil {
		return "", err
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	origin := u.Scheme + "://" + u.Host
	places := []string{origin + metadataName + path, origin + path + metadataName, origin + path + openIDName}
	if path == "" {
		places = places[1:]
	}
	var failures []error
	for _, place := range places {
		address, err := s.metadata(ctx, place)
		if err == nil {
			return address, nil
		}
		failures = append(failures, err)
	}
	return "", errors.Join(failures...)
}

// metadata returns the jwks_uri of the metadata at place.
func (s *keySet) metadata(ctx context.Context, place string) (string, error) {
	document, err := s.get(ctx, place)
	if err != nil {
		return "", err
	}
	// The same issuer, to the letter (RFC 8414, section 3.3).
	if issuer, _ := document.Text("issuer"); issuer != s.issuer {
		return "", fmt.Errorf("%s is of another issuer", place)
	}
	address, _ := document.Text("jwks_uri")
	if err := checkServerURL(address); err != nil {
		return "", fmt.Errorf("jwks_uri of %s: %w", place, err)
	}
	return address, nil
}

// get reads a JSON object.
func (s *keySet) get(ctx context.Context, address string) (jws.Object, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("get %s: %w", address, err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("get %s: status %d", address, resp.StatusCode)
	case len(body) > maxDocument:
		return nil, fmt.Errorf("get %s: more than %d bytes", address, maxDocument)
	}
	document, ok := jws.ReadObject(body)
	if !ok {
		return nil, fmt.Errorf("get %s: not a JSON object", address)
	}
	return document, nil
}

// loopback says whether host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
