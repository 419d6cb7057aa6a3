package config

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/crypto/bcrypt"

	"oktasync/cmd/oktasync/internal/term"
)

// webFile is daemon.web_config_file, in the format that Prometheus exporters
// take (exporter-toolkit, docs/web-configuration.md). Paths are relative to it.
type webFile struct {
	TLS       webTLS            `yaml:"tls_server_config"`
	HTTP      webHTTP           `yaml:"http_server_config"`
	RateLimit RateLimit         `yaml:"rate_limit"`
	Users     map[string]Secret `yaml:"basic_auth_users"` // bcrypt hashes
}

type webTLS struct {
	Cert              string   `yaml:"cert"`
	Key               Secret   `yaml:"key"`
	ClientCA          string   `yaml:"client_ca"`
	CertFile          string   `yaml:"cert_file"`
	KeyFile           string   `yaml:"key_file"`
	ClientCAFile      string   `yaml:"client_ca_file"`
	ClientAuthType    string   `yaml:"client_auth_type"`
	ClientAllowedSANs []string `yaml:"client_allowed_sans"`
	CipherSuites      []string `yaml:"cipher_suites"`
	CurvePreferences  []string `yaml:"curve_preferences"`
	MinVersion        string   `yaml:"min_version"`
	MaxVersion        string   `yaml:"max_version"`
	PreferServer      bool     `yaml:"prefer_server_cipher_suites"` // has no effect in Go, nor there
}

type webHTTP struct {
	HTTP2   bool              `yaml:"http2"`
	Headers map[string]string `yaml:"headers"`
}

type RateLimit struct {
	Burst    int           `yaml:"burst"`
	Interval time.Duration `yaml:"interval"`
}

// Secret is text that no message may show.
type Secret string

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

const maxWebConfig = 1 << 20

// Web is the content of daemon.web_config_file, and of the files that it
// names. The zero value has no TLS and no users.
type Web struct {
	TLS         *tls.Config // nil: plain HTTP
	Certificate string      // SHA-256 of the server's certificate; "" without TLS
	Headers     map[string]string
	Users       map[string]Secret // bcrypt hashes by name
	RateLimit   RateLimit
}

// Closed reports whether only known clients get an answer: those with a
// password or a client certificate, over TLS.
func (w *Web) Closed() bool {
	return w.TLS != nil && (len(w.Users) > 0 || w.TLS.ClientAuth == tls.RequireAndVerifyClientCert)
}

// LoadWeb reads daemon.web_config_file and what it names. Without one,
// everybody on this machine gets in, and nobody else can ask. The files count
// as they are now, until the next reload: in half of an edit nobody is shut out,
// or let in.
func LoadWeb(d DaemonConfig) (*Web, error) {
	file := d.WebConfigFile
	if file == "" {
		return &Web{}, nil
	}
	data, err := ReadFile(file, maxWebConfig)
	if err != nil {
		return nil, fmt.Errorf("daemon.web_config_file: %w", err)
	}
	var c webFile
	c.HTTP.HTTP2, c.TLS.PreferServer = true, true
	dec := &decoder{file: file}
	dec.document(data, &c)
	web := &Web{Users: c.Users, Headers: c.HTTP.Headers, RateLimit: c.RateLimit}
	for _, path := range []*string{&c.TLS.CertFile, &c.TLS.KeyFile, &c.TLS.ClientCAFile} {
		*path = resolve(filepath.Dir(file), *path)
	}
	if dec.err() == nil {
		c.check(dec)
		web.TLS, web.Certificate = c.TLS.load(dec)
	}
	if err := dec.err(); err != nil {
		return nil, fmt.Errorf("daemon.web_config_file: %w", err)
	}
	if web.TLS != nil {
		web.TLS.NextProtos = []string{"h2", "http/1.1"}
		if !c.HTTP.HTTP2 {
			web.TLS.NextProtos = []string{"http/1.1"}
		}
	}
	if problem := ListenProblem(d.Listen, web.Closed()); problem != "" {
		return nil, fmt.Errorf("daemon.listen: %s (%s has not both)", problem, file)
	}
	return web, nil
}

// settableHeaders are those that the format lets people set, with the values
// that the daemon would not be laxer with; nil: any. What it sends for itself
// is strict, and not to be weakened.
var settableHeaders = map[string][]string{
	"Strict-Transport-Security": nil,
	"X-Content-Type-Options":    {"nosniff"},
	"X-Frame-Options":           {"deny"},
}

// check finds what is wrong beside the TLS part.
func (c *webFile) check(d *decoder) {
	for _, user := range slices.Sorted(maps.Keys(c.Users)) {
		if _, err := bcrypt.Cost([]byte(c.Users[user])); err != nil {
			d.wrong("basic_auth_users."+user, "is no bcrypt hash; `htpasswd -nBC 10 USER` makes one")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.HTTP.Headers)) {
		field := "http_server_config.headers." + name
		values, ok := settableHeaders[name]
		switch value := c.HTTP.Headers[name]; {
		case !ok:
			d.wrong(field, "can't be set here; the daemon sends the strictest that its pages live with")
		case values != nil && !slices.Contains(values, value):
			d.wrong(field, "is always "+values[0])
		}
	}
	if r := c.RateLimit; r.Interval < 0 || r.Burst < 0 || (r.Interval > 0) != (r.Burst > 0) {
		d.wrong("rate_limit", "takes a burst of 1 or more and an interval, such as {burst: 20, interval: 100ms}")
	}
}

