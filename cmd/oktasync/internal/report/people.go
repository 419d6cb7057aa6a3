package report

import (
	"strings"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
	"oktasync/reconcile/snapshot/canonjson"
)

// People are the name, department and manager of users, by their ids.
type People map[string]string

// Add adds a user. ReadFrom sets the description.
func (p People) Add(id string) {
	if len(p) < maxNames {
		p[id] = ""
	}
}

// ReadFrom sets the descriptions of the users that s has.
func (p People) ReadFrom(s snapshot.Source) error {
	if len(p) == 0 {
		return nil
	}
	users, err := s.Records(snapshot.Users)
	if err != nil {
		return err
	}
	defer users.Close()
	reader := access.NewPersonReader()
	for user, err := range snapshot.Records(users) {
		if err != nil {
			return err
		}
		id, err := canonjson.Text(user, "id")
		if err != nil {
			return err
		}
		if _, wanted := p[id]; !wanted {
			continue
		}
		person, err := reader.Read(user)
		if err != nil {
			return err
		}
		var parts []string
		for _, part := range []string{person.Name, person.Department} {
			if part != "" {
				parts = append(parts, part)
			}
		}
		if person.Manager != "" {
			parts = append(parts, "manager "+person.Manager)
		}
		p[id] = strings.Join(parts, ", ")
	}
	return nil
}
