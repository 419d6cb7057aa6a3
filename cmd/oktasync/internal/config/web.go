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

// webFile is daemon.web_config_file, in the format of Prometheus exporters
// (exporter-toolkit, docs/web-configuration.md). Paths are relative to its folder.
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
	PreferServer      bool     `yaml:"prefer_server_cipher_suites"` // has no effect
}

type webHTTP struct {
	HTTP2   bool              `yaml:"http2"`
	Headers map[string]string `yaml:"headers"`
}

// RateLimit limits the requests of clients: Burst at once, then one per Interval.
type RateLimit struct {
	Burst    int           `yaml:"burst"`
	Interval time.Duration `yaml:"interval"`
}

const maxWebConfig = 1 << 20

// Web is the content of daemon.web_config_file and of the files that it names. The
// zero value has no TLS and no users.
type Web struct {
	TLS         *tls.Config // nil: plain HTTP
	Certificate string      // SHA-256 of the server's certificate; "" without TLS
	Headers     map[string]string
	Users       map[string]Secret // bcrypt hashes by name
	RateLimit   RateLimit
}

// Closed reports whether clients need TLS, and a password or a certificate.
func (w *Web) Closed() bool {
	return w.TLS != nil && (len(w.Users) > 0 || w.TLS.ClientAuth == tls.RequireAndVerifyClientCert)
}

// LoadWeb reads daemon.web_config_file and the files that it names. Without one,
// access is unrestricted, but only from this machine. The daemon reads the files only
// at its start and at a reload, so an incomplete change has no effect.
func (c *Config) LoadWeb() (*Web, error) {
	file := c.Daemon.WebConfigFile
	if file == "" {
		return &Web{}, nil
	}
	web, err := loadWeb(file)
	if err != nil {
		return nil, c.Problem("daemon.web_config_file", err)
	}
	if problem := ListenProblem(c.Daemon.Listen, web.Closed()); problem != "" {
		return nil, c.Problem("daemon.listen", fmt.Errorf("%s (%s doesn't have both)", problem, file))
	}
	return web, nil
}

func loadWeb(file string) (*Web, error) {
	data, err := ReadSecret(file, maxWebConfig)
	if err != nil {
		return nil, err
	}
	var c webFile
	c.HTTP.HTTP2, c.TLS.PreferServer = true, true
	d := &decoder{file: file}
	d.document(data, &c)
	web := &Web{Users: c.Users, Headers: c.HTTP.Headers, RateLimit: c.RateLimit}
	for _, path := range []*string{&c.TLS.CertFile, &c.TLS.KeyFile, &c.TLS.ClientCAFile} {
		*path = resolve(filepath.Dir(file), *path)
	}
	if d.err() == nil {
		c.check(d)
		web.TLS, web.Certificate = c.TLS.load(d)
	}
	if web.TLS != nil {
		web.TLS.NextProtos = []string{"http/1.1"}
		if c.HTTP.HTTP2 {
			web.TLS.NextProtos = []string{"h2", "http/1.1"}
		}
	}
	return web, d.err()
}

// settableHeaders contains the headers that the file may set, with the allowed
// values; nil: any value. Other values would weaken the daemon's own headers.
var settableHeaders = map[string][]string{
	"Strict-Transport-Security": nil,
	"X-Content-Type-Options":    {"nosniff"},
	"X-Frame-Options":           {"deny"},
}

