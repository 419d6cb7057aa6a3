package main

import (
	"errors"
	"fmt"
	"strings"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
)

// checkIgnoredEnv reports a .env of Okta's DPoP guide that --env-file doesn't name.
// It returns an error if no flag says what to use instead.
func (a *app) checkIgnoredEnv(in initializer) error {
	names := strings.Join(config.IgnoredEnvFile(a.envFile), ", ")
	switch {
	case names == "":
		return nil
	case in.orgURL == "" && in.clientID == "":
		return config.WithHint(fmt.Errorf("%s has %s: use or ignore them with a flag", config.EnvFile, names),
			"`oktasync init --env-file "+config.EnvFile+"` uses them; --org-url and --client-id ignore the file")

	}
	fmt.Fprintf(a.stderr, "oktasync: note: %s has %s, and is ignored; pass --env-file %[1]s to use them\n", config.EnvFile, names)
	return nil
}

// useEnv uses the values of an environment file that no flag sets. It checks them
// first.
func (in *initializer) useEnv(env *config.Environment) error {
	values := make(map[string]string)
	for _, name := range config.EnvNames {
		if value, _ := env.Lookup(name); value != "" {
			values[name] = value
		}
	}
	if len(values) == 0 {
		return fmt.Errorf("%s has none of the variables of Okta's DPoP guide: %s", env.File, strings.Join(config.EnvNames, ", "))
	}
	var errs []error
	wrong := func(name, text string) { errs = append(errs, fmt.Errorf("%s: %s", name, text)) }
	if url := values[config.EnvOrgURL]; in.orgURL == "" && url != "" {
		if in.orgURL = url; config.OrgURLProblem(url) != "" {
			wrong(config.EnvOrgURL, config.OrgURLProblem(url))
		}
	}
	if id := values[config.EnvClientID]; in.clientID == "" && id != "" {
		if in.clientID = id; !plainID.MatchString(id) {
			wrong(config.EnvClientID, "a client ID has letters, digits, - and _ only")
		}
	}
	if in.scopes = config.SplitScopes(values[config.EnvScopes]); len(in.scopes) > 0 {
		for _, problem := range config.ScopeProblems(in.scopes) {
			wrong(config.EnvScopes, problem)
		}
	}
	for _, key := range []struct {
		name string
		file *string
	}{{config.EnvClientKey, &in.keyFile}, {config.EnvDPoPKey, &in.dpopKeyFile}} {
		name, file := key.name, key.file
		if values[name] == "" {
			continue
		}
		if *file = values[name]; config.PathProblem(*file) == "" {
			*file = env.Resolve(name, *file)
		}
		if _, err := org.LoadKey(*file); err != nil {
			wrong(name, err.Error())
		}
	}
	return errors.Join(errs...)
}
