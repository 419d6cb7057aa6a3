package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// maxHeld is the most names of groups and apps in a row.
const maxHeld = 10

// held are the groups and apps of a user.
type held struct {
	groups, apps int
	names        []string // at most maxHeld
}

func (h *held) name(text string) {
	if len(h.names) < maxHeld {
		h.names = append(h.names, text)
	}
}

// list returns the names, and the number of the others.
func (h *held) list() string {
	text := strings.Join(h.names, "; ")
	if more := h.groups + h.apps - len(h.names); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

func (s *stateOf) deprovisioned() *userTable {
	t := &userTable{
		id: "deprovisioned-with-access", title: "Deprovisioned, but still in groups or apps",
		method: []string{
			`Accounts with the status DEPROVISIONED that are still members of a group other than "Everyone", or are still assigned an app. ` +
				"groups and apps are the numbers of these groups and apps. since is statusChanged, and days is the number of days from then to the read.",
			fmt.Sprintf("names lists at most %d groups and apps.", maxHeld),
		},
		columns: []string{"since", "days", "groups", "apps", "names"},
		accepts: func(u *user, _ []byte) (string, []string, bool) {
			return u.StatusChanged, []string{u.StatusChanged, days(u.StatusChanged, s.now)}, u.Status == "DEPROVISIONED"
		},
	}
	members, apps := s.records(snapshot.GroupMembers), s.records(snapshot.AppUsers)
	n := s.s.Manifest.Declared.Resources[snapshot.Users.Name].Narrowing
	switch {
	case n != nil && !n.IncludeDeprovisioned:
		t.missing = "The export leaves out deprovisioned users."
	case !members && !apps:
		t.missing = "Not recorded: group_members, app_users."
	case !members:
		t.method = append(t.method, "Not recorded: group_members. So groups is empty.")
	case !apps:
		t.method = append(t.method, "Not recorded: app_users. So apps is empty.")
	}
	if t.missing == "" {
		s.after = append(s.after, func() error { return s.keepHolders(t, members, apps) })
	}
	return t
}

// keepHolders removes the rows of users without groups and apps, and completes the others.
func (s *stateOf) keepHolders(t *userTable, members, apps bool) error {
	holders := make(map[string]*held)
	for _, row := range t.rows {
		holders[row.user.ID] = new(held)
	}
	if members {
		if err := s.addGroups(holders); err != nil {
			return err
		}
	}
	if apps {
		if err := s.addApps(holders); err != nil {
			return err
		}
	}
	count := func(recorded bool, n int) string {
		if !recorded {
			return ""
		}
		return strconv.Itoa(n)
	}
	t.rows = slices.DeleteFunc(t.rows, func(row userRow) bool { h := holders[row.user.ID]; return h.groups+h.apps == 0 })
	for i, row := range t.rows {
		h := holders[row.user.ID]
		t.rows[i].cells = append(row.cells, count(members, h.groups), count(apps, h.apps), h.list())
	}
	return nil
}

// addGroups adds the groups of users. A group "Everyone" that an org created counts.
func (s *stateOf) addGroups(holders map[string]*held) error {
	everyone, err := everyoneOf(s.s)
	if err != nil {
		return err
	}
	names, err := s.labels(snapshot.Groups)
	if err != nil {
		return err
	}
	return s.edges(snapshot.GroupMembers, holders, func(h *held, group string) {
		if group != everyone {
			h.groups++
			h.name("group " + cmp.Or(names[group], group))
		}
	})
}

// everyoneOf returns the id of the group of all users, or "" if s doesn't have it.
func everyoneOf(s *snapshot.Snapshot) (everyone string, err error) {
	err = recordsOf(s, snapshot.Groups, func(record []byte) error {
		kind, err := canonjson.Text(record, "type")
		if err != nil || kind != "BUILT_IN" {
			return err
		}
		name, err := canonjson.Text(record, snapshot.Groups.Label.Path)
		if err == nil && name == "Everyone" {
			everyone, err = canonjson.Text(record, "id")
		}
		return err
	})
	return everyone, err
}

// addApps adds the apps of users.
func (s *stateOf) addApps(holders map[string]*held) error {
	labels, err := s.labels(snapshot.Apps)
	if err != nil {
		return err
	}
	return s.edges(snapshot.AppUsers, holders, func(h *held, app string) {
		h.apps++
		h.name("app " + cmp.Or(labels[app], app))
	})
}

// labels returns the names of the records of r, by their ids.
func (s *stateOf) labels(r *snapshot.Resource) (map[string]string, error) {
	labels := make(map[string]string)
	return labels, recordsOf(s.s, r, func(record []byte) error {
		id, err := canonjson.Text(record, "id")
		if err == nil {
			labels[id], err = canonjson.Text(record, r.Label.Path)
		}
		return err
	})
}

// edges calls visit for each edge of r to one of the users. parent is its other end.
func (s *stateOf) edges(r *snapshot.Resource, holders map[string]*held, visit func(h *held, parent string)) error {
	if len(holders) == 0 {
		return nil
	}
	return recordsOf(s.s, r, func(record []byte) error {
		user, err := canonjson.Find(record, "user_id")
		if err != nil || len(user) < 2 {
			return err
		}
		h := holders[string(user[1:len(user)-1])]
		if h == nil {
			return nil
		}
		parent, err := canonjson.Text(record, r.Key[0])
		if err == nil {
			visit(h, parent)
		}
		return err
	})
}