// check checks everything except TLS.
func (c *webFile) check(d *decoder) {
	for _, user := range slices.Sorted(maps.Keys(c.Users)) {
		if _, err := bcrypt.Cost([]byte(c.Users[user])); err != nil {
			d.invalid("basic_auth_users."+user, "is not a bcrypt hash; `htpasswd -nBC 10 USER` creates one")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.HTTP.Headers)) {
		field := "http_server_config.headers." + name
		values, ok := settableHeaders[name]
		switch value := c.HTTP.Headers[name]; {
		case !ok:
			d.invalid(field, "can't be set; the daemon sends its own value")
		case values != nil && !slices.Contains(values, value):
			d.invalid(field, "is always "+values[0])
		}
	}
	if r := c.RateLimit; r.Interval < 0 || r.Burst < 0 || (r.Interval > 0) != (r.Burst > 0) {
		d.invalid("rate_limit", "needs a burst of 1 or more and an interval, such as {burst: 20, interval: 100ms}")
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

// load returns the configuration for crypto/tls and the digest of the certificate. It
// is nil without TLS.
func (t *webTLS) load(d *decoder) (config *tls.Config, certificate string) {
	if _, exists := d.at[tlsField]; !exists {
		return nil, ""
	}
	config = &tls.Config{
		MinVersion: choice(d, tlsField+".min_version", cmp.Or(t.MinVersion, "TLS12"), tlsVersions),
		MaxVersion: choice(d, tlsField+".max_version", t.MaxVersion, tlsVersions),
		ClientAuth: choice(d, tlsField+".client_auth_type", t.ClientAuthType, clientAuthTypes),
	}
	if config.MaxVersion != 0 && config.MaxVersion < config.MinVersion {
		d.invalid(tlsField+".max_version", "is lower than min_version")
	}
	for i, name := range t.CurvePreferences {
		field := fmt.Sprintf("%s.curve_preferences[%d]", tlsField, i)
		config.CurvePreferences = append(config.CurvePreferences, choice(d, field, name, curves))
	}
	ciphers := make(map[string]uint16)
	for _, suite := range tls.CipherSuites() {
		ciphers[suite.Name] = suite.ID
	}
	for i, name := range t.CipherSuites {
		field := fmt.Sprintf("%s.cipher_suites[%d]", tlsField, i)
		config.CipherSuites = append(config.CipherSuites, choice(d, field, name, ciphers))
	}
	t.clients(d, config)
	cert, key := t.part(d, "cert", t.Cert, t.CertFile), t.part(d, "key", string(t.Key), t.KeyFile)
	if cert == nil || key == nil {
		return config, ""
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		d.invalid(tlsField, "certificate and key don't match: "+err.Error())
		return config, ""
	}
	config.Certificates = []tls.Certificate{pair}
	return config, SHA256(pair.Certificate[0])
}

// choice returns the value with a name, and the zero value for no name.
func choice[V any](d *decoder, field, name string, known map[string]V) V {
	value, ok := known[name]
	if name != "" && !ok {
		d.invalid(field, "is unknown, or no longer safe; "+term.Suggestion(name, slices.Sorted(maps.Keys(known))))
	}
	return value
}

// part returns the value of a key, or the content of the file that key_file names.
func (t *webTLS) part(d *decoder, key, inline, file string) []byte {
	field := tlsField + "." + key
	switch {
	case inline != "" && file != "":
		d.invalid(field, fmt.Sprintf("can't be combined with %s_file", key))
	case inline != "":
		return []byte(inline)
	case file == "":
		d.invalid(tlsField, fmt.Sprintf("needs %s_file or %s", key, key))
	default:
		read := ReadFile
		if key == "key" {
			read = ReadSecret
		}
		data, err := read(file, maxWebConfig)
		if err == nil {
			return data
		}
		d.invalid(field+"_file", err.Error())
	}
	return nil
}

// clients configures the certificates of clients.
func (t *webTLS) clients(d *decoder, config *tls.Config) {
	auth := config.ClientAuth
	if t.ClientCA != "" || t.ClientCAFile != "" {
		config.ClientCAs = x509.NewCertPool()
		if pem := t.part(d, "client_ca", t.ClientCA, t.ClientCAFile); pem != nil && !config.ClientCAs.AppendCertsFromPEM(pem) {
			d.invalid(tlsField, "client_ca_file or client_ca contains no PEM certificate")
		}
	}
	if (config.ClientCAs != nil) != (auth == tls.VerifyClientCertIfGiven || auth == tls.RequireAndVerifyClientCert) {
		d.invalid(tlsField+".client_auth_type", "a client_ca_file is needed with VerifyClientCertIfGiven and RequireAndVerifyClientCert, and only with these")
	}
	if len(t.ClientAllowedSANs) == 0 {
		return
	}
	if auth != tls.RequireAndVerifyClientCert {
		d.invalid(tlsField+".client_allowed_sans", "needs client_auth_type RequireAndVerifyClientCert")
	}
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) > 0 && hasName(s.PeerCertificates[0], t.ClientAllowedSANs) {
			return nil
		}
		return fmt.Errorf("the client's certificate has none of client_allowed_sans")
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
