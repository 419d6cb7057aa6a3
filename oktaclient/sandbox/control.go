package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"oktasync/oktaclient/sandbox/internal/edges"
	"oktasync/oktaclient/sandbox/internal/people"
)

// An Op is a kind of change of a user.
type Op string

// The changes. All but Touch set lastUpdated, and those of the status also
// statusChanged, to the org's time.
const (
	Move       Op = "move"       // to another department
	Touch      Op = "touch"      // signs in: changes lastLogin only
	Suspend    Op = "suspend"    // only of ACTIVE users
	Unsuspend  Op = "unsuspend"  // only of SUSPENDED users
	Deactivate Op = "deactivate" // of users who are not DEPROVISIONED
	Reactivate Op = "reactivate" // only of DEPROVISIONED users
	Delete     Op = "delete"     // of any user
)

// Ops returns all kinds of changes.
func Ops() []Op { return []Op{Move, Touch, Suspend, Unsuspend, Deactivate, Reactivate, Delete} }

// Join adds n users, and returns their ids.
func (o *Org) Join(n int) []string {
	s := o.users
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, n)
	for i := range ids {
		now := o.now()
		ms := now.UnixMilli()
		l := lifecycle{status: "ACTIVE", created: ms, activated: ms, statusChanged: ms, lastUpdated: ms, passwordChanged: ms}
		obj := s.newObject(s.originals.appendUser(nil, s.originals.n+s.additions, l, o.URL()))
		s.additions++
		ids[i] = obj.key
		s.putLocked(obj.key, obj, now)
		o.log.add(now, "user.lifecycle.create", obj)
		o.changeEveryone(obj.key, true, now)
	}
	return ids
}

// Move, Touch, Suspend, Unsuspend, Deactivate and Reactivate change n users, and return
// their ids. They prefer users who have not been changed yet.
func (o *Org) Move(n int) []string       { return o.change(Move, n) }
func (o *Org) Touch(n int) []string      { return o.change(Touch, n) }
func (o *Org) Suspend(n int) []string    { return o.change(Suspend, n) }
func (o *Org) Unsuspend(n int) []string  { return o.change(Unsuspend, n) }
func (o *Org) Deactivate(n int) []string { return o.change(Deactivate, n) }
func (o *Org) Reactivate(n int) []string { return o.change(Reactivate, n) }

// Delete deletes n users who are not DEPROVISIONED. They were therefore in the
// plain list.
func (o *Org) Delete(n int) []string { return o.change(Delete, n) }

func (o *Org) change(op Op, n int) (ids []string) {
	o.users.mu.Lock()
	defer o.users.mu.Unlock()
	for range n {
		obj := o.users.pickLocked(op)
		if obj == nil {
			break
		}
		o.applyLocked(op, obj)
		ids = append(ids, obj.key)
	}
	return ids
}

// Change changes the users with these ids.
func (o *Org) Change(op Op, ids ...string) error {
	o.users.mu.Lock()
	defer o.users.mu.Unlock()
	for _, id := range ids {
		obj := new(object)
		if !o.users.findLocked(obj, id) {
			return fmt.Errorf("%s user: no user %s", op, id)
		}
		if !slices.Contains(Ops(), op) || op != Delete && !op.appliesTo(obj) {
			return fmt.Errorf("%s user %s: not possible, the user is %s", op, id, obj.status)
		}
		o.applyLocked(op, obj)
	}
	return nil
}

// appliesTo reports whether the user's status allows the change.
func (op Op) appliesTo(obj *object) bool {
	switch op {
	case Suspend, Touch:
		return obj.status == "ACTIVE"
	case Unsuspend:
		return obj.status == "SUSPENDED"
	case Reactivate:
		return obj.status == deprovisioned
	}
	return obj.status != deprovisioned
}

// pickLocked picks the next user to change: a pseudorandom original who was not
// changed yet, else any user; nil: the change applies to none.
func (s *store) pickLocked(op Op) *object {
	if s.wiped {
		return nil
	}
	if n := s.originals.n; n > 0 {
		s.picks++
		rng := s.originals.random(6, s.picks)
		start := rng.intN(n)
		for k := range n {
			i := (start + k) % n
			if obj := s.original(i); s.changed[i] == nil && op.appliesTo(&obj) {
				return &obj
			}
		}
	}
	for obj := range s.selectLocked(all) {
		if op.appliesTo(obj) {
			return obj
		}
	}
	return nil
}

