package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"oktasync/oktaclient/sandbox/internal/people"
)

// Types of groups.
const (
	typeOkta    = "OKTA_GROUP"
	typeApp     = "APP_GROUP" // imported by an app
	typeBuiltIn = "BUILT_IN"
)

// Numbers of groups. The group everyone contains all users.
const (
	everyone        = 0
	administrators  = 1
	firstDepartment = 2

	startGroups = 13 // without [Config.Groups]
)

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

// ruleResource describes group rules ("List all group rules").
func ruleResource() resource {
	return resource{name: "rule", kind: "GroupRule", event: "group.rule.update", minLimit: 1, defaultLimit: 50, maxLimit: 200, maxFound: 200,
		found: []string{"name"}}
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
	for _, d := range people.Departments {
		groups = append(groups, group{kind: typeOkta, name: d.Name, description: d.Division + ", " + d.CostCenter})
	}
	groups[len(groups)-1].description = ""
	groups = append(groups, group{kind: typeApp, name: "Lab Access", description: "Badge readers of the labs"})
	for i := startGroups; i < o.cfg.Groups; i++ {
		groups = append(groups, group{kind: typeOkta, name: fmt.Sprintf("Team %04d", i-startGroups+1)})
	}
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
	const source = directoryID
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

// DeleteGroup deletes a group, its memberships, and the assignments that it gave.
// BUILT_IN groups can't be deleted.
func (o *Org) DeleteGroup(id string) error {
	g := o.edges()
	g.Lock()
	defer g.Unlock()
	now, err := o.deleteObject(o.groups(), id, "group.lifecycle.delete")
	if err == nil {
		g.RemoveGroup(id, now.UnixNano())
	}
	return err
}

// Group returns a group as a list shows it now, byte for byte.
func (o *Org) Group(id string) ([]byte, bool) { return o.groups().read(id) }

// GroupsJSON yields every group by id, as a list shows it, byte for byte.
func (o *Org) GroupsJSON() iter.Seq2[string, []byte] { return o.groups().readAll() }

// stampGroup sets lastMembershipUpdated of a group to now, up to [Config.StampLag]
// later.
func (o *Org) stampGroup(group string, now time.Time) {
	o.stamps.mu.Lock()
	o.stamps.n++
	visible := now
	if o.cfg.StampLag > 0 {
		rng := o.users.originals.random(15, o.stamps.n)
		visible = now.Add(time.Duration(rng.intN(int(o.cfg.StampLag))))
	}
	o.stamps.pending = append(o.stamps.pending, stamp{group, now, visible})
	o.stamps.mu.Unlock()
	o.applyStamps(o.lazy.groups(), now)
}

// applyStamps applies the stamps that are visible at a time.
func (o *Org) applyStamps(s *store, now time.Time) {
	o.stamps.mu.Lock()
	defer o.stamps.mu.Unlock()
	if len(o.stamps.pending) == 0 {
		return
	}
	slices.SortStableFunc(o.stamps.pending, func(a, b stamp) int { return a.visible.Compare(b.visible) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(o.stamps.pending) > 0 && !o.stamps.pending[0].visible.After(now) {
		st := o.stamps.pending[0]
		o.stamps.pending = o.stamps.pending[1:]
		var obj object
		if s.findLocked(&obj, st.group) && obj.lastMembershipUpdated < st.changed.UnixMilli() {
			s.putLocked(st.group, s.newObject(set(obj.text(), "lastMembershipUpdated", appendTime(nil, st.changed.UnixMilli()))), st.visible)
		}
	}
}

// newRules returns the rules at the start: one for each department, and an INACTIVE
// and an INVALID one.
func (o *Org) newRules() *store {
	gen := &o.users.originals
	s := newStore(ruleResource(), generator{}, 0, o.URL)
	for i := range 3 {
		rng := gen.random(16, i)
		created := gen.epoch - int64(100+rng.intN(2000))*day
		d := people.Departments[i]
		json := appendRule(nil, o.ruleID(i), "People of "+d.Name, []string{"ACTIVE", "INACTIVE", "INVALID"}[i],
			`user.department == "`+d.Name+`"`, created, rng.timeBetween(created, gen.epoch), o.groupID(firstDepartment+i))
		s.putLocked(o.ruleID(i), s.newObject(json), time.UnixMilli(gen.epoch))
		s.additions++
	}
	return s
}

func (o *Org) ruleID(i int) string { return o.users.originals.objectID("0pr", 17, i) }

// appendRule appends a rule as a list shows it.
func appendRule(dst []byte, id, name, status, expression string, created, updated int64, group string) []byte {
	w := writer(append(dst, '{'))
	w.text("type", "group_rule")
	w.text("id", id)
	w.text("status", status)
	w.text("name", name)
	w.time("created", created)
	w.time("lastUpdated", updated)
	w.open("conditions")
	w.raw("people", `{"users":{"exclude":[]},"groups":{"exclude":[]}}`)
	w.open("expression")
	w.text("value", expression)
	w.text("type", "urn:okta:expression:1.0")
	w.close()
	w.close()
	w.raw("actions", `{"assignUserToGroups":{"groupIds":["`+group+`"]}}`)
	w.raw("allGroupsValid", strconv.FormatBool(status != "INVALID"))
	w.close()
	return w
}

// AddRule adds an INACTIVE rule, and returns its id. Rules change no memberships.
func (o *Org) AddRule(name, expression, group string) (id string) {
	s := o.rules()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := o.now()
	id = o.ruleID(s.additions)
	s.additions++
	o.storeLocked(s, appendRule(nil, id, name, "INACTIVE", expression, now.UnixMilli(), now.UnixMilli(), group), "group.rule.create", now)
	return id
}

// SetRule sets one attribute of a rule, such as name, to a JSON value, and
// lastUpdated to the org's time.
func (o *Org) SetRule(id, path string, value json.RawMessage) error {
	return o.setAttribute(o.rules(), id, path, value)
}

// SetRuleActive activates or deactivates a rule.
func (o *Org) SetRuleActive(id string, active bool) error {
	_, err := o.setActive(o.rules(), id, active, "group.rule.")
	return err
}

// DeleteRule deletes a rule.
func (o *Org) DeleteRule(id string) error {
	_, err := o.deleteObject(o.rules(), id, "group.rule.delete")
	return err
}

// RulesJSON yields every rule by id, as a list shows it, byte for byte.
func (o *Org) RulesJSON() iter.Seq2[string, []byte] { return o.rules().readAll() }

// directoryID is the id of the app of Active Directory, which imports groups.
const directoryID = "0oa1brightwaterAD000"
