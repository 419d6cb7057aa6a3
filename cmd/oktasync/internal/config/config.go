// Package config reads the configuration: a YAML file, the environment, and the .env
// file of Okta's DPoP walk-through. It decodes strictly, and reports every error
// with its line and column.
//
// The commands use it, and so do org, doctor and daemon. Start reading at [Load]; [Config] has all keys. The files:
// syntax.go (YAML), decode.go and scalar.go (types), expand.go (variables), check.go
// (values), envfile.go and walkthrough.go (the .env file), file.go (files that the
// configuration names).
package config

import (
	"errors"
	"fmt"
	"slices"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
)

// Config is the configuration file. In a value, ${NAME} is an environment variable,
// ${NAME:-default} has a default, and $${ is a literal ${. Relative paths are
// relative to the folder of the file, or to the working directory if the file is
// a pipe.
type Config struct {
	Okta    OktaConfig         `yaml:"okta"`
	Store   StoreConfig        `yaml:"store"`
	Exports []reconcile.Export `yaml:"exports"` // at least one
	Daemon  DaemonConfig       `yaml:"daemon"`
	Log     LogConfig          `yaml:"log"`

	// File is the path of the file; "" for the environment alone.
	File string `yaml:"-"`
	// SHA256 is the digest of the file, for manifests.
	SHA256 string `yaml:"-"`
	// DPoPPublicKeyFile is OKTA_DPOP_PUBLIC_KEY_FILE of the walk-through, or "". It
	// must match the private key.
	DPoPPublicKeyFile string `yaml:"-"`

	at map[string]Position // of each field in the file
}

// OktaConfig names the org and the service app that reads it.
type OktaConfig struct {
	// OrgURL is the address of the org, without a path. It isn't the address of the
	// Admin Console. Plain HTTP works only with a loopback host.
	OrgURL string `yaml:"org_url" example:"https://acme.okta.com"`
	// ClientID is the client ID of the service app.
	ClientID string `yaml:"client_id" example:"0oa1b2c3d4e5f6g7h8i9"`
	// Scopes are the scopes to request with each token. Empty: exactly what the declared
	// resources need. Other scopes are used only by `oktasync api`.
	Scopes []string `yaml:"scopes" example:"[okta.users.read, okta.groups.read]"`
	// PrivateKeyFile is the key that signs the client assertion: PEM or JWK,
	// readable only by its owner.
	PrivateKeyFile string `yaml:"private_key_file" example:"${CREDENTIALS_DIRECTORY}/client-key"`
	// PrivateKeyID is the kid of the key, if the app has more than one key.
	PrivateKeyID string `yaml:"private_key_id" example:"8aVn0Wy1"`
	// CAFile is a file with additional CA certificates, in PEM, such as that of a
	// company proxy.
	CAFile string     `yaml:"ca_file" example:"/etc/ssl/certs/company-proxy.pem"`
	DPoP   DPoPConfig `yaml:"dpop"`
	// RateLimitShare is the share of the limit in Okta's headers that oktasync may
	// use: more than 0, up to 1. The rest is for other clients of the same endpoints.
	RateLimitShare float64 `yaml:"rate_limit_share" example:"0.25"`
	// Concurrency is the maximum number of requests in flight, up to 75. 1: one
	// request after another.
	Concurrency int `yaml:"concurrency" example:"8"`
}

// Secret is text that no message contains.
type Secret string

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// DPoPConfig binds tokens to a key (RFC 9449).
type DPoPConfig struct {
	// Mode is `required`, or `off` for an app that doesn't require DPoP.
	Mode string `yaml:"mode" example:"off"`
	// PrivateKeyFile is the key that tokens are bound to. Empty: each start creates
	// a new P-256 key in memory. This is the safest choice.
	PrivateKeyFile string `yaml:"private_key_file" example:"dpop-key.pem"`
}

// StoreConfig describes the store of the snapshots.
type StoreConfig struct {
	// Path is the folder of the store. The first `apply` creates it.
	Path string `yaml:"path" example:"/var/lib/oktasync/snapshots"`
	// Group is a group that may read published files. Empty: only the owner.
	Group string `yaml:"group" example:"auditors"`
	// SigningKeyFile is an OpenSSH Ed25519 private key without a passphrase,
	// readable only by its owner. Empty: snapshots aren't signed.
	SigningKeyFile string `yaml:"signing_key_file" example:"${CREDENTIALS_DIRECTORY}/signing-key"`
	// AllowedSignersFile is a file with the signers that `verify` accepts, in the format
	// of ssh-keygen(1). Keep it out of the store, so that a writer of the store can't
	// change it.
	AllowedSignersFile string `yaml:"allowed_signers_file" example:"/etc/oktasync/allowed_signers"`
	// TimestampURL is the address of an RFC 3161 time-stamping authority. It receives
	// only a digest of each snapshot's signature. Without its answer, a snapshot is
	// published with a warning. Empty: no time stamps.
	TimestampURL string `yaml:"timestamp_url" example:"https://freetsa.org/tsr"`
	// TimestampCAFile is a file with the CA certificates, in PEM, of the authorities
	// whose time stamps `verify` accepts. Keep it out of the store.
	TimestampCAFile string `yaml:"timestamp_ca_file" example:"/etc/oktasync/tsa-ca.pem"`
}

