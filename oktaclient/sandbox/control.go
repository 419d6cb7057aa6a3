package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// An Op is a kind of change of people.
type Op string

// The changes. All but Touch move lastUpdated, those of the status also
// statusChanged, to the org's time.
const (
	Move       Op = "move"       // to another department
	Touch      Op = "touch"      // signs in: lastLogin and nothing else
	Suspend    Op = "suspend"    // only who is ACTIVE
	Unsuspend  Op = "unsuspend"  // only who is SUSPENDED
	Deactivate Op = "deactivate" // anyone who is not DEPROVISIONED
	Reactivate Op = "reactivate" // only who is DEPROVISIONED
	Delete     Op = "delete"     // anyone
)

// Ops returns all changes.
func Ops() []Op { return []Op{Move, Touch, Suspend, Unsuspend, Deactivate, Reactivate, Delete} }

// Join has n new people join, and returns their ids.
func (o *Org) Join(n int) []string {
	s := o.store
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, n)
	for i := range ids {
		now := o.now()
		ms := now.UnixMilli()
		number := s.people.n + s.joined
		s.joined++
		f := facts{status: "ACTIVE", created: ms, activated: ms, statusChanged: ms, lastUpdated: ms, passwordAt: ms}
		u := s.newObject(s.people.appendUser(nil, number, f, o.URL()))
		ids[i] = u.key
		s.putLocked(u.key, u, now)
		o.events.add(now, "user.lifecycle.create", u)
	}
	o.changeEveryone(o.now())
	return ids
}

// Move, Touch and the others below change n people, whom nobody has changed yet
// as long as there are such, and return their ids.
func (o *Org) Move(n int) []string       { return o.change(Move, n) }
func (o *Org) Touch(n int) []string      { return o.change(Touch, n) }
func (o *Org) Suspend(n int) []string    { return o.change(Suspend, n) }
func (o *Org) Unsuspend(n int) []string  { return o.change(Unsuspend, n) }
func (o *Org) Deactivate(n int) []string { return o.change(Deactivate, n) }
func (o *Org) Reactivate(n int) []string { return o.change(Reactivate, n) }

// Delete deletes n people who are not DEPROVISIONED, so that they are missed by
// whoever lists only those.
func (o *Org) Delete(n int) []string { return o.change(Delete, n) }

func (o *Org) change(op Op, n int) (ids []string) {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	for range n {
		u := o.store.chooseLocked(op)
		if u == nil {
			break
		}
		o.applyLocked(op, u)
		ids = append(ids, u.key)
	}
	return ids
}

// Change changes the people with these ids.
func (o *Org) Change(op Op, ids ...string) error {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	for _, id := range ids {
		u := new(object)
		if !o.store.findLocked(u, id) {
			return fmt.Errorf("%s user: no user %s", op, id)
		}
		if !slices.Contains(Ops(), op) || op != Delete && !op.fits(u) {
			return fmt.Errorf("%s user %s: not one who is %s", op, id, u.status)
		}
		o.applyLocked(op, u)
	}
	return nil
}

// fits says whether the change is one that can happen to u.
func (op Op) fits(u *object) bool {
	switch op {
	case Suspend, Touch:
		return u.status == "ACTIVE"
	case Unsuspend:
		return u.status == "SUSPENDED"
	case Reactivate:
		return u.status == deprovisioned
	}
	return u.status != deprovisioned
}

// chooseLocked picks whom to change next: somewhere among the original people
// one who is as they were, else anybody; nil: the change fits nobody.
func (s *store) chooseLocked(op Op) *object {
	if s.wiped {
		return nil
	}
	if n := s.people.n; n > 0 {
		s.picks++
		d := s.people.dice(6, s.picks)
		start := d.roll(n)
		for k := range n {
			i := (start + k) % n
			if s.changed[i] != nil {
				continue
			}
			if u := (&object{number: i, store: s, facts: s.people.facts(i)}); op.fits(u) {
				return u
			}
		}
	}
	for u := range s.scanLocked("", time.Time{}) {
		if op.fits(u) {
			return u
		}
	}
	return nil
}

