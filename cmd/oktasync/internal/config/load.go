package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
)

// Load reads, expands and checks the configuration. The error contains one line
// for each problem. Without a configuration file, the variables of Okta's DPoP
// walk-through are a configuration.
func Load(opts Options) (*Config, error) {
	env, err := NewEnvironment(opts)
	if err != nil {
		return nil, err
	}
	file, by := opts.File, ""
	if named, ok := opts.Getenv("OKTASYNC_CONFIG"); ok && file == "" {
		file, by = named, " (from OKTASYNC_CONFIG)"
	}
	if file == "" {
		file = DefaultFile
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return envConfig(env, opts.StoreOnly)
		}
	}
	data, err := ReadArgument(file, MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, WithHint(fmt.Errorf("read configuration: %w%s", err, by), fmt.Sprintf("`oktasync init --config %s` creates one", term.ShellWord(file)))
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

// decode decodes, completes and checks the content of a file.
func decode(file string, data []byte, getenv func(string) (string, bool), storeOnly bool) (*Config, error) {
	d := &decoder{file: file, getenv: getenv}
	if storeOnly {
		d.skip = []string{"okta", "daemon", "store.signing_key_file"}
	}
	cfg := Default()
	d.document(data, cfg)
	cfg.complete()
	for _, p := range cfg.check(storeOnly) {
		d.invalid(p.field, p.text)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	dir := baseDir(file)
	for _, path := range cfg.paths() {
		*path = resolve(dir, *path)
	}
	cfg.File, cfg.at = file, d.at
	cfg.Okta.OrgURL = NormalOrgURL(cfg.Okta.OrgURL)
	return cfg, nil
}

// complete sets the defaults that depend on other keys.
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

// Problem returns an error about the value of a field, with the position of the
// field in the file, or with the name of its variable.
func (c *Config) Problem(field string, err error) error {
	at, ok := c.at[field]
	if !ok {
		return fmt.Errorf("%s: %w", c.Name(field), err)
	}
	return &Error{File: c.File, Problems: []Problem{{at, field + ": " + err.Error()}}, cause: err}
}

// NotifyURL reads the URL of the i-th webhook.
func (c *Config) NotifyURL(i int) (string, error) {
	file := c.Daemon.Notify[i].URLFile
	data, err := ReadSecret(file, 4<<10)
	address := strings.TrimSpace(string(data))
	if err == nil && !isSecretAddress(address) {
		err = fmt.Errorf("the URL in %s "+secretAddress, file)
	}
	if err != nil {
		return "", c.Problem(NotifyField(i), err)
	}
	return address, nil
}
