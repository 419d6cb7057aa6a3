package sandbox

import "slices"

// deprovisioned is the status of deactivated users.
const deprovisioned = "DEPROVISIONED"

// userResource describes users ("List users").
func userResource() resource {
	return resource{
		name: "user", kind: "User", event: "user.account.update_profile",
		minLimit: 1, maxLimit: 200, maxFound: 10,
		found:      []string{"profile.firstName", "profile.lastName", "profile.email"},
		department: "profile.department", login: "profile.login", links: userLinks,
		profile:  slices.Concat(baseAttributes, customAttributes),
		filter:   []string{"id", "status", "lastUpdated", "profile.login", "profile.email", "profile.firstName", "profile.lastName"},
		search:   []string{"id", "status", "created", "activated", "statusChanged", "lastUpdated", "type.id"},
		contains: []string{"profile.firstName", "profile.lastName", "profile.email", "profile.login"},
	}
}

// userLinks returns the links of a user that is read by id. In a list, a user
// has only self.
func userLinks(self string) []byte {
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
