package access

import (
	"cmp"
	"strings"

	"oktasync/reconcile/snapshot/canonjson"
)

// A Person has the attributes of a user's record that rows contain. An attribute that isn't
// recorded is empty.
type Person struct {
	ID, Login, Name, Status, Department string
	Created, StatusChanged, LastLogin   string
	Manager                             string // or its id
}

// A PersonReader reads persons from records of users. It isn't safe for concurrent use.
type PersonReader struct {
	texts                            *canonjson.Texts
	person                           Person
	displayName, firstName, lastName string
	manager, managerID               string
}

// NewPersonReader returns a PersonReader.
func NewPersonReader() *PersonReader {
	r := new(PersonReader)
	p := &r.person
	r.texts = canonjson.NewTexts(map[string]*string{
		"id": &p.ID, "status": &p.Status, "created": &p.Created, "statusChanged": &p.StatusChanged, "lastLogin": &p.LastLogin,
		"profile.login": &p.Login, "profile.department": &p.Department,
		"profile.displayName": &r.displayName, "profile.firstName": &r.firstName, "profile.lastName": &r.lastName,
		"profile.manager": &r.manager, "profile.managerId": &r.managerID,
	})
	return r
}

// Read returns the person of a record of users. The error is [canonjson.ErrNotCanonical].
func (r *PersonReader) Read(user []byte) (Person, error) {
	err := r.texts.Read(user)
	p := r.person
	if p.Name = r.displayName; p.Name == "" {
		p.Name = strings.TrimSpace(r.firstName + " " + r.lastName)
	}
	p.Manager = cmp.Or(r.manager, r.managerID)
	return p, err
}
