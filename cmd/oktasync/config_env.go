package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"oktasync/reconcile"
)

// The names that Okta's DPoP walk-through puts into its .env.
const (
	envOrgURL     = "OKTA_ORG_URL"
	envClientID   = "OKTA_CLIENT_ID"
	envScopes     = "OKTA_SCOPES"
	envClientKey  = "OKTA_CC_PRIVATE_KEY_FILE"
	envDPoPKey    = "OKTA_DPOP_PRIVATE_KEY_FILE"
	envDPoPPublic = "OKTA_DPOP_PUBLIC_KEY_FILE"
)

var (
	envNames = []string{envOrgURL, envClientID, envScopes, envClientKey, envDPoPKey, envDPoPPublic}

	// envOf gives the name that stands for a field.
	envOf = map[string]string{
		"okta.org_url": envOrgURL, "okta.client_id": envClientID, "okta.scopes": envScopes,
		"okta.private_key_file": envClientKey, "okta.dpop.private_key_file": envDPoPKey,
	}
)

// named is what people call a field of c: the variable that stands for it where
// there is no file.
func (c *Config) named(field string) string {
	if c.File != "" {
		return field
	}
	return cmp.Or(envOf[field], field)
}

// inItsNames is a text about fields of c in the names that people know.
func (c *Config) inItsNames(text string) string {
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
func envConfig(env *environment, storeOnly bool) (*Config, error) {
	var digest strings.Builder
	var missing []string
	for _, name := range envNames {
		if value, _ := env.lookup(name); value != "" {
			fmt.Fprintf(&digest, "%s=%s\n", name, value)
		} else if name != envDPoPKey && name != envDPoPPublic {
			missing = append(missing, name+env.misspelt(name))
		}
	}
	switch {
	case digest.Len() == 0 && (env.file == "" || !storeOnly):
		return nil, noConfig{env.file, unnamedEnv(env.file)}
	case len(missing) > 0 && !storeOnly:
		where := "the environment"
		if env.file != "" {
			where += " with " + env.file
		}
		return nil, fmt.Errorf("there is no %s, and %s lacks %s", defaultConfigFile, where, strings.Join(missing, ", "))
	}
	cfg := defaultConfig()
	cfg.Okta.OrgURL, _ = env.lookup(envOrgURL)
	cfg.Okta.ClientID, _ = env.lookup(envClientID)
	scopes, _ := env.lookup(envScopes)
	cfg.Okta.Scopes = splitScopes(scopes)
	cfg.Okta.PrivateKeyFile, _ = env.lookup(envClientKey)
	cfg.Okta.DPoP.PrivateKeyFile, _ = env.lookup(envDPoPKey)
	cfg.DPoPPublicKeyFile, _ = env.lookup(envDPoPPublic)
	export := reconcile.DefaultExport()
	export.Name = "all-users"
	cfg.Exports = []reconcile.Export{export}
	if err := cfg.checkEnv(storeOnly); err != nil {
		return nil, err
	}
	cfg.Okta.PrivateKeyFile = env.resolve(envClientKey, cfg.Okta.PrivateKeyFile)
	cfg.Okta.DPoP.PrivateKeyFile = env.resolve(envDPoPKey, cfg.Okta.DPoP.PrivateKeyFile)
	cfg.DPoPPublicKeyFile = env.resolve(envDPoPPublic, cfg.DPoPPublicKeyFile)
	cfg.Store.Path = resolve(folderOf(env.file), cfg.Store.Path)
	cfg.Okta.OrgURL = normalOrgURL(cfg.Okta.OrgURL)
	cfg.SHA256 = hexSHA256([]byte(digest.String()))
	return cfg, nil
}

// misspelt says which name of the file was likely meant to be one that nobody
// has set.
func (e *environment) misspelt(name string) string {
	for _, other := range slices.Sorted(maps.Keys(e.values)) {
		if !slices.Contains(envNames, other) && nearest(other, []string{name}) != "" {
			return fmt.Sprintf(" (is %s meant to be it?)", other)
		}
	}
	return ""
}

// splitScopes reads a list that is separated by commas or blanks.
func splitScopes(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// checkEnv is check with the names of the environment.
func (c *Config) checkEnv(storeOnly bool) error {
	var errs []error
	for _, p := range c.check(storeOnly) {
		field, _, _ := strings.Cut(p.field, "[")
		errs = append(errs, fmt.Errorf("%s: %s", c.named(field), p.text))
	}
	if problem := pathProblem(c.DPoPPublicKeyFile); problem != "" {
		errs = append(errs, fmt.Errorf("%s: %s", envDPoPPublic, problem))
	}
	if c.DPoPPublicKeyFile != "" && c.Okta.DPoP.PrivateKeyFile == "" {
		errs = append(errs, fmt.Errorf("%s: has no %s to go with", envDPoPPublic, envDPoPKey))
	}
	return errors.Join(errs...)
}

// envHere is how the walk-through calls its file.
const envHere = ".env"

// unnamedEnv returns which of the walk-through's names a .env in the current
// folder has, where named, what --env-file says, is "". Nobody's .env is taken
// without being asked for, and who has one may not know that he has to ask.
func unnamedEnv(named string) []string {
	if named != "" {
		return nil
	}
	data, err := readBounded(envHere, maxConfigFile)
	if err != nil {
		return nil
	}
	values, _ := parseEnv(envHere, data) // what is wrong with it is said once it is named
	return slices.DeleteFunc(slices.Clone(envNames), func(name string) bool { return values[name] == "" })
}

// noConfig says that there is nothing to go by.
type noConfig struct {
	envFile string
	unnamed []string // names that a .env has, which nobody has named
}

func (e noConfig) Error() string {
	if e.envFile != "" {
		return fmt.Sprintf("there is no %s, and %s has none of the names that could stand in for it", defaultConfigFile, e.envFile)
	}
	return fmt.Sprintf("there is no %s", defaultConfigFile)
}

// Hint implements what printError looks for.
func (e noConfig) Hint() string {
	if len(e.unnamed) > 0 {
		return fmt.Sprintf("%s has %s: say --env-file %[1]s to take it, or name the configuration with --config FILE", envHere, strings.Join(e.unnamed, ", "))
	}
	return "name the configuration with --config FILE, or try `oktasync demo`, which needs none"
}
