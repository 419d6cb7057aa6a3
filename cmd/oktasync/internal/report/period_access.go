package report

import (
	"cmp"
	"strings"
	"sync"

	"oktasync/cmd/oktasync/internal/document"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// An edgeTable is a section whose rows are events of edges or of admin roles.
type edgeTable struct {
	id, title string
	method    []string
	resources []*snapshot.Resource
	columns   []string // without seen_in
	row       func(e *event, names Names) (cells []string, link string, err error)
}

func (p *period) edgeSection(t edgeTable) document.Section {
	names := sync.OnceValues(func() (Names, error) { return p.names(t.resources...) })
	s := document.Section{ID: t.id, Title: t.title, Columns: columns(append(t.columns, "seen_in")...), Missing: p.missing(t.resources...)}
	s.Method = append(t.method, "seen_in is the snapshot whose read saw the event first. A change that was reversed between two reads isn't visible.")
	s.Gaps = p.gaps(t.resources...)
	s.Rows = func(yield func(document.Row, error) bool) {
		names, err := names()
		if err != nil {
			yield(document.Row{}, err)
			return
		}
		for e, err := range p.events(nil, t.resources...) {
			var row document.Row
			if err == nil {
				row.Key = e.key()
				row.Cells, row.Link, err = t.row(e, names)
			}
			if err == nil && row.Cells == nil {
				continue
			}
			if err == nil {
				row.Cells = append(row.Cells, e.seen.Name())
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
	return s
}

func (p *period) administratorChanges() document.Section {
	return p.edgeSection(edgeTable{
		id: "administrator-changes", title: "Changes of administrators",
		method: []string{
			"Admin roles that were granted, revoked or changed. One row is one event.",
			"A role of a group is one row, and isn't repeated for its members. A user who becomes a member of such a group is listed only in the section about access.",
			"scope is ALL for the whole org, targets for single groups or apps, and resource set for a custom role. It is empty for a changed role whose scope stayed the same. at_okta is the time in Okta's record.",
		},
		resources: []*snapshot.Resource{snapshot.RoleAssignments},
		columns:   []string{"holder", "holder_type", "event", "role", "role_type", "scope", "changes", "at_okta"},
		row: func(e *event, names Names) ([]string, string, error) {
			holder, id := holderOf(e.Change), e.Key["principal_id"]
			scope, err := e.scope()
			if err != nil {
				return nil, "", err
			}
			at, err := e.atOkta()
			cells := []string{cmp.Or(names[holder][id], id), strings.ToLower(e.Key["principal_type"]), string(e.Kind), e.Label(), e.Key["role_type"], scope, changesText(e.Change, e.Paths), at}
			return cells, p.link(holder, id), err
		},
	})
}

// scope returns what an admin role is about, as far as the event has it.
func (e *event) scope() (string, error) {
	record := e.After
	if e.Op == diff.OpRemoved {
		record = e.Before
	}
	targets, err := canonjson.Find(record, "targets")
	switch {
	case e.Key["resource_set_id"] != "":
		return "resource set", err
	case targets == nil || err != nil:
		return "", err
	case string(targets) == "[]":
		return "ALL", nil
	}
	return "targets", nil
}

// link returns the address of a user or a group in the Admin Console.
func (p *period) link(r *snapshot.Resource, id string) string {
	switch r {
	case snapshot.Users:
		return p.links.user(id)
	case snapshot.Groups:
		return p.links.group(id)
	}
	return "" // the address of an app contains a name that changes don't have
}

func (p *period) accessChanges() document.Section {
	return p.edgeSection(edgeTable{
		id: "access-changes", title: "Access granted and revoked",
		method: []string{
			"Memberships of users in groups, and assignments of users and groups to apps, that were granted or revoked. One row is one event. " +
				"not_listed means that the record is missing, and Okta's answers don't prove the reason.",
			"via is direct if the user is assigned the app, and group if the assignment comes from a group. at_okta is the time in Okta's record.",
		},
		resources: []*snapshot.Resource{snapshot.GroupMembers, snapshot.AppUsers, snapshot.AppGroups},
		columns:   []string{"holder", "holder_type", "event", "target", "target_type", "via", "at_okta"},
		row: func(e *event, names Names) ([]string, string, error) {
			if e.Op == diff.OpChanged {
				return nil, "", nil
			}
			via, err := e.via()
			if err != nil {
				return nil, "", err
			}
			at, err := e.atOkta()
			parent, holder := e.resource.Parent, e.resource.Other
			parentID, id := e.Key[e.resource.Key[0]], e.Key[e.resource.Key[1]]
			cells := []string{cmp.Or(names[holder][id], id), holder.Noun, string(e.Kind), cmp.Or(names[parent][parentID], parentID), parent.Noun, via, at}
			return cells, p.link(holder, id), err
		},
	})
}

// via returns how a user is assigned an app: "direct" or "group".
func (e *event) via() (string, error) {
	if e.resource != snapshot.AppUsers {
		return "", nil
	}
	record := e.After
	if e.Op == diff.OpRemoved {
		record = e.Before
	}
	scope, err := canonjson.Text(record, "scope")
	switch scope {
	case "USER":
		return "direct", err
	case "GROUP":
		return "group", err
	}
	return "", err
}