// DaemonConfig is used only by `oktasync run`.
type DaemonConfig struct {
	// Listen is the address of health checks, metrics and status page. Empty: none.
	Listen string `yaml:"listen" example:"127.0.0.1:9468"`
	// WebConfigFile is a file with TLS and users, in the format of Prometheus exporters:
	// docs/web.md. Addresses other than loopback need it.
	WebConfigFile string `yaml:"web_config_file" example:"web.yaml"`
	// Verify is the schedule of the verification of the whole store, in UTC.
	// Empty: never.
	Verify string `yaml:"verify" example:"0 3 * * 0"`
	// HeartbeatURL is a URL that the daemon fetches after each of its own reconciles that
	// succeeds, for a dead man's switch. Keep it secret: anyone who has the URL can fetch it.
	HeartbeatURL string `yaml:"heartbeat_url" example:"https://hc-ping.com/1c2d3e4f"`
	// Notify is a list of webhooks. JSON is posted to them for each event of a snapshot, and
	// for each change of an export's state.
	Notify []NotifyConfig `yaml:"notify"`
}

// NotifyConfig describes one webhook.
type NotifyConfig struct {
	// URLFile is a file with the URL that JSON is posted to, readable only by its
	// owner.
	URLFile string `yaml:"url_file" example:"/etc/oktasync/hook.url"`
	// On are the events to send, see docs/notify.md: published, failed, quarantined,
	// overdue, damaged, unsettled, unreconciled, privileged, recovered. Empty: all except
	// published.
	On []string `yaml:"on" example:"[failed, quarantined, overdue, recovered]"`
}

// LogConfig describes the log.
type LogConfig struct {
	// Level is the lowest level that is logged: debug, info, warn or error.
	Level string `yaml:"level" example:"warn"`
	// Format is `text`, `json` or `auto`. auto: text on a terminal, and fields in the
	// systemd journal; otherwise JSON lines for the daemon, and text for commands.
	Format string `yaml:"format" example:"json"`
}

// The values of okta.dpop.mode.
const (
	DPoPRequired = "required"
	DPoPOff      = "off"
)

// Default returns a configuration of default values.
func Default() *Config {
	return &Config{
		Okta: OktaConfig{
			Scopes:         []string{},
			DPoP:           DPoPConfig{Mode: DPoPRequired},
			RateLimitShare: 0.5,
			Concurrency:    4,
		},
		Store:  StoreConfig{Path: "./snapshots"},
		Daemon: DaemonConfig{Listen: "127.0.0.1:9467", Verify: "@weekly"},
		Log:    LogConfig{Level: "info", Format: "auto"},
	}
}

// Select returns the exports with the given names, or all exports if there are
// none.
func (c *Config) Select(names []string) ([]reconcile.Export, error) {
	if len(names) == 0 {
		return c.Exports, nil
	}
	declared := make([]string, len(c.Exports))
	for i, e := range c.Exports {
		declared[i] = e.Name
	}
	var exports []reconcile.Export
	var errs []error
	for i, name := range names {
		switch at := slices.Index(declared, name); {
		case slices.Contains(names[:i], name):
		case at >= 0:
			exports = append(exports, c.Exports[at])
		default:
			errs = append(errs, fmt.Errorf("unknown export %s; %s", term.Word(name), term.Suggestion(name, declared)))
		}
	}
	return exports, errors.Join(errs...)
}

// Declared returns the resources of all exports, each once. A resource that several exports
// declare is as in the first of them, and optional only if it is optional in all of them.
func (c *Config) Declared() (declared []reconcile.Declared) {
	for _, e := range c.Exports {
		for _, d := range e.Resources() {
			i := slices.IndexFunc(declared, func(other reconcile.Declared) bool { return other.Resource == d.Resource })
			if i < 0 {
				declared = append(declared, d)
			} else {
				declared[i].Optional = declared[i].Optional && d.Optional
			}
		}
	}
	return declared
}

// paths returns the values that are paths, by field.
func (c *Config) paths() map[string]*string {
	paths := map[string]*string{
		"okta.private_key_file":      &c.Okta.PrivateKeyFile,
		"okta.ca_file":               &c.Okta.CAFile,
		"okta.dpop.private_key_file": &c.Okta.DPoP.PrivateKeyFile,
		"store.path":                 &c.Store.Path,
		"store.signing_key_file":     &c.Store.SigningKeyFile,
		"store.allowed_signers_file": &c.Store.AllowedSignersFile,
		"store.timestamp_ca_file":    &c.Store.TimestampCAFile,
		"daemon.web_config_file":     &c.Daemon.WebConfigFile,
	}
	for i := range c.Daemon.Notify {
		paths[NotifyField(i)] = &c.Daemon.Notify[i].URLFile
	}
	return paths
}

// Options are the sources of a configuration.
type Options struct {
	File    string // "": $OKTASYNC_CONFIG, or oktasync.yaml
	EnvFile string // a file of NAME=value lines; the environment has priority
	Getenv  func(string) (string, bool)
	// StoreOnly is for commands that only read the store. Other values (okta,
	// daemon, the signing key) are neither expanded nor checked.
	StoreOnly bool
}

const (
	DefaultFile = "oktasync.yaml"
	MaxFile     = 1 << 20 // bytes
)

// NotifyField returns the name of the field with the URL file of the i-th webhook.
func NotifyField(i int) string { return fmt.Sprintf("daemon.notify[%d].url_file", i) }
