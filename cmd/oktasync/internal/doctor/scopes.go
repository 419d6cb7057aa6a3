package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/dpopauth"
	"oktasync/reconcile"
)

// checkScopes checks that all requested scopes are granted.
func checkScopes(ctx context.Context, x *checker) Finding {
	t, requested := x.requestToken(ctx), strings.Join(x.cfg.Okta.Scopes, " ")
	required := x.cfg.RequiredScopes()
	grant := func(scopes ...string) string {
		return "grant " + strings.Join(scopes, " ") + " (the app > Okta API Scopes)"
	}
	declared := x.cfg.Declared()
	if partly, ok := errors.AsType[*dpopauth.ScopeError](t.err); ok {
		missing := strings.Join(partly.Missing, " ")
		needed := slices.DeleteFunc(slices.Clone(partly.Missing), func(s string) bool { return !slices.Contains(required, s) })
		if len(needed) > 0 {
			declared = slices.DeleteFunc(declared, func(d reconcile.Declared) bool {
				return !slices.ContainsFunc(d.Scopes(), func(s string) bool { return slices.Contains(needed, s) })
			})
			return failed(org.InOkta, grant(needed...), "not granted: %s; %s", missing, org.Needs(declared))
		}
		return failed(org.InConfig, "remove "+missing+" from okta.scopes; oktasync needs only "+strings.Join(required, " "), "requested, but not granted: %s", missing)
	}
	if t.cause == causeScopes {
		return failed(org.InOkta, grant(required...), "no requested scope is granted: %s; %s", requested, org.Needs(declared))
	}
	if p := x.failedPage(ctx, causeScopes); p != nil {
		return p.optional(failed(org.InOkta, grant(p.declared.Scopes()...), "the token lacks the scope to read %s: %v", p.declared.Resource.Name, p.err))
	}
	return ok("granted: %s", requested)
}

// otherScopes returns scopes that the app doesn't need. It contains only those
// that every org has, because one unknown scope fails the whole request
// (developer.okta.com, OAuth 2.0 scopes).
func otherScopes(required []string) (scopes []string) {
	for resource := range strings.FieldsSeq(`apiTokens apps authenticators authorizationServers brands clients devices domains eventHooks
		groups idps inlineHooks linkedObjects policies profileMappings roles schemas sessions trustedOrigins userTypes users`) {
		scopes = append(scopes, "okta."+resource+".read", "okta."+resource+".manage")
	}
	return append(slices.DeleteFunc(scopes, func(s string) bool { return slices.Contains(required, s) }), "okta.logs.read")
}

// checkExtraScopes requests all other scopes at once; Okta returns those that the
// app has. The token is never used.
func checkExtraScopes(ctx context.Context, x *checker) Finding {
	required := x.cfg.RequiredScopes()
	tried := otherScopes(required)
	t := x.fetchToken(ctx, x.clientKey, slices.Concat(required, tried))
	granted := tried
	if partly, ok := errors.AsType[*dpopauth.ScopeError](t.err); ok {
		granted = partly.Granted
	} else if t.err != nil {
		return Finding{Status: OK, Seen: "unknown: Okta doesn't return the granted scopes; see the app > Okta API Scopes"}
	}
	extra := slices.DeleteFunc(slices.Concat(granted, x.cfg.Okta.Scopes), func(s string) bool { return slices.Contains(required, s) })
	slices.Sort(extra)
	extra = slices.Compact(extra)
	if len(extra) == 0 {
		return ok("none beyond %s, of %d that were tried", strings.Join(required, " "), len(tried))
	}
	return warning(org.InOkta, "revoke them, unless `oktasync api` needs them (the app > Okta API Scopes), and remove them from okta.scopes", "granted, but not needed: %s", strings.Join(extra, " "))
}