// applyLocked makes the new version of u.
func (o *Org) applyLocked(op Op, u *object) {
	now := o.now()
	stamp := appendTime(nil, now.UnixMilli())
	id, event := u.id(), "user.lifecycle."+string(op)
	json := u.text()
	status := ""
	switch op {
	case Delete:
		o.store.putLocked(id, nil, now)
		o.events.add(now, "user.lifecycle.delete.completed", u)
		o.changeEveryone(now)
		return
	case Touch:
		json, event = set(json, "lastLogin", stamp), "user.session.start"
	case Move:
		json, event = moved(json), "user.account.update_profile"
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
	changed := o.store.newObject(json)
	changed.number = u.number
	o.store.putLocked(id, changed, now)
	o.events.add(now, event, changed)
}

// moved puts the user into the department after their own.
func moved(json []byte) []byte {
	at := slices.IndexFunc(departments, func(d department) bool { return d.name == text(json, "profile.department") })
	to := departments[(at+1)%len(departments)]
	json = set(json, "profile.department", appendString(nil, to.name))
	return set(json, "profile.costCenter", appendString(nil, to.costCenter))
}

// Set sets one attribute of a user, such as profile.lastName, to a JSON value, and
// moves lastUpdated.
func (o *Org) Set(id, path string, value json.RawMessage) error {
	return o.setAttribute(o.store, id, path, value)
}

func (o *Org) setAttribute(s *store, id, path string, value json.RawMessage) error {
	if !json.Valid(value) {
		return fmt.Errorf("set %s of %s %s: no JSON", path, s.name, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var u object
	if !s.findLocked(&u, id) {
		return fmt.Errorf("set %s of %s %s: no such %s", path, s.name, id, s.name)
	}
	now := o.now()
	text := u.text()
	if path != "lastMembershipUpdated" {
		text = set(text, "lastUpdated", appendTime(nil, now.UnixMilli()))
	}
	text = set(text, path, value)
	changed := s.newObject(text)
	changed.number = u.number
	s.putLocked(id, changed, now)
	s.learnLocked(text)
	o.events.add(now, s.event, changed)
	return nil
}

// Put adds a user, or replaces the one with the same id, exactly as given: no
// byte of userJSON is changed. It needs an id and a status.
func (o *Org) Put(userJSON []byte) error { return o.put(o.store, userJSON, "status") }

// put adds or replaces an object, which needs an id and the required attribute.
func (o *Org) put(s *store, objectJSON []byte, required string) error {
	objectJSON = bytes.TrimSpace(objectJSON)
	if !json.Valid(objectJSON) || objectJSON[0] != '{' {
		return fmt.Errorf("put %s: no JSON object", s.name)
	}
	objectJSON = bytes.Clone(objectJSON)
	id := text(objectJSON, "id")
	if id == "" || text(objectJSON, required) == "" {
		return fmt.Errorf("put %s: no id or no %s", s.name, required)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := o.now()
	u := s.newObject(objectJSON)
	u.number = s.people.find(id)
	if s == o.store && !s.findLocked(new(object), id) {
		o.changeEveryone(now)
	}
	s.putLocked(id, u, now)
	s.learnLocked(objectJSON)
	o.events.add(now, s.event, u)
	return nil
}

// learnLocked remembers which profile attributes there are.
func (s *store) learnLocked(object []byte) {
	if profile := get(object, "profile"); len(profile) > 0 && profile[0] == '{' {
		for m := range members(profile) {
			s.known[m.name()] = true
		}
	}
}

// Wipe hides all users and groups, as when the app has lost its role. Restore
// shows them again.
func (o *Org) Wipe()    { o.setWiped(true) }
func (o *Org) Restore() { o.setWiped(false) }

func (o *Org) setWiped(wiped bool) {
	for _, s := range []*store{o.store, o.groups()} {
		s.mu.Lock()
		s.wiped = wiped
		s.edition++
		s.mu.Unlock()
	}
}

// User returns a user as a list shows them now, byte for byte.
func (o *Org) User(id string) ([]byte, bool) { return o.store.json(id) }

func (s *store) json(id string) ([]byte, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var u object
	if !s.findLocked(&u, id) {
		return nil, false
	}
	return bytes.Clone(u.text()), true
}

// UsersJSON yields every user, DEPROVISIONED ones too, by id, as a list shows
// them, byte for byte.
func (o *Org) UsersJSON() iter.Seq2[string, []byte] { return o.store.all() }

// all yields the ids and the JSON of the objects.
func (s *store) all() iter.Seq2[string, []byte] {
	const batch = 200 // objects per lock
	return func(yield func(string, []byte) bool) {
		type row struct {
			id   string
			json []byte
		}
		for after := ""; ; {
			var rows []row
			s.mu.RLock()
			for u := range s.scanLocked(after, time.Time{}) {
				rows = append(rows, row{u.id(), bytes.Clone(u.text())})
				if len(rows) == batch {
					break
				}
			}
			s.mu.RUnlock()
			for _, r := range rows {
				if after = r.id; !yield(r.id, r.json) {
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
	o.store.mu.RLock()
	defer o.store.mu.RUnlock()
	count := map[string]int{}
	for u := range o.store.scanLocked("", time.Time{}) {
		count[strings.Clone(u.status)]++
	}
	return count
}