// applyLocked stores the new version of a user.
func (o *Org) applyLocked(op Op, obj *object) {
	now := o.now()
	stamp := appendTime(nil, now.UnixMilli())
	id, event := obj.id(), "user.lifecycle."+string(op)
	json := obj.text()
	status := ""
	switch op {
	case Delete:
		o.users.putLocked(id, nil, now)
		o.log.add(now, "user.lifecycle.delete.completed", obj)
		o.changeEveryone(id, false, now)
		return
	case Touch:
		json, event = set(json, "lastLogin", stamp), "user.session.start"
	case Move:
		json, event = nextDepartment(json), "user.account.update_profile"
	case Suspend:
		status = "SUSPENDED"
	case Deactivate:
		status = deprovisioned
	case Unsuspend, Reactivate:
		status = "ACTIVE"
	}
	if status != "" {
		json = set(without(json, "transitioningToStatus"), "status", appendString(nil, status))
		json = set(json, "statusChanged", stamp)
	}
	if op != Touch {
		json = set(json, "lastUpdated", stamp)
	}
	o.storeLocked(o.users, json, event, now)
	o.changeStatus(id, op, now)
}

// storeLocked stores a version of an object, and logs an event.
func (o *Org) storeLocked(s *store, json []byte, event string, now time.Time) {
	obj := s.newObject(json)
	s.putLocked(obj.key, obj, now)
	o.log.add(now, event, obj)
}

// nextDepartment moves a user to the next department.
func nextDepartment(json []byte) []byte {
	at := slices.IndexFunc(people.Departments, func(d people.Department) bool { return d.Name == text(json, "profile.department") })
	to := people.Departments[(at+1)%len(people.Departments)]
	json = set(json, "profile.department", appendString(nil, to.Name))
	return set(json, "profile.costCenter", appendString(nil, to.CostCenter))
}

// Set sets one attribute of a user, such as profile.lastName, to a JSON value, and
// lastUpdated to the org's time.
func (o *Org) Set(id, path string, value json.RawMessage) error {
	return o.setAttribute(o.users, id, path, value)
}