var clientAuthTypes = map[string]tls.ClientAuthType{
	"NoClientCert": tls.NoClientCert, "RequestClientCert": tls.RequestClientCert,
	"RequireAnyClientCert": tls.RequireAnyClientCert, "RequireClientCert": tls.RequireAnyClientCert,
	"VerifyClientCertIfGiven": tls.VerifyClientCertIfGiven, "RequireAndVerifyClientCert": tls.RequireAndVerifyClientCert,
}

var tlsVersions = map[string]uint16{"TLS12": tls.VersionTLS12, "TLS13": tls.VersionTLS13}

var curves = map[string]tls.CurveID{
	"CurveP256": tls.CurveP256, "CurveP384": tls.CurveP384, "CurveP521": tls.CurveP521, "X25519": tls.X25519,
}

const tlsField = "tls_server_config"

// load makes what crypto/tls takes, nil where there is no TLS, and the digest
// of the certificate.
func (t *webTLS) load(d *decoder) (config *tls.Config, certificate string) {
	if _, stands := d.at[tlsField]; !stands {
		return nil, ""
	}
	config = &tls.Config{MinVersion: tls.VersionTLS12}
	tlsVersion(d, &config.MinVersion, "min_version", t.MinVersion)
	tlsVersion(d, &config.MaxVersion, "max_version", t.MaxVersion)
	if config.MaxVersion != 0 && config.MaxVersion < config.MinVersion {
		d.wrong(tlsField+".max_version", "is older than the min_version")
	}
	for i, name := range t.CurvePreferences {
		curve, ok := curves[name]
		if !ok {
			d.wrong(fmt.Sprintf("%s.curve_preferences[%d]", tlsField, i), "unknown curve; "+term.Suggestion(name, slices.Sorted(maps.Keys(curves))))
		}
		config.CurvePreferences = append(config.CurvePreferences, curve)
	}
	for i, name := range t.CipherSuites {
		at := slices.IndexFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool { return s.Name == name })
		if at < 0 {
			d.wrong(fmt.Sprintf("%s.cipher_suites[%d]", tlsField, i), "unknown cipher, or one that is no longer safe")
			continue
		}
		config.CipherSuites = append(config.CipherSuites, tls.CipherSuites()[at].ID)
	}
	t.clients(d, config)
	cert, key := t.part(d, "cert", t.Cert, t.CertFile), t.part(d, "key", string(t.Key), t.KeyFile)
	if cert == nil || key == nil {
		return config, ""
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		d.wrong(tlsField, "certificate and key are no pair: "+err.Error())
		return config, ""
	}
	config.Certificates = []tls.Certificate{pair}
	return config, SHA256(pair.Certificate[0])
}

func tlsVersion(d *decoder, to *uint16, key, name string) {
	if name == "" {
		return
	}
	v, ok := tlsVersions[name]
	if !ok {
		d.wrong(tlsField+"."+key, "must be TLS12 or TLS13; what is older is no longer safe")
		return
	}
	*to = v
}

// part is what stands under key, or in the file that key_file names.
func (t *webTLS) part(d *decoder, key, inline, file string) []byte {
	field := tlsField + "." + key
	switch {
	case inline != "" && file != "":
		d.wrong(field, fmt.Sprintf("stands beside %s_file; one of them will do", key))
	case inline != "":
		return []byte(inline)
	case file == "":
		d.wrong(tlsField, fmt.Sprintf("lacks %s_file, or %s", key, key))
	default:
		data, err := ReadFile(file, maxWebConfig)
		if err == nil {
			return data
		}
		d.wrong(field+"_file", err.Error())
	}
	return nil
}

// clients says which certificates clients need.
func (t *webTLS) clients(d *decoder, config *tls.Config) {
	auth, ok := clientAuthTypes[cmp.Or(t.ClientAuthType, "NoClientCert")]
	if !ok {
		d.wrong(tlsField+".client_auth_type", "unknown; "+term.Suggestion(t.ClientAuthType, slices.Sorted(maps.Keys(clientAuthTypes))))
		return
	}
	config.ClientAuth = auth
	if t.ClientCA != "" || t.ClientCAFile != "" {
		config.ClientCAs = x509.NewCertPool()
		if pem := t.part(d, "client_ca", t.ClientCA, t.ClientCAFile); pem != nil && !config.ClientCAs.AppendCertsFromPEM(pem) {
			d.wrong(tlsField, "client_ca_file, or client_ca, holds no PEM certificate")
		}
	}
	if (config.ClientCAs != nil) != (auth == tls.VerifyClientCertIfGiven || auth == tls.RequireAndVerifyClientCert) {
		d.wrong(tlsField+".client_auth_type", "VerifyClientCertIfGiven and RequireAndVerifyClientCert take a client_ca_file, and nothing else does")
	}
	if len(t.ClientAllowedSANs) == 0 {
		return
	}
	if auth != tls.RequireAndVerifyClientCert {
		d.wrong(tlsField+".client_allowed_sans", "takes client_auth_type RequireAndVerifyClientCert")
	}
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) > 0 && hasName(s.PeerCertificates[0], t.ClientAllowedSANs) {
			return nil
		}
		return fmt.Errorf("the client's certificate has none of the client_allowed_sans")
	}
}

func hasName(cert *x509.Certificate, names []string) bool {
	has := slices.Concat(cert.DNSNames, cert.EmailAddresses)
	for _, ip := range cert.IPAddresses {
		has = append(has, ip.String())
	}
	for _, uri := range cert.URIs {
		has = append(has, uri.String())
	}
	return slices.ContainsFunc(has, func(name string) bool { return slices.Contains(names, name) })
}
