package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits for fetching the keys of an issuer. A request with an unknown kid causes a
// fetch, so the rate is limited.
const (
	refreshAfter = time.Hour        // age at which keys are fetched again
	maxKeyAge    = 24 * time.Hour   // age up to which keys are used if the issuer fails
	fetchWait    = 30 * time.Second // minimum time between two fetches
	fetchTimeout = 10 * time.Second
	maxDocument  = 512 << 10 // bytes of a JSON document
	maxKeys      = 100       // in a set
	metadataName = "/.well-known/oauth-authorization-server"
	openIDName   = "/.well-known/openid-configuration"
)

// A keySet caches the keys that an issuer publishes (JWKS).
type keySet struct {
	issuer, url string
	client      *http.Client
	now         func() time.Time
	fetching    sync.Mutex // held during a fetch

	mu      sync.Mutex
	keys    []Key
	fetched time.Time // when keys was set; zero: never
	tried   time.Time // time of the last fetch
	err     error     // of the last fetch
}

// newKeySet returns the keys of an issuer. If url is empty, it is taken from the issuer's
// metadata. base is the client for the requests; nil: a new one.
func newKeySet(issuer, url string, base *http.Client, now func() time.Time) *keySet {
	client := &http.Client{}
	if base != nil {
		*client = *base
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &keySet{issuer: issuer, url: url, client: client, now: now}
}

// find returns the key with the kid of header. It fetches the keys if the kid is
// unknown or the cached keys are older than refreshAfter.
func (s *keySet) find(ctx context.Context, header object) (Key, bool, error) {
	if key, ok, _ := s.lookup(header, refreshAfter); ok {
		return key, true, nil
	}
	if !s.fetching.TryLock() {
		if key, ok, _ := s.lookup(header, maxKeyAge); ok {
			return key, true, nil // use an older key while another caller fetches
		}
		s.fetching.Lock() // for fetchTimeout at most
	}
	defer s.fetching.Unlock()
	s.refresh(ctx)
	return s.lookup(header, maxKeyAge)
}

// lookup returns a cached key if the keys are not older than age. Otherwise it
// returns the error of the last fetch.
func (s *keySet) lookup(header object, age time.Duration) (Key, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetched.IsZero() || s.now().Sub(s.fetched) > age {
		return Key{}, false, s.err
	}
	key, ok := findKey(s.keys, header)
	return key, ok, nil
}

// refresh fetches the keys, unless the last fetch was less than fetchWait ago. The
// caller must hold s.fetching.
func (s *keySet) refresh(ctx context.Context) {
	s.mu.Lock()
	early := !s.tried.IsZero() && s.now().Sub(s.tried) < fetchWait
	s.mu.Unlock()
	if early {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout) // other callers wait for the result too
	defer cancel()
	keys, err := s.fetch(ctx)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried, s.err = s.now(), err
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

// signingKeys returns the signing keys of a JWKS. It ignores keys for other uses and
// of unknown types (RFC 7517, section 5).
func signingKeys(jwks object) ([]Key, error) {
	list, _ := jwks["keys"].([]any)
	if len(list) > maxKeys {
		return nil, fmt.Errorf("more than %d keys", maxKeys)
	}
	var keys []Key
	for _, entry := range list {
		entry, _ := entry.(map[string]any) // parsePublicKey rejects nil
		jwk := object(entry)
		use, _ := jwk.text("use")
		ops, _ := jwk.texts("key_ops")
		if use != "" && use != "sig" || jwk.has("key_ops") && !slices.Contains(ops, "verify") {
			continue
		}
		if public, err := parsePublicKey(jwk); err == nil {
			id, _ := jwk.text("kid")
			alg, _ := jwk.text("alg")
			keys = append(keys, Key{ID: id, Algorithm: alg, Public: public})
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no supported signing key")
	}
	return keys, nil
}

// discover returns the URL of the keys from the issuer's metadata. RFC 8414
// (section 3.1) inserts the well-known name between host and path of the issuer.
// Okta and others append it, and some have only OpenID's document (section 5).
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

// metadata returns the jwks_uri of the metadata document at place.
func (s *keySet) metadata(ctx context.Context, place string) (string, error) {
	document, err := s.get(ctx, place)
	if err != nil {
		return "", err
	}
	// The issuer must match exactly (RFC 8414, section 3.3).
	if issuer, _ := document.text("issuer"); issuer != s.issuer {
		return "", fmt.Errorf("%s belongs to another issuer", place)
	}
	address, _ := document.text("jwks_uri")
	if err := checkServerURL(address); err != nil {
		return "", fmt.Errorf("jwks_uri of %s: %w", place, err)
	}
	if !sameServer(address, s.issuer) {
		return "", fmt.Errorf("jwks_uri of %s is on another server than the issuer: configure KeysURL to accept %q", place, address)
	}
	return address, nil
}

// get fetches a JSON object.
func (s *keySet) get(ctx context.Context, address string) (object, error) {
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
	document, ok := parseObject(body)
	if !ok {
		return nil, fmt.Errorf("get %s: not a JSON object", address)
	}
	return document, nil
}
