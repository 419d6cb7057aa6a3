package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth/keys"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot/sign"
)

var plainID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// initializer has the flags of init and its results.
type initializer struct {
	orgURL, clientID               string
	rsa, sign, changeRequest, json bool
	newKey                         string
	access, admins, factors        bool // what the configuration declares besides users

	scopes          []string // none: the default
	dpopKeyFile     string   // "": in memory
	config, keyFile string
	key             *keys.Key
	signingKeyFile  string
	signer          *sign.Signer // nil: none
}

// checkIgnoredEnv reports a .env of Okta's DPoP walk-through that --env-file doesn't name.
// It returns an error if no flag replaces the values of the file.
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
		return fmt.Errorf("%s has none of the variables of Okta's DPoP walk-through: %s", env.File, strings.Join(config.EnvNames, ", "))
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
			wrong(config.EnvClientID, "must have only letters, digits, - and _")
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

// export returns the export that the configuration declares, without factors.
func (in *initializer) export() reconcile.Export {
	e, r := reconcile.DefaultExport(), new(reconcile.Resource)
	if in.access {
		e.Groups, e.GroupRules, e.Apps, e.AppUsers, e.AppGroups = r, r, r, r, r
		e.GroupMembers = new(reconcile.GroupMembers)
	}
	if in.admins {
		e.APITokens, e.RoleAssignments = r, r
	}
	return e
}

// declared returns the resources that the configuration declares, those of one scope
// together.
func (in *initializer) declared() []reconcile.Declared {
	e := in.export()
	if in.factors {
		e.Factors = new(reconcile.Resource)
	}
	return e.Resources()
}

// factorsExport declares factors. It is an export of its own, because a read takes hours
// in a large org.
const factorsExport = `
  # The factors of each user: one request per user. oktasync doctor compares the
  # timeout with an estimate for your org.
  - name: factors
    schedule: "0 20 * * 6"
    time_zone: UTC
    timeout: 24h
    retain: {last: 30, monthly: 84}
    users:
      attributes:
        include: [id, status, profile.login]
    factors: {}
`

// moreResources returns the part of the configuration after the users.
func (in *initializer) moreResources() string {
	text := ""
	for _, d := range in.export().Resources()[1:] {
		text += "    " + d.Resource.Name + ": {}\n"
	}
	if text != "" {
		text = "    # Who has access to what.\n" + text
	}
	if in.factors {
		text += factorsExport
	}
	return text
}

// neededScopes returns the scopes that the declared resources need.
func (in *initializer) neededScopes() []string { return reconcile.ScopesOf(in.declared()) }

// extraScopes returns the needed scopes and those of the environment file, or nil if
// the needed ones are all.
func (in *initializer) extraScopes() []string {
	scopes := in.neededScopes()
	for _, scope := range in.scopes {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	if len(scopes) == len(in.neededScopes()) {
		return nil
	}
	return scopes
}

// records names the objects that the configuration declares, for the change request.
func (in *initializer) records() string {
	list := []string{"users"}
	if in.access {
		list = append(list, "groups", "apps")
	}
	if in.admins {
		list = append(list, "API tokens", "admin roles")
	}
	if in.factors {
		list = append(list, "factors")
	}
	return term.List(list)
}

// standardRecords names the objects that Read-only Administrator sees.
func (in *initializer) standardRecords() string {
	if in.access || in.admins { // roles are found in lists of groups and apps
		return "users, groups and apps"
	}
	return "users"
}

// otherRole returns a clause about other roles for the change request.
func (in *initializer) otherRole() string {
	if in.admins {
		return "and the\n     custom role below"
	}
	return "and no other role"
}

// customRole returns the sentences of the change request about a custom role: one that
// is needed, or a smaller one for users alone.
func (in *initializer) customRole() string {
	switch {
	case in.admins:
		return customAdminRole
	case in.access:
		return ""
	}
	return "     A custom role with only \"View users and their details\" also works, if its\n     resource set contains all users.\n"
}

// customAdminRole contains the steps that create the custom role. In parentheses are the
// names of the permissions in Okta's API.
const customAdminRole = `
     API tokens and admin roles need a custom role. Of the standard roles, only
     Super Administrator sees all of them: don't assign it.
     - Security > Administrators > Roles > Create new role: oktasync, with only the
       permissions to view API tokens (okta.users.apitokens.read), and to view
       roles, resources, and admin assignments (okta.iam.read).
     - Resources > Create new resource set: oktasync, with all users, and with all
       Identity and Access Management resources.
     - Applications > oktasync > Admin roles > Edit assignments > Add assignment:
       this role, with this resource set.
`

// needs returns the table of the change request: what each resource needs.
func (in *initializer) needs() string {
	var b strings.Builder
	for _, d := range in.declared() {
		fmt.Fprintf(&b, "     %-16s %-20s %s\n", d.Resource.Name, d.Scope, d.Role)
		for _, scope := range d.Scopes()[1:] {
			fmt.Fprintf(&b, "     %-16s %s\n", "", scope)
		}
	}
	return b.String()
}
