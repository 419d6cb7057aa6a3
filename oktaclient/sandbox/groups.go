package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
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

// groupResource describes groups ("List all groups"). The order by name is that
// of captured responses; Okta documents none.
func groupResource(maxLimit int) resource {
	return resource{
		name: "group", kind: "UserGroup", event: "group.profile.update",
		maxLimit: cmp.Or(maxLimit, 10_000), maxFound: 300, found: []string{"profile.name"},
		listOrder: "profile.name", department: "profile.name",
		profile: []string{"name", "description",
			"samAccountName", "dn", "objectSid", "windowsDomainQualifiedName", "groupType", "groupScope", "externalId"}, // from Active Directory
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
}

// newGroups returns the groups at the start: the two BUILT_IN ones, one for each
// department, and one that Active Directory imports.
func (o *Org) newGroups() *store {
	gen := &o.users.originals
	s := newStore(groupResource(o.cfg.GroupLimit), generator{}, o.cfg.IndexLag, o.URL)
	founded := gen.epoch - 3100*day
	groups := []group{
		{kind: typeBuiltIn, name: "Everyone", description: "All users in your organization", members: founded},
		{kind: typeBuiltIn, name: "Okta Administrators", description: "Okta manages this group, which contains all administrators in your organization."},
	}
	for i := range gen.n {
		groups[everyone].members = max(groups[everyone].members, gen.lifecycle(i).created)
	}
	for _, d := range departments {
		groups = append(groups, group{kind: typeOkta, name: d.name, description: d.division + ", " + d.costCenter})
	}
	groups[len(groups)-1].description = ""
	groups = append(groups, group{kind: typeApp, name: "Lab Access", description: "Badge readers of the labs"})
	for i, g := range groups {
		g.id, g.created = o.groupID(i), founded
		if rng := gen.random(8, i); g.kind != typeBuiltIn {
			g.created += int64(rng.intN(3000)) * day
			g.updated, g.members = rng.timeBetween(g.created, gen.epoch), rng.timeBetween(g.created, gen.epoch)
		}
		s.putLocked(g.id, s.newObject(g.appendJSON(nil, o.URL())), time.UnixMilli(gen.epoch))
	}
	s.additions = len(groups)
	return s
}

func (o *Org) groupID(i int) string { return o.users.originals.objectID("00g", 7, i) }

// appendJSON appends the group as a list shows it. It has no self link. An
// APP_GROUP is one of Active Directory.
func (g group) appendJSON(dst []byte, origin string) []byte {
	const source = "0oa1brightwaterAD000"
	imported := g.kind == typeApp
	w := writer(append(dst, '{'))
	w.text("id", g.id)
	w.time("created", g.created)
	w.time("lastUpdated", cmp.Or(g.updated, g.created))
	w.time("lastMembershipUpdated", cmp.Or(g.members, g.created))
	if imported {
		w.raw("objectClass", `["okta:windows_security_principal"]`)
	} else {
		w.raw("objectClass", `["okta:user_group"]`)
	}
	w.text("type", g.kind)
	w.open("profile")
	w.text("name", g.name)
	if g.description != "" {
		w.text("description", g.description)
	} else {
		w.raw("description", "null")
	}
	if imported {
		w.text("samAccountName", g.name)
		w.text("dn", "CN="+g.name+",OU=Groups,DC=brightwater,DC=example")
		w.text("objectSid", "S-1-5-21-1004336348-1177238915-682003330-1631")
		w.text("windowsDomainQualifiedName", `BRIGHTWATER\`+g.name)
		w.text("groupType", "Security")
		w.text("groupScope", "Global")
		w.text("externalId", "hQ7vXkq2ZkG0l8Jc1bWb0A==")
	}
	w.close()
	if imported {
		w.raw("source", `{"id":"`+source+`"}`)
	}
	w.open("_links")
	logo := origin + "/assets/img/logos/groups/okta-"
	w.raw("logo", `[{"name":"medium","href":"`+logo+`medium.png","type":"image/png"},{"name":"large","href":"`+logo+`large.png","type":"image/png"}]`)
	for _, name := range []string{"users", "apps"} {
		w.raw(name, `{"href":"`+origin+"/api/v1/groups/"+g.id+"/"+name+`"}`)
	}
	if imported {
		w.raw("source", `{"href":"`+origin+"/api/v1/apps/"+source+`"}`)
	}
	w.close()
	w.close()
	return w
}

// AddGroup adds a group of type OKTA_GROUP, and returns its id. [Org.PutGroup]
// adds groups of other types.
func (o *Org) AddGroup(name, description string) (id string) {
	s := o.groups()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := o.now()
	g := group{id: o.groupID(s.additions), kind: typeOkta, name: name, description: description, created: now.UnixMilli()}
	s.additions++
	obj := s.newObject(g.appendJSON(nil, o.URL()))
	s.putLocked(g.id, obj, now)
	o.log.add(now, "group.lifecycle.create", obj)
	return g.id
}

// PutGroup adds a group, or replaces the one with the same id, exactly as given:
// no byte of groupJSON is changed. It needs an id and a type.
func (o *Org) PutGroup(groupJSON []byte) error { return o.put(o.groups(), groupJSON, "type") }

// SetGroup sets one attribute of a group, such as profile.name, to a JSON value,
// and lastUpdated to the org's time. Setting lastMembershipUpdated changes nothing
// else.
func (o *Org) SetGroup(id, path string, value json.RawMessage) error {
	return o.setAttribute(o.groups(), id, path, value)
}

// DeleteGroup deletes a group. BUILT_IN groups can't be deleted.
func (o *Org) DeleteGroup(id string) error {
	s := o.groups()
	s.mu.Lock()
	defer s.mu.Unlock()
	var obj object
	if !s.findLocked(&obj, id) {
		return fmt.Errorf("delete group %s: no such group", id)
	}
	if text(obj.text(), "type") == typeBuiltIn {
		return fmt.Errorf("delete group %s: it is %s", id, typeBuiltIn)
	}
	now := o.now()
	s.putLocked(id, nil, now)
	o.log.add(now, "group.lifecycle.delete", &obj)
	return nil
}

// Group returns a group as a list shows it now, byte for byte.
func (o *Org) Group(id string) ([]byte, bool) { return o.groups().read(id) }

// GroupsJSON yields every group by id, as a list shows it, byte for byte.
func (o *Org) GroupsJSON() iter.Seq2[string, []byte] { return o.groups().readAll() }

// changeEveryone sets lastMembershipUpdated of Everyone.
func (o *Org) changeEveryone(now time.Time) {
	s := o.groups()
	s.mu.Lock()
	defer s.mu.Unlock()
	var obj object
	if id := o.groupID(everyone); s.findLocked(&obj, id) {
		s.putLocked(id, s.newObject(set(obj.text(), "lastMembershipUpdated", appendTime(nil, now.UnixMilli()))), now)
	}
}
