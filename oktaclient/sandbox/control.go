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

// deprovisioned is the status of who has left.
const deprovisioned = "DEPROVISIONED"

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
		u := s.newUser(s.people.appendUser(nil, number, f, o.URL()))
		ids[i] = u.key
		s.putLocked(u.key, u, now)
		o.events.add(now, "user.lifecycle.create", u)
	}
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
		u := new(user)
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
func (op Op) fits(u *user) bool {
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
func (s *store) chooseLocked(op Op) *user {
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
			if u := (&user{number: i, store: s, facts: s.people.facts(i)}); op.fits(u) {
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
func (o *Org) applyLocked(op Op, u *user) {
	now := o.now()
	stamp := appendTime(nil, now.UnixMilli())
	id, event := u.id(), "user.lifecycle."+string(op)
	json := u.text()
	status := ""
	switch op {
	case Delete:
		o.store.putLocked(id, nil, now)
		o.events.add(now, "user.lifecycle.delete.completed", u)
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
	changed := o.store.newUser(json)
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
	if !json.Valid(value) {
		return fmt.Errorf("set %s of user %s: no JSON", path, id)
	}
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	var u user
	if !o.store.findLocked(&u, id) {
		return fmt.Errorf("set %s of user %s: no such user", path, id)
	}
	now := o.now()
	text := set(set(u.text(), "lastUpdated", appendTime(nil, now.UnixMilli())), path, value)
	changed := o.store.newUser(text)
	changed.number = u.number
	o.store.putLocked(id, changed, now)
	o.store.learnLocked(text)
	o.events.add(now, "user.account.update_profile", changed)
	return nil
}

// Put adds a user, or replaces the one with the same id, exactly as given: no
// byte of userJSON is changed. It needs an id and a status.
func (o *Org) Put(userJSON []byte) error {
	userJSON = bytes.TrimSpace(userJSON)
	if !json.Valid(userJSON) || userJSON[0] != '{' {
		return fmt.Errorf("put user: no JSON object")
	}
	userJSON = bytes.Clone(userJSON)
	id := text(userJSON, "id")
	if id == "" || text(userJSON, "status") == "" {
		return fmt.Errorf("put user: no id or no status")
	}
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	now := o.now()
	u := o.store.newUser(userJSON)
	u.number = o.store.people.find(id)
	o.store.putLocked(id, u, now)
	o.store.learnLocked(userJSON)
	o.events.add(now, "user.account.update_profile", u)
	return nil
}

// learnLocked remembers which profile attributes there are.
func (s *store) learnLocked(user []byte) {
	if profile := get(user, "profile"); len(profile) > 0 && profile[0] == '{' {
		for m := range members(profile) {
			s.known[m.name()] = true
		}
	}
}

// Wipe has everybody gone, as after somebody's mistake or with an app that has
// lost its role; Restore brings all of them back.
func (o *Org) Wipe()    { o.setWiped(true) }
func (o *Org) Restore() { o.setWiped(false) }

func (o *Org) setWiped(wiped bool) {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	o.store.wiped = wiped
	o.store.edition++
}

// User returns a user as a list shows them now, byte for byte.
func (o *Org) User(id string) ([]byte, bool) {
	o.store.mu.RLock()
	defer o.store.mu.RUnlock()
	var u user
	if !o.store.findLocked(&u, id) {
		return nil, false
	}
	return bytes.Clone(u.text()), true
}

// UsersJSON yields every user there is, DEPROVISIONED ones too, by id, as a list
// shows them, byte for byte: the truth to compare a reading with.
func (o *Org) UsersJSON() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		type row struct {
			id   string
			json []byte
		}
		for after := ""; ; {
			var rows []row
			o.store.mu.RLock()
			for u := range o.store.scanLocked(after, time.Time{}) {
				rows = append(rows, row{u.id(), bytes.Clone(u.text())})
				if len(rows) == maxLimit {
					break
				}
			}
			o.store.mu.RUnlock()
			for _, r := range rows {
				if after = r.id; !yield(r.id, r.json) {
					return
				}
			}
			if len(rows) < maxLimit {
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