func (o *Org) setAttribute(s *store, id, path string, value json.RawMessage) error {
	if !json.Valid(value) {
		return fmt.Errorf("set %s of %s %s: value is not JSON", path, s.name, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var obj object
	if !s.findLocked(&obj, id) {
		return fmt.Errorf("set %s of %s %s: no such %s", path, s.name, id, s.name)
	}
	now := o.now()
	text := obj.text()
	if path != "lastMembershipUpdated" {
		text = set(text, "lastUpdated", appendTime(nil, now.UnixMilli()))
	}
	o.storeLocked(s, set(text, path, value), s.event, now)
	return nil
}

// Put adds a user, or replaces the one with the same id, exactly as given: no
// byte of userJSON is changed. It needs an id and a status.
func (o *Org) Put(userJSON []byte) error { return o.put(o.users, userJSON, "status") }

// put adds or replaces an object, which needs an id and the required attribute.
func (o *Org) put(s *store, objectJSON []byte, required string) error {
	objectJSON = bytes.TrimSpace(objectJSON)
	if !json.Valid(objectJSON) || objectJSON[0] != '{' {
		return fmt.Errorf("put %s: not a JSON object", s.name)
	}
	id := text(objectJSON, "id")
	if id == "" || text(objectJSON, required) == "" {
		return fmt.Errorf("put %s: no id or no %s", s.name, required)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := o.now()
	if s == o.users && !s.findLocked(new(object), id) {
		o.changeEveryone(id, true, now)
	}
	o.storeLocked(s, bytes.Clone(objectJSON), s.event, now)
	return nil
}

// Wipe makes the org return no objects, as if the app had lost its role.
// Restore ends this.
func (o *Org) Wipe() { o.setWiped(true) }

// Restore ends the effect of Wipe.
func (o *Org) Restore() { o.setWiped(false) }

func (o *Org) setWiped(wiped bool) {
	for _, s := range []*store{o.users, o.groups(), o.rules(), o.apps(), o.apiTokens()} {
		s.mu.Lock()
		s.wiped = wiped
		s.version++
		s.mu.Unlock()
	}
}

// User returns a user as a list shows them now, byte for byte.
func (o *Org) User(id string) ([]byte, bool) { return o.users.read(id) }

// UsersJSON yields every user, DEPROVISIONED ones too, by id, as a list shows
// them, byte for byte.
func (o *Org) UsersJSON() iter.Seq2[string, []byte] { return o.users.readAll() }

func (s *store) read(id string) ([]byte, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var obj object
	if !s.findLocked(&obj, id) {
		return nil, false
	}
	return bytes.Clone(obj.text()), true
}

// readAll yields the ids and the JSON of the objects. It locks the store only
// while it copies a batch.
func (s *store) readAll() iter.Seq2[string, []byte] {
	const batch = 200
	return func(yield func(string, []byte) bool) {
		type row struct {
			id   string
			json []byte
		}
		q := all
		for {
			var rows []row
			s.mu.RLock()
			for obj := range s.selectLocked(q) {
				rows = append(rows, row{obj.id(), bytes.Clone(obj.text())})
				if len(rows) == batch {
					break
				}
			}
			s.mu.RUnlock()
			for _, r := range rows {
				if q.after.id = r.id; !yield(r.id, r.json) {
					return
				}
			}
			if len(rows) < batch {
				return
			}
		}
	}
}

// Count returns how many users there are, by status.
func (o *Org) Count() map[string]int {
	o.users.mu.RLock()
	defer o.users.mu.RUnlock()
	count := map[string]int{}
	for obj := range o.users.selectLocked(all) {
		count[strings.Clone(obj.status)]++
	}
	return count
}

// deleteObject deletes a group, an app or a rule.
func (o *Org) deleteObject(s *store, id, event string) (now time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var obj object
	if !s.findLocked(&obj, id) {
		return now, fmt.Errorf("delete %s %s: no such %s", s.name, id, s.name)
	}
	if text(obj.text(), "type") == typeBuiltIn {
		return now, fmt.Errorf("delete %s %s: it is %s", s.name, id, typeBuiltIn)
	}
	now = o.now()
	s.putLocked(id, nil, now)
	o.log.add(now, event, &obj)
	return now, nil
}

// setActive sets the status of an app or a rule.
func (o *Org) setActive(s *store, id string, active bool, event string) (now time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var obj object
	if !s.findLocked(&obj, id) {
		return now, fmt.Errorf("set status of %s %s: no such %s", s.name, id, s.name)
	}
	status := "INACTIVE"
	event += "deactivate"
	if active {
		status, event = "ACTIVE", event[:len(event)-len("deactivate")]+"activate"
	}
	now = o.now()
	json := set(obj.text(), "status", appendString(nil, status))
	o.storeLocked(s, set(json, "lastUpdated", appendTime(nil, now.UnixMilli())), event, now)
	return now, nil
}

// changeEveryone adds a user to Everyone, or removes a deleted user from all
// groups and apps. The store of users is locked.
func (o *Org) changeEveryone(user string, joined bool, now time.Time) {
	groups := []string{o.groupID(everyone)}
	if g := o.access.graph.Load(); g != nil {
		g.Lock()
		defer g.Unlock()
		if joined {
			g.AddMember(groups[0], user, now.UnixNano())
		} else {
			groups = g.RemoveUser(user, now.UnixNano())
		}
	}
	for _, group := range groups {
		o.stampGroup(group, now)
	}
}

// changeStatus follows a change of a user's status. The rows of a deactivated user
// in apps with credentials of their own become SUSPENDED, and direct ones when the
// user is active again (support.okta.com). The store of users is locked.
func (o *Org) changeStatus(user string, op Op, now time.Time) {
	g := o.access.graph.Load()
	if g == nil || op != Deactivate && op != Reactivate {
		return
	}
	active, suspended := uint8(0), uint8(slices.Index(appUserStatuses, "SUSPENDED"))
	g.Lock()
	defer g.Unlock()
	if op == Reactivate {
		g.SetStatus(user, now.UnixNano(), active, true, func(_ string, e *edges.Edge) bool { return e.Status == suspended })
		return
	}
	apps := o.apps()
	g.SetStatus(user, now.UnixNano(), suspended, false, func(id string, _ *edges.Edge) bool {
		var app object
		return apps.load(&app, id) && get(app.text(), "credentials.scheme") != nil
	})
}
