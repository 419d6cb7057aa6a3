package access

import (
	"cmp"
	"strings"

	"oktasync/reconcile/snapshot/canonjson"
)

// A Person has the attributes of a user's record that rows contain. An attribute that isn't
// recorded is empty.
type Person struct {
	Login, Name, Status, Department, LastLogin string
	Manager                                    string // or its id
}

// PersonOf returns the person of a record of users.
func PersonOf(user []byte) (p Person, err error) {
	m := canonjson.MembersOf(user)
	for m.Next() && err == nil {
		switch string(m.Name) {
		case "status":
			p.Status = canonjson.Unquote(m.Value)
		case "lastLogin":
			p.LastLogin = canonjson.Unquote(m.Value)
		case "profile":
			err = p.setProfile(m.Value)
		}
	}
	return p, cmp.Or(err, m.Err)
}

func (p *Person) setProfile(profile []byte) error {
	var first, last, managerID string
	m := canonjson.MembersOf(profile)
	for m.Next() {
		switch string(m.Name) {
		case "login":
			p.Login = canonjson.Unquote(m.Value)
		case "displayName":
			p.Name = canonjson.Unquote(m.Value)
		case "firstName":
			first = canonjson.Unquote(m.Value)
		case "lastName":
			last = canonjson.Unquote(m.Value)
		case "department":
			p.Department = canonjson.Unquote(m.Value)
		case "manager":
			p.Manager = canonjson.Unquote(m.Value)
		case "managerId":
			managerID = canonjson.Unquote(m.Value)
		}
	}
	p.Name = cmp.Or(p.Name, strings.TrimSpace(first+" "+last))
	p.Manager = cmp.Or(p.Manager, managerID)
	return m.Err
}
