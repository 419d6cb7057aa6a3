package report

import (
	"fmt"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
	"oktasync/reconcile/snapshot/canonjson"
)

func (s *stateOf) noManager() *userTable {
	method := []string{"Accounts with neither profile.manager nor profile.managerId. Accounts with the status DEPROVISIONED are left out."}
	if left := s.unrecorded(slices.Clone(managerPaths)...); len(left) > 0 {
		method = append(method, left[0]+" isn't recorded, so a listed account can have a manager.")
	}
	return &userTable{
		id: "no-manager", title: "Without a manager",
		method:  method,
		missing: s.missing(managerPaths...),
		accepts: func(u *user, _ []byte) (string, []string, bool) {
			return "", nil, u.Status != "DEPROVISIONED" && u.Manager == ""
		},
	}
}

// managerPaths are the attributes with the manager of a user.
var managerPaths = []string{"profile.manager", "profile.managerId"}

// managerKeys are the attributes that a manager's id or name can be, in the order in which
// they are compared.
var managerKeys = []string{"id", "profile.login", "profile.email", "profile.employeeNumber", "full name"}

// keysOf returns the values of managerKeys of a user.
func keysOf(people *access.PersonReader, record []byte) (keys []string, status string, err error) {
	u, err := people.Read(record)
	if err != nil {
		return nil, "", err
	}
	keys = []string{u.ID, u.Login, "", "", u.Name}
	for i, path := range managerKeys {
		if keys[i] == "" && strings.HasPrefix(path, "profile.") {
			keys[i], err = canonjson.Text(record, path)
		}
		if err != nil {
			return nil, "", err
		}
	}
	return keys, u.Status, nil
}

// A manager is an id or a name that users have as their manager.
type manager struct {
	key    int // index of the attribute that is equal: len(managerKeys) if none is
	open   int // users with this attribute that aren't deprovisioned
	closed int // users with this attribute that are deprovisioned
}

// match records that a user has the manager's id or name as the attribute with a key.
func (m *manager) match(key int, status string) {
	if key > m.key {
		return
	}
	if key < m.key {
		*m = manager{key: key}
	}
	if status == "DEPROVISIONED" {
		m.closed++
	} else {
		m.open++
	}
}

func (m *manager) found() bool { return m.open+m.closed > 0 }

// managers are the managers of users, by their ids and names in lower case.
type managers map[string]*manager

func (s *stateOf) managerLeft() *userTable {
	found := make(managers)
	t := &userTable{
		id: "manager-left", title: "With a manager who left",
		columns: []string{"manager_id", "manager_status"},
		missing: s.missing(managerPaths...),
		accepts: func(u *user, record []byte) (string, []string, bool) {
			id, status := found.of(record)
			return "", []string{id, status}, u.Status != "DEPROVISIONED" && status != ""
		},
	}
	if t.missing != "" || !s.records(snapshot.Users) {
		return t
	}
	s.before = append(s.before, func() error {
		if err := found.read(s.s); err != nil {
			return err
		}
		t.method = found.method()
		if n := s.s.Manifest.Declared.Resources[snapshot.Users.Name].Narrowing; n != nil && (n.Search != "" || !n.IncludeDeprovisioned) {
			t.method = append(t.method, "The export leaves out users, so a manager who isn't recorded can have an account.")
		}
		if found.unknown() {
			t.missing = "No manager matches a recorded user by " + strings.Join(managerKeys, ", ") + "."
		}
		return nil
	})
	return t
}

// read finds the managers of the users in s.
func (ms managers) read(s *snapshot.Snapshot) error {
	err := recordsOf(s, snapshot.Users, func(record []byte) error {
		for _, text := range managersOf(record) {
			ms[strings.ToLower(text)] = &manager{key: len(managerKeys)}
		}
		return nil
	})
	if err != nil {
		return err
	}
	people := access.NewPersonReader()
	return recordsOf(s, snapshot.Users, func(record []byte) error {
		keys, status, err := keysOf(people, record)
		for i, text := range keys {
			if m := ms[strings.ToLower(text)]; m != nil && text != "" {
				m.match(i, status)
			}
		}
		return err
	})
}

// managersOf returns managerId and manager of a user, without empty ones.
func managersOf(record []byte) []string {
	var list []string
	for _, path := range []string{"profile.managerId", "profile.manager"} {
		if text, _ := canonjson.Text(record, path); text != "" {
			list = append(list, text)
		}
	}
	return list
}

// of returns the manager of a user, and why the manager left, or "".
func (ms managers) of(record []byte) (id, status string) {
	list := managersOf(record)
	for _, text := range list {
		switch m := ms[strings.ToLower(text)]; {
		case m == nil || !m.found():
		case m.open > 0:
			return "", ""
		default:
			return text, "DEPROVISIONED"
		}
	}
	if len(list) == 0 {
		return "", ""
	}
	return list[0], "not recorded"
}

// unknown reports whether there are managers, and none of them is a user.
func (ms managers) unknown() bool {
	for _, m := range ms {
		if m.found() {
			return false
		}
	}
	return len(ms) > 0
}

// method says how managers were found.
func (ms managers) method() []string {
	counts := make([]int, len(managerKeys)+1)
	for _, m := range ms {
		counts[m.key]++
	}
	text := fmt.Sprintf("Of %d different ids and names of managers, ", len(ms))
	for i, path := range managerKeys {
		if counts[i] > 0 {
			text += fmt.Sprintf("%d are the %s of a user, ", counts[i], path)
		}
	}
	text += fmt.Sprintf("and %d belong to no recorded user.", counts[len(managerKeys)])
	return []string{
		"Accounts whose manager (profile.managerId, or otherwise profile.manager) is a user with the status DEPROVISIONED, or isn't recorded. " +
			"Accounts with the status DEPROVISIONED are left out.",
		text,
	}
}
