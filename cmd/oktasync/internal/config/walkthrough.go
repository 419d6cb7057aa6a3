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

// The names that Okta's DPoP walk-through puts into its .env.
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

	// envOf gives the name that stands for a field.
	envOf = map[string]string{
		"okta.org_url": EnvOrgURL, "okta.client_id": EnvClientID, "okta.scopes": EnvScopes,
		"okta.private_key_file": EnvClientKey, "okta.dpop.private_key_file": EnvDPoPKey,
	}
)

// Name is what people call a field of c: the variable that stands for it where
// there is no file.
func (c *Config) Name(field string) string {
	if c.File != "" {
		return field
	}
	return cmp.Or(envOf[field], field)
}

// Rename is a text about fields of c in the names that people know.
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

// envConfig is the configuration that the walk-through's names make by
// themselves: one export, all-users, reconciled by `apply` alone. Its store is
// the folder snapshots beside the environment file, or here where there is none.
func envConfig(env *Environment, storeOnly bool) (*Config, error) {
	var digest strings.Builder
	var missing []string
	for _, name := range EnvNames {
		if value, _ := env.Lookup(name); value != "" {
			fmt.Fprintf(&digest, "%s=%s\n", name, value)
		} else if name != EnvDPoPKey && name != EnvDPoPPublic {
			missing = append(missing, name+env.misspelt(name))
		}
	}
	switch {
	case digest.Len() == 0 && (env.File == "" || !storeOnly):
		return nil, notFoundError{env.File, IgnoredEnvFile(env.File)}
	case len(missing) > 0 && !storeOnly:
		where := "the environment"
		if env.File != "" {
			where += " with " + env.File
		}
		return nil, fmt.Errorf("there is no %s, and %s lacks %s", DefaultFile, where, strings.Join(missing, ", "))
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

// misspelt says which name of the file was likely meant to be one that nobody
// has set.
func (e *Environment) misspelt(name string) string {
	for _, other := range slices.Sorted(maps.Keys(e.values)) {
		if !slices.Contains(EnvNames, other) && term.Nearest(other, []string{name}) != "" {
			return fmt.Sprintf(" (is %s meant to be it?)", other)
		}
	}
	return ""
}

// SplitScopes reads a list that is separated by commas or blanks.
func SplitScopes(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// checkEnv is check with the names of the environment.
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
		errs = append(errs, fmt.Errorf("%s: has no %s to go with", EnvDPoPPublic, EnvDPoPKey))
	}
	return errors.Join(errs...)
}

// EnvFile is how the walk-through calls its file.
const EnvFile = ".env"

// IgnoredEnvFile returns which of the walk-through's names a .env in the current
// folder has, where named, what --env-file says, is "". Nobody's .env is taken
// without being asked for, and who has one may not know that he has to ask.
func IgnoredEnvFile(named string) []string {
	if named != "" {
		return nil
	}
	data, err := ReadFile(EnvFile, MaxFile)
	if err != nil {
		return nil
	}
	values, _ := parseEnv(EnvFile, data) // what is wrong with it is said once it is named
	return slices.DeleteFunc(slices.Clone(EnvNames), func(name string) bool { return values[name] == "" })
}

// notFoundError says that there is nothing to go by.
type notFoundError struct {
	envFile string
	unnamed []string // names that a .env has, which nobody has named
}

func (e notFoundError) Error() string {
	if e.envFile != "" {
		return fmt.Sprintf("there is no %s, and %s has none of the names that could stand in for it", DefaultFile, e.envFile)
	}
	return fmt.Sprintf("there is no %s", DefaultFile)
}

// Hint implements what printError looks for.
func (e notFoundError) Hint() string {
	if len(e.unnamed) > 0 {
		return fmt.Sprintf("%s has %s: say --env-file %[1]s to take it, or name the configuration with --config FILE", EnvFile, strings.Join(e.unnamed, ", "))
	}
	return "name the configuration with --config FILE, or try `oktasync demo`, which needs none"
}
