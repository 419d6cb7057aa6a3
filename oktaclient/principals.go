package oktaclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

const maxPrincipals = 100_000 // that can have roles

// principal is a user, a group or a client that can have roles.
type principal struct{ kind, id string }

const (
	kindUser   = "USER"
	kindGroup  = "GROUP"
	kindClient = "CLIENT"
)

var principalPaths = map[string]string{kindUser: "/api/v1/users/", kindGroup: "/api/v1/groups/", kindClient: "/oauth2/v1/clients/"}

func (p principal) path() string { return principalPaths[p.kind] + url.PathEscape(p.id) }

// principalOf returns the principal that a link of Okta leads to.
func principalOf(href string) (principal, error) {
	if u, err := url.Parse(href); err == nil {
		for kind, prefix := range principalPaths {
			if id, ok := strings.CutPrefix(u.Path, prefix); ok && validID(id) {
				return principal{kind, id}, nil
			}
		}
	}
	return principal{}, errors.New("okta: the holder of a role is neither a user nor a group nor a client")
}

// validID reports whether id is safe in a path and in an error: it has no control
// characters and no slash, and is no dot segment.
func validID(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' || id[i] == '/' {
			return false
		}
	}
	return id != "" && id != "." && id != ".." && len(id) <= maxMember
}

// add adds a principal whose roles are to be read.
func (x *roleReader) add(p principal) error {
	if !validID(p.id) {
		return fmt.Errorf("okta: a %s that can have roles has no valid id", strings.ToLower(p.kind))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.seen[p] {
		return nil
	}
	if len(x.seen) == maxPrincipals {
		return fmt.Errorf("over %d users, groups and clients can have roles, which is the most that are read", maxPrincipals)
	}
	x.seen[p] = true
	x.pending = append(x.pending, p)
	return nil
}

// findPrincipals adds all principals that can have roles. The lists have different rate
// limits, so they are read at the same time.
func (x *roleReader) findPrincipals(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, find := range []func(context.Context) error{x.findUsers, x.findMembers, x.findGroups, x.findClients} {
		g.Go(func() (err error) {
			defer recoverPanic(&err)
			return find(ctx)
		})
	}
	return g.Wait()
}

func (x *roleReader) findUsers(ctx context.Context) error {
	type user struct{ ID string }
	return bodyList[user]{path: x.query.Resource.Path, member: "value"}.read(ctx, x.read, func(users []user) (err error) {
		for _, u := range users {
			err = cmp.Or(err, x.add(principal{kindUser, u.ID}))
		}
		return err
	})
}

// findMembers adds the members of custom roles: of each binding of each resource set.
func (x *roleReader) findMembers(ctx context.Context) error {
	const sets = "/api/v1/iam/resource-sets"
	paths, err := x.ids(ctx, sets, "resource-sets")
	if err != nil {
		return err
	}
	for _, set := range paths {
		bindings, err := x.ids(ctx, set+"/bindings", "roles")
		if err != nil {
			return err
		}
		for _, binding := range bindings {
			if err := x.findMembersOf(ctx, binding+"/members"); err != nil {
				return err
			}
		}
	}
	return nil
}

// ids returns the paths of the objects in a list. A list that doesn't exist any more is
// empty.
func (x *roleReader) ids(ctx context.Context, path, member string) (paths []string, err error) {
	type object struct{ ID string }
	err = bodyList[object]{path: path, member: member}.read(ctx, x.read, func(objects []object) error {
		for _, o := range objects {
			if !validID(o.ID) {
				return errors.New("okta: an element of " + member + " has no valid id")
			}
			if len(paths) == maxRecords {
				return tooLarge("over %d %s", maxRecords, member)
			}
			paths = append(paths, path+"/"+url.PathEscape(o.ID))
		}
		return nil
	})
	if isMissing(err) {
		return nil, nil
	}
	return paths, err
}

func (x *roleReader) findMembersOf(ctx context.Context, path string) error {
	err := bodyList[linked]{path: path, member: "members"}.read(ctx, x.read, func(members []linked) error {
		for _, m := range members {
			p, err := principalOf(m.Links.Self.Href)
			if err := cmp.Or(err, x.add(p)); err != nil {
				return err
			}
		}
		return nil
	})
	if isMissing(err) {
		return nil
	}
	return err
}

// linked is an object of Okta with links to a principal.
type linked struct {
	Links struct {
		Self, Assignee struct{ Href string }
	} `json:"_links"`
}

// findGroups adds the groups that Okta counts as administrators, also those without
// members, and those without a count.
func (x *roleReader) findGroups(ctx context.Context) error {
	type group struct {
		ID       string
		Embedded struct {
			Stats struct {
				HasAdminPrivilege  *bool
				HasAdminPrivilege2 *bool `json:"hasAdminPrivlege"` // as in Okta's OpenAPI document
			}
		} `json:"_embedded"`
	}
	return readSmaller(ctx, x, bodyList[group]{path: Groups.Path, query: "expand=stats"}, Groups, func(groups []group) error {
		for _, g := range groups {
			if admin := cmp.Or(g.Embedded.Stats.HasAdminPrivilege, g.Embedded.Stats.HasAdminPrivilege2); admin != nil && !*admin {
				continue
			}
			if err := x.add(principal{kindGroup, g.ID}); err != nil {
				return err
			}
		}
		return nil
	})
}

// findClients adds the service apps.
func (x *roleReader) findClients(ctx context.Context) error {
	type app struct {
		Credentials struct {
			OAuthClient struct {
				ClientID string `json:"client_id"`
			}
		}
		Settings struct {
			OAuthClient struct {
				ApplicationType string `json:"application_type"`
			}
		}
	}
	return readSmaller(ctx, x, bodyList[app]{path: Apps.Path}, Apps, func(apps []app) error {
		for _, a := range apps {
			if a.Settings.OAuthClient.ApplicationType != "service" {
				continue
			}
			if err := x.add(principal{kindClient, a.Credentials.OAuthClient.ClientID}); err != nil {
				return err
			}
		}
		return nil
	})
}

// readSmaller reads the list of a resource, in smaller pages if Okta can't return one.
func readSmaller[E any](ctx context.Context, x *roleReader, l bodyList[E], of Resource, visit func([]E) error) error {
	return x.withSmallerPages(ctx, of.PageSize, of.minPage, func(size, tries int) error {
		l.size, l.tries = size, tries
		return l.read(ctx, x.read, visit)
	})
}

// roleReader is the state of a read of roles.
type roleReader struct {
	*read

	mu      sync.Mutex // guards the fields below
	seen    map[principal]bool
	pending []principal                         // whose roles were not read yet
	details map[string]func() ([]string, error) // permissions and resources by path
	size    int                                 // of details, in bytes
}
