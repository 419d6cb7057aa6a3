package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"time"
)

// Types of groups.
const (
	typeOkta    = "OKTA_GROUP"
	typeApp     = "APP_GROUP" // imported by an app
	typeBuiltIn = "BUILT_IN"
)

// everyone is the number of the BUILT_IN group that contains all users.
const everyone = 0

// groupAttributes are those of a group's profile; all but the first two are of
// groups that Active Directory imports.
var groupAttributes = []string{"name", "description", "samAccountName", "dn", "objectSid",
	"windowsDomainQualifiedName", "groupType", "groupScope", "externalId"}

// groupResource describes groups ("List all groups"). The order by name is that
// of captured responses; Okta documents none.
func groupResource(maxLimit int) resource {
	return resource{
		name: "group", kind: "UserGroup", event: "group.profile.update",
		maxLimit: cmp.Or(maxLimit, 10_000), maxFound: 300, found: []string{"profile.name"},
		listOrder: "profile.name", department: "profile.name",
		filter:   []string{"id", "type", "lastUpdated", "lastMembershipUpdated"},
		search:   []string{"id", "type", "created", "lastUpdated", "lastMembershipUpdated", "source.id"},
		contains: []string{"profile.name", "profile.description"},
	}
}

// group is a group before it becomes JSON. Times are milliseconds since 1970.
type group struct {
	id, kind          string
	name, description string // description "": null
	created           int64
	updated, members  int64 // lastUpdated and lastMembershipUpdated; 0: as created
	imported          bool  // from Active Directory
}

// newGroups returns the groups at the start: the two BUILT_IN ones, one for each
// department, and one that Active Directory imports.
func (o *Org) newGroups() *store {
	p := &o.store.people
	s := newStore(groupResource(o.cfg.GroupLimit), people{}, o.cfg.IndexLag, o.URL, groupAttributes)
	founded := p.epoch - 3100*day
	groups := []group{
		{kind: typeBuiltIn, name: "Everyone", description: "All users in your organization", members: founded},
		{kind: typeBuiltIn, name: "Okta Administrators", description: "Okta manages this group, which contains all administrators in your organization."},
	}
	for i := range p.n {
		groups[everyone].members = max(groups[everyone].members, p.facts(i).created)
	}
	for _, d := range departments {
		groups = append(groups, group{kind: typeOkta, name: d.name, description: d.division + ", " + d.costCenter})
	}
	groups[len(groups)-1].description = ""
	groups = append(groups, group{kind: typeApp, name: "Lab Access", description: "Badge readers of the labs", imported: true})
	for i, g := range groups {
		g.id, g.created = groupID(p, i), founded
		if d := p.dice(8, i); g.kind != typeBuiltIn {
			g.created += int64(d.roll(3000)) * day
			g.updated, g.members = d.between(g.created, p.epoch), d.between(g.created, p.epoch)
		}
		s.putLocked(g.id, s.newObject(g.appendJSON(nil, o.URL())), time.UnixMilli(p.epoch))
	}
	return s
}

func groupID(p *people, i int) string { return p.objectID("00g", 7, i) }

