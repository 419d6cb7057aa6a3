package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
)

// The variables in the .env file of Okta's DPoP walk-through.
const (
	EnvOrgURL     = "OKTA_ORG_URL"
	EnvClientID   = "OKTA_CLIENT_ID"
	EnvScopes     = "OKTA_SCOPES"
	EnvClientKey  = "OKTA_CC_PRIVATE_KEY_FILE"
	EnvDPoPKey    = "OKTA_DPOP_PRIVATE_KEY_FILE"
	EnvDPoPPublic = "OKTA_DPOP_PUBLIC_KEY_FILE"
)

var (
	EnvNames = []string{EnvOrgURL, EnvClientID, EnvScopes, EnvClientKey, EnvDPoPKey, EnvDPoPPublic}

	// envOf maps fields to the variables that replace them.
	envOf = map[string]string{
		"okta.org_url": EnvOrgURL, "okta.client_id": EnvClientID, "okta.scopes": EnvScopes,
		"okta.private_key_file": EnvClientKey, "okta.dpop.private_key_file": EnvDPoPKey,
	}
)

// Name returns the name of a field for messages: without a file, the name of its
// variable.
func (c *Config) Name(field string) string {
	if c.File != "" {
		return field
	}
	return cmp.Or(envOf[field], field)
}

// Rename replaces the names of fields in a message, as Name does.
func (c *Config) Rename(text string) string {
	if c.File != "" {
		return text
	}
	var names []string
	for field, name := range envOf {
		names = append(names, field, name)
	}
	return strings.NewReplacer(names...).Replace(text)
}

// envConfig returns the configuration of the walk-through's variables: one export,
// all-users, without a schedule. Its store is the folder snapshots beside the
// environment file, or in the working directory.
func envConfig(env *Environment, storeOnly bool) (*Config, error) {
	var digest strings.Builder
	var missing []string
	for _, name := range EnvNames {
		if value, _ := env.Lookup(name); value != "" {
			fmt.Fprintf(&digest, "%s=%s\n", name, value)
		} else if name != EnvDPoPKey && name != EnvDPoPPublic {
			missing = append(missing, name+env.similar(name))
		}
	}
	switch {
	case digest.Len() == 0 && (env.File == "" || !storeOnly):
		return nil, notFoundError{env.File, IgnoredEnvFile(env.File)}
	case len(missing) > 0 && !storeOnly:
		where := "the environment doesn't have"
		if env.File != "" {
			where = "neither " + env.File + " nor the environment has"
		}
		return nil, fmt.Errorf("there is no %s, and %s %s", DefaultFile, where, strings.Join(missing, ", "))
	}
	cfg := Default()
	cfg.Okta.OrgURL, _ = env.Lookup(EnvOrgURL)
	cfg.Okta.ClientID, _ = env.Lookup(EnvClientID)
	scopes, _ := env.Lookup(EnvScopes)
	cfg.Okta.Scopes = SplitScopes(scopes)
	cfg.Okta.PrivateKeyFile, _ = env.Lookup(EnvClientKey)
	cfg.Okta.DPoP.PrivateKeyFile, _ = env.Lookup(EnvDPoPKey)
	cfg.DPoPPublicKeyFile, _ = env.Lookup(EnvDPoPPublic)
	export := reconcile.DefaultExport()
	export.Name = "all-users"
	cfg.Exports = []reconcile.Export{export}
	if err := cfg.checkEnv(storeOnly); err != nil {
		return nil, err
	}
	cfg.Okta.PrivateKeyFile = env.Resolve(EnvClientKey, cfg.Okta.PrivateKeyFile)
	cfg.Okta.DPoP.PrivateKeyFile = env.Resolve(EnvDPoPKey, cfg.Okta.DPoP.PrivateKeyFile)
	cfg.DPoPPublicKeyFile = env.Resolve(EnvDPoPPublic, cfg.DPoPPublicKeyFile)
	cfg.Store.Path = resolve(baseDir(env.File), cfg.Store.Path)
	cfg.Okta.OrgURL = NormalOrgURL(cfg.Okta.OrgURL)
	cfg.SHA256 = SHA256([]byte(digest.String()))
	return cfg, nil
}

// similar returns a note about a name in the file that is similar to a missing one.
func (e *Environment) similar(name string) string {
	for _, other := range slices.Sorted(maps.Keys(e.values)) {
		if !slices.Contains(EnvNames, other) && term.Nearest(other, []string{name}) != "" {
			return fmt.Sprintf(" (%s is similar)", other)
		}
	}
	return ""
}

// SplitScopes splits a list at commas, spaces and tabs.
func SplitScopes(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// checkEnv is check for a configuration without a file.
func (c *Config) checkEnv(storeOnly bool) error {
	var errs []error
	for _, p := range c.check(storeOnly) {
		field, _, _ := strings.Cut(p.field, "[")
		errs = append(errs, fmt.Errorf("%s: %s", c.Name(field), p.text))
	}
	if problem := PathProblem(c.DPoPPublicKeyFile); problem != "" {
		errs = append(errs, fmt.Errorf("%s: %s", EnvDPoPPublic, problem))
	}
	if c.DPoPPublicKeyFile != "" && c.Okta.DPoP.PrivateKeyFile == "" {
		errs = append(errs, fmt.Errorf("%s: needs %s too", EnvDPoPPublic, EnvDPoPKey))
	}
	return errors.Join(errs...)
}

// EnvFile is the name of the walk-through's file.
const EnvFile = ".env"

// IgnoredEnvFile returns the walk-through's variables in a .env file in the working
// directory that --env-file doesn't name. named is the value of --env-file. Such a
// file is ignored, and a note names the flag.
func IgnoredEnvFile(named string) []string {
	if named != "" {
		return nil
	}
	data, err := ReadFile(EnvFile, MaxFile)
	if err != nil {
		return nil
	}
	values, _ := parseEnv(EnvFile, data) // errors are reported with --env-file
	return slices.DeleteFunc(slices.Clone(EnvNames), func(name string) bool { return values[name] == "" })
}

// notFoundError is the error for a missing configuration.
type notFoundError struct {
	envFile string   // of --env-file
	ignored []string // variables in an ignored .env file
}

func (e notFoundError) Error() string {
	if e.envFile != "" {
		return fmt.Sprintf("there is no %s, and %s has no variable that replaces it", DefaultFile, e.envFile)
	}
	return fmt.Sprintf("there is no %s", DefaultFile)
}

// Hint returns what to do.
func (e notFoundError) Hint() string {
	if len(e.ignored) > 0 {
		return fmt.Sprintf("%s has %s: use it with --env-file %[1]s, or name the configuration with --config FILE", EnvFile, strings.Join(e.ignored, ", "))
	}
	return "name the configuration with --config FILE, or try `oktasync demo`, which needs none"
}
