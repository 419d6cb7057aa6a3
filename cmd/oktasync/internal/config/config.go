package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
)

// Config is the configuration file. Values may hold ${NAME} for a variable of
// the environment, ${NAME:-default}, and $${ for a literal ${. Relative paths
// are relative to the file's folder, or where it is a pipe, to the current one.
// A key that is left out has its default.
type Config struct {
	Okta    OktaConfig         `yaml:"okta"`
	Store   StoreConfig        `yaml:"store"`
	Exports []reconcile.Export `yaml:"exports"` // at least one
	Daemon  DaemonConfig       `yaml:"daemon"`
	Log     LogConfig          `yaml:"log"`

	// File is where the configuration was read, "" for the environment alone.
	File string `yaml:"-"`
	// SHA256 is the digest of what was read. Manifests name it.
	SHA256 string `yaml:"-"`
	// DPoPPublicKeyFile is the walk-through's OKTA_DPOP_PUBLIC_KEY_FILE, which
	// must belong to the private one; "" where it is not given.
	DPoPPublicKeyFile string `yaml:"-"`
}

// OktaConfig says which org is read, and as whom.
type OktaConfig struct {
	// OrgURL is the org's address, such as https://acme.okta.com: not the admin
	// console's, and without a path. Plain http only on a loopback host.
	OrgURL string `yaml:"org_url" example:"https://acme.okta.com"`
	// ClientID is the service app's client ID.
	ClientID string `yaml:"client_id" example:"0oa1b2c3d4e5f6g7h8i9"`
	// Scopes are requested with each token. Empty: exactly what the declared
	// resources need. Other scopes are used only by `oktasync api`.
	Scopes []string `yaml:"scopes" example:"[okta.users.read, okta.groups.read]"`
	// PrivateKeyFile signs the client assertion: PEM or JWK, readable by its
	// owner alone.
	PrivateKeyFile string `yaml:"private_key_file" example:"${CREDENTIALS_DIRECTORY}/client-key"`
	// PrivateKeyID is the key's kid, where the app has more than one key.
	PrivateKeyID string `yaml:"private_key_id" example:"8aVn0Wy1"`
	// CAFile holds further CA certificates to trust, in PEM, such as a company
	// proxy's.
	CAFile string     `yaml:"ca_file" example:"/etc/ssl/certs/company-proxy.pem"`
	DPoP   DPoPConfig `yaml:"dpop"`
	// RateLimitShare is how much of the limit that Okta's headers show may be
	// used: more than 0, up to 1. The rest is for everybody else who calls the
	// same endpoints.
	RateLimitShare float64 `yaml:"rate_limit_share" example:"0.25"`
	// Concurrency is the most requests in flight, up to 75. 1: plain lists, one after the
	// other.
	Concurrency int `yaml:"concurrency" example:"8"`
}

// DPoPConfig says how tokens are bound to a key (RFC 9449).
type DPoPConfig struct {
	// Mode is whether they are: required, or off for an app that does not require
	// DPoP.
	Mode string `yaml:"mode" example:"off"`
	// PrivateKeyFile is the key that tokens are bound to. Empty: a new P-256 key
	// in memory at every start, which nobody can steal from a disk.
	PrivateKeyFile string `yaml:"private_key_file" example:"dpop-key.pem"`
}

// StoreConfig says where snapshots are kept.
type StoreConfig struct {
	// Path is the folder of the store. It is made by the first apply.
	Path string `yaml:"path" example:"/var/lib/oktasync/snapshots"`
	// Group is a group that may read what is published. Empty: the owner alone.
	Group string `yaml:"group" example:"auditors"`
	// SigningKeyFile is an OpenSSH Ed25519 private key without a passphrase,
	// readable by its owner alone. Empty: snapshots are not signed.
	SigningKeyFile string `yaml:"signing_key_file" example:"${CREDENTIALS_DIRECTORY}/signing-key"`
	// AllowedSignersFile says whose signatures verify accepts, as ssh-keygen(1)
	// has it. Keep it out of the store: whoever can write there could vouch for
	// himself.
	AllowedSignersFile string `yaml:"allowed_signers_file" example:"/etc/oktasync/allowed_signers"`
}

// DaemonConfig is what only `oktasync run` looks at.
type DaemonConfig struct {
	// Listen is the address of health, metrics and status page. Empty: none.
	Listen string `yaml:"listen" example:"127.0.0.1:9468"`
	// WebConfigFile has TLS and users as Prometheus exporters take them. It is
	// needed to listen beyond loopback: docs/web.md.
	WebConfigFile string `yaml:"web_config_file" example:"web.yaml"`
	// Verify is the schedule on which the whole store is checked, in UTC.
	// Empty: never.
	Verify string `yaml:"verify" example:"0 3 * * 0"`
	// HeartbeatURL is fetched after each success, for a dead man's switch: a dead
	// daemon can't say that it is dead.
	HeartbeatURL string `yaml:"heartbeat_url" example:"https://hc-ping.com/1c2d3e4f"`
	// Notify is a list of whom to tell, once for each snapshot and each change of
	// an export's state.
	Notify []NotifyConfig `yaml:"notify"`
}

