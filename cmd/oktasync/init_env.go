package main

import (
	"errors"
	"fmt"
	"strings"
)

// askForEnv speaks of a walk-through's .env that was not named: before a file is
// written beside it that has to go again, unless flags say what is meant.
func (a *app) askForEnv(in initializer) error {
	names := strings.Join(unnamedEnv(a.envFile), ", ")
	switch {
	case names == "":
		return nil
	case in.orgURL == "" && in.clientID == "":
		return advice{fmt.Errorf("%s has %s, and nothing says whether to take them", envHere, names),
			"`oktasync init --env-file " + envHere + "` takes them; with --org-url or --client-id it is left alone"}
	}
	fmt.Fprintf(a.stderr, "oktasync: note: %s has %s, and is left alone; --env-file %[1]s would take them\n", envHere, names)
	return nil
}

// take fills in what the walk-through's file says and no flag does. What it says
// wrongly is better known before a configuration says the same.
func (in *initializer) take(env *environment) error {
	values := make(map[string]string)
	for _, name := range envNames {
		if value, _ := env.lookup(name); value != "" {
			values[name] = value
		}
	}
	if len(values) == 0 {
		return fmt.Errorf("%s has none of the walk-through's names: %s", env.file, strings.Join(envNames, ", "))
	}
	var errs []error
	wrong := func(name, text string) { errs = append(errs, fmt.Errorf("%s: %s", name, text)) }
	if url := values[envOrgURL]; in.orgURL == "" && url != "" {
		if in.orgURL = url; orgURLProblem(url) != "" {
			wrong(envOrgURL, orgURLProblem(url))
		}
	}
	if id := values[envClientID]; in.clientID == "" && id != "" {
		if in.clientID = id; !plainID.MatchString(id) {
			wrong(envClientID, "a client ID has letters, digits, - and _ only")
		}
	}
	if in.scopes = splitScopes(values[envScopes]); len(in.scopes) > 0 {
		var k checks
		k.scopes(in.scopes)
		for _, problem := range k.problems {
			wrong(envScopes, problem.text)
		}
	}
	for _, key := range []struct {
		name string
		file *string
	}{{envClientKey, &in.keyFile}, {envDPoPKey, &in.dpopKeyFile}} {
		name, file := key.name, key.file
		if values[name] == "" {
			continue
		}
		if *file = values[name]; pathProblem(*file) == "" {
			*file = env.resolve(name, *file)
		}
		if _, err := loadOktaKey(*file); err != nil {
			wrong(name, err.Error())
		}
	}
	return errors.Join(errs...)
}