// appendJSON appends the group as a list shows it. It has no self link.
func (g group) appendJSON(dst []byte, origin string) []byte {
	w := writer(append(dst, '{'))
	w.text("id", g.id)
	w.time("created", g.created)
	w.time("lastUpdated", cmp.Or(g.updated, g.created))
	w.time("lastMembershipUpdated", cmp.Or(g.members, g.created))
	class := "okta:user_group"
	if g.imported {
		class = "okta:windows_security_principal"
	}
	w.raw("objectClass", `["`+class+`"]`)
	w.text("type", g.kind)
	w.open("profile")
	w.text("name", g.name)
	if g.description != "" {
		w.text("description", g.description)
	} else {
		w.raw("description", "null")
	}
	if g.imported {
		w.text("samAccountName", g.name)
		w.text("dn", "CN="+g.name+",OU=Groups,DC=brightwater,DC=example")
		w.text("objectSid", "S-1-5-21-1004336348-1177238915-682003330-1631")
		w.text("windowsDomainQualifiedName", `BRIGHTWATER\`+g.name)
		w.text("groupType", "Security")
		w.text("groupScope", "Global")
		w.text("externalId", "hQ7vXkq2ZkG0l8Jc1bWb0A==")
	}
	w.close()
	const source = "0oa1brightwaterAD000"
	if g.imported {
		w.raw("source", `{"id":"`+source+`"}`)
	}
	w.open("_links")
	w.raw("logo", `[{"name":"medium","href":"`+origin+`/assets/img/logos/groups/okta-medium.png","type":"image/png"},`+
		`{"name":"large","href":"`+origin+`/assets/img/logos/groups/okta-large.png","type":"image/png"}]`)
	for _, name := range []string{"users", "apps"} {
		w.raw(name, `{"href":"`+origin+"/api/v1/groups/"+g.id+"/"+name+`"}`)
	}
	if g.imported {
		w.raw("source", `{"href":"`+origin+"/api/v1/apps/"+source+`"}`)
	}
	w.close()
	w.close()
	return w
}

// getGroup is GET /api/v1/groups/{id}. It doesn't lag.
func (o *Org) getGroup(a *answer, r *http.Request, g *grant, id string) error {
	s := o.groups()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var found object
	if !s.findLocked(&found, id) || !s.visible(&found, g) {
		return s.notFound(id)
	}
	a.header.Set("Content-Type", "application/json")
	a.body.Write(viewOf(r, r.URL.Query().Get("fields")).apply(found.text()))
	return nil
}

// AddGroup adds a group of type OKTA_GROUP, and returns its id. [Org.PutGroup]
// adds groups of other types.
func (o *Org) AddGroup(name, description string) (id string) {
	s := o.groups()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := o.now()
	s.joined++
	added := group{id: groupID(&o.store.people, len(departments)+2+s.joined), kind: typeOkta, name: name, description: description, created: now.UnixMilli()}
	u := s.newObject(added.appendJSON(nil, o.URL()))
	s.putLocked(added.id, u, now)
	o.events.add(now, "group.lifecycle.create", u)
	return added.id
}

// PutGroup adds a group, or replaces the one with the same id, exactly as given:
// no byte of groupJSON is changed. It needs an id and a type.
func (o *Org) PutGroup(groupJSON []byte) error { return o.put(o.groups(), groupJSON, "type") }

// SetGroup sets one attribute of a group, such as profile.name, to a JSON value,
// and moves lastUpdated. Setting lastMembershipUpdated moves nothing else.
func (o *Org) SetGroup(id, path string, value json.RawMessage) error {
	return o.setAttribute(o.groups(), id, path, value)
}

// DeleteGroup deletes a group. BUILT_IN groups can't be deleted.
func (o *Org) DeleteGroup(id string) error {
	s := o.groups()
	s.mu.Lock()
	defer s.mu.Unlock()
	var u object
	if !s.findLocked(&u, id) {
		return fmt.Errorf("delete group %s: no such group", id)
	}
	if text(u.text(), "type") == typeBuiltIn {
		return fmt.Errorf("delete group %s: it is %s", id, typeBuiltIn)
	}
	now := o.now()
	s.putLocked(id, nil, now)
	o.events.add(now, "group.lifecycle.delete", &u)
	return nil
}

// Group returns a group as a list shows it now, byte for byte.
func (o *Org) Group(id string) ([]byte, bool) { return o.groups().json(id) }

// GroupsJSON yields every group by id, as a list shows it, byte for byte.
func (o *Org) GroupsJSON() iter.Seq2[string, []byte] { return o.groups().all() }

// changeEveryone moves lastMembershipUpdated of Everyone.
func (o *Org) changeEveryone(now time.Time) {
	s := o.groups()
	s.mu.Lock()
	defer s.mu.Unlock()
	var u object
	if id := groupID(&o.store.people, everyone); s.findLocked(&u, id) {
		s.putLocked(id, s.newObject(set(u.text(), "lastMembershipUpdated", appendTime(nil, now.UnixMilli()))), now)
	}
}