// NotifyConfig says who is told of what.
type NotifyConfig struct {
	// URLFile holds the address that JSON is posted to: a secret.
	URLFile string `yaml:"url_file" example:"/etc/oktasync/hook.url"`
	// On names events: published, failed, quarantined, overdue, recovered.
	// Empty: all of them.
	On []string `yaml:"on" example:"[failed, quarantined, overdue, recovered]"`
}

// LogConfig says what is logged and how.
type LogConfig struct {
	// Level is the least that is logged: debug, info, warn or error.
	Level string `yaml:"level" example:"warn"`
	// Format is how: text for people, json for machines, or auto: text on a
	// terminal, entries with fields in systemd's journal, json elsewhere.
	Format string `yaml:"format" example:"json"`
}

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

// Select returns the exports named, or all of them.
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
		case slices.Contains(names[:i], name): // named twice
		case at >= 0:
			exports = append(exports, c.Exports[at])
		default:
			errs = append(errs, fmt.Errorf("unknown export %s; %s", term.Word(name), term.Suggestion(name, declared)))
		}
	}
	return exports, errors.Join(errs...)
}

// paths returns the settings that name files and folders, by field.
func (c *Config) paths() map[string]*string {
	paths := map[string]*string{
		"okta.private_key_file":      &c.Okta.PrivateKeyFile,
		"okta.ca_file":               &c.Okta.CAFile,
		"okta.dpop.private_key_file": &c.Okta.DPoP.PrivateKeyFile,
		"store.path":                 &c.Store.Path,
		"store.signing_key_file":     &c.Store.SigningKeyFile,
		"store.allowed_signers_file": &c.Store.AllowedSignersFile,
		"daemon.web_config_file":     &c.Daemon.WebConfigFile,
	}
	for i := range c.Daemon.Notify {
		paths[NotifyField(i)] = &c.Daemon.Notify[i].URLFile
	}
	return paths
}

// Options says where a configuration is to be found.
type Options struct {
	File    string // "": $OKTASYNC_CONFIG, or oktasync.yaml
	EnvFile string // a file of NAME=value lines; the environment itself wins
	Getenv  func(string) (string, bool)
	// StoreOnly is for commands that only read the store. What they don't need
	// (okta, daemon, the signing key) is neither expanded nor checked.
	StoreOnly bool
}

const (
	DefaultFile = "oktasync.yaml"
	MaxFile     = 1 << 20
)

// Load reads the configuration, expands it and checks it. The error holds
// everything that is wrong, a line each. Without a configuration file, the
// names of Okta's DPoP walk-through will do.
func Load(opts Options) (*Config, error) {
	env, err := NewEnvironment(opts)
	if err != nil {
		return nil, err
	}
	file, by := opts.File, ""
	if named, ok := opts.Getenv("OKTASYNC_CONFIG"); ok && file == "" {
		file, by = named, ", which OKTASYNC_CONFIG names"
	}
	if file == "" {
		file = DefaultFile
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return envConfig(env, opts.StoreOnly)
		}
	}
	data, err := ReadArgument(file, MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, WithHint(fmt.Errorf("read configuration: %w%s", err, by), fmt.Sprintf("`oktasync init --config %s` writes one", term.ShellWord(file)))
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := decode(file, data, env.Lookup, opts.StoreOnly)
	if err != nil {
		return nil, err
	}
	cfg.SHA256 = SHA256(data)
	return cfg, nil
}

// decode is loadConfig once the file's bytes are there.
func decode(file string, data []byte, getenv func(string) (string, bool), storeOnly bool) (*Config, error) {
	d := &decoder{file: file, getenv: getenv}
	if storeOnly {
		d.skip = []string{"okta", "daemon", "store.signing_key_file"}
	}
	cfg := Default()
	d.document(data, cfg)
	cfg.complete()
	for _, p := range cfg.check(storeOnly) {
		d.wrong(p.field, p.text)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	dir := baseDir(file)
	for _, path := range cfg.paths() {
		*path = resolve(dir, *path)
	}
	cfg.File = file
	cfg.Okta.OrgURL = NormalOrgURL(cfg.Okta.OrgURL)
	return cfg, nil
}

// complete sets what follows from other keys.
func (c *Config) complete() {
	for i := range c.Exports {
		if e := &c.Exports[i]; len(e.Resources()) == 0 {
			e.Users = reconcile.DefaultExport().Users
		}
	}
	if len(c.Okta.Scopes) == 0 {
		c.Okta.Scopes = c.RequiredScopes()
	}
}

// resolve returns path as seen from dir.
func resolve(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func SHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
