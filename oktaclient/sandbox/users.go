package sandbox

import (
	"net/http"
	"strings"
	"time"
)

// deprovisioned is the status of users who have left.
const deprovisioned = "DEPROVISIONED"

// userResource describes users ("List users").
func userResource() resource {
	return resource{
		name: "user", kind: "User", event: "user.account.update_profile",
		minLimit: 1, maxLimit: 200, maxFound: 10, found: []string{"profile.firstName", "profile.lastName", "profile.email"},
		department: "profile.department",
		filter:     []string{"id", "status", "lastUpdated", "profile.login", "profile.email", "profile.firstName", "profile.lastName"},
		search:     []string{"id", "status", "created", "activated", "statusChanged", "lastUpdated", "type.id"},
		contains:   []string{"profile.firstName", "profile.lastName", "profile.email", "profile.login"},
	}
}

// getUser is GET /api/v1/users/{id or login}. It doesn't lag.
func (o *Org) getUser(a *answer, r *http.Request, g *grant, name string) error {
	s := o.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	var u object
	found := s.findLocked(&u, name) || strings.Contains(name, "@") && s.findLoginLocked(&u, name)
	if !found || !s.visible(&u, g) {
		return s.notFound(name)
	}
	json := u.text()
	if get(json, "_links") != nil {
		json = set(json, "_links", o.links(u.id()))
	}
	a.header.Set("Content-Type", "application/json")
	a.body.Write(viewOf(r, r.URL.Query().Get("fields")).apply(json))
	return nil
}

// findLoginLocked fills u with the user who has the login.
func (s *store) findLoginLocked(u *object, login string) bool {
	for v := range s.scanLocked("", time.Time{}) {
		if strings.EqualFold(text(v.text(), "profile.login"), login) {
			*u = *v
			return true
		}
	}
	return false
}

// links returns the links of a user that is read by id. A list has only self.
func (o *Org) links(id string) []byte {
	self := o.URL() + "/api/v1/users/" + id
	w := writer("{")
	for _, name := range []string{"suspend", "resetPassword", "expirePassword", "deactivate"} {
		w.open(name)
		w.text("href", self+"/lifecycle/"+name)
		w.text("method", "POST")
		w.close()
	}
	w.raw("self", `{"href":"`+self+`"}`)
	w.close()
	return w
}
