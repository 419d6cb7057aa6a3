package report

import (
	"slices"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/document"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
	"oktasync/reconcile/snapshot/canonjson"
)

const (
	dormantAfter = 90 * 24 * time.Hour
	unusedAfter  = 30 * 24 * time.Hour
)

// state returns the sections about the users of o.Snapshot.
func state(o *Options) ([]document.Section, error) {
	s := &stateOf{s: o.Snapshot, now: o.Snapshot.Manifest.Read.Started.Time}
	tables := []*userTable{
		s.noFactor(), s.dormant(), s.neverSignedIn(), s.unused(),
		s.withStatus("locked", "Locked out", "LOCKED_OUT"), s.withStatus("suspended", "Suspended", "SUSPENDED"),
		s.deprovisioned(), s.noManager(), s.managerLeft(),
	}
	if !s.records(snapshot.Users) {
		for _, t := range tables {
			t.missing = "The snapshot doesn't record users."
		}
	}
	for _, prepare := range s.before {
		if err := prepare(); err != nil {
			return nil, err
		}
	}
	if err := s.readUsers(tables); err != nil {
		return nil, err
	}
	for _, finish := range s.after {
		if err := finish(); err != nil {
			return nil, err
		}
	}
	var sections []document.Section
	for _, t := range tables {
		if left := s.unrecorded(slices.Clone(userPaths)...); len(left) > 0 {
			t.method = append(t.method, "Not recorded: "+strings.Join(left, ", ")+".")
		}
		sections = append(sections, t.section(linksOf(o.Snapshot.Manifest.Org.URL)))
	}
	return sections, nil
}

// readUsers adds the rows of tables.
func (s *stateOf) readUsers(tables []*userTable) error {
	if !s.records(snapshot.Users) {
		return nil
	}
	people := access.NewPersonReader()
	return recordsOf(s.s, snapshot.Users, func(record []byte) error {
		p, err := people.Read(record)
		if err != nil {
			return err
		}
		u := &user{p}
		for _, t := range tables {
			if t.missing != "" {
				continue
			}
			if since, cells, ok := t.accepts(u, record); ok {
				t.rows = append(t.rows, userRow{u, since, cells})
			}
		}
		return nil
	})
}

func (s *stateOf) noFactor() *userTable {
	t := &userTable{
		id: "no-factor", title: "Active accounts without a listed factor",
		method: []string{
			"Accounts with the status ACTIVE for which Okta listed no factor with the status ACTIVE to this app.",
			"Okta's policies decide which factors are listed. So this is not evidence that MFA is or isn't enforced.",
		},
	}
	if !s.records(snapshot.Factors) {
		t.missing = "Not recorded: factors."
		return t
	}
	active := make(map[string]bool)
	s.before = append(s.before, func() error {
		return recordsOf(s.s, snapshot.Factors, func(record []byte) error {
			status, err := canonjson.Text(record, "status")
			if err != nil || status != "ACTIVE" {
				return err
			}
			id, err := canonjson.Text(record, "user_id")
			active[id] = true
			return err
		})
	})
	t.accepts = func(u *user, _ []byte) (string, []string, bool) {
		return "", nil, u.Status == "ACTIVE" && !active[u.ID]
	}
	return t
}

// isOpen is the sentence about user.isOpen.
const isOpen = "Only accounts with the status ACTIVE, PASSWORD_EXPIRED, RECOVERY or LOCKED_OUT are listed."

func (s *stateOf) dormant() *userTable {
	return &userTable{
		id: "dormant", title: "Dormant for over 90 days",
		method: []string{
			"Accounts whose last sign-in to Okta (lastLogin) was more than 90 days before the read began. days is the number of days since then. " + isOpen,
			"A direct sign-in to an application, not through Okta, isn't recorded.",
		},
		columns: []string{"days"},
		missing: s.missing("lastLogin"),
		accepts: func(u *user, _ []byte) (string, []string, bool) {
			return u.LastLogin, []string{days(u.LastLogin, s.now)}, u.isOpen() && before(u.LastLogin, s.now.Add(-dormantAfter))
		},
	}
}

func (s *stateOf) neverSignedIn() *userTable {
	return &userTable{
		id: "never-signed-in", title: "Never signed in",
		method:  []string{"Accounts without a last sign-in to Okta (lastLogin), the oldest account first. days is the number of days since the account was created. " + isOpen},
		columns: []string{"days"},
		missing: s.missing("lastLogin"),
		accepts: func(u *user, _ []byte) (string, []string, bool) {
			return u.Created, []string{days(u.Created, s.now)}, u.isOpen() && u.LastLogin == ""
		},
	}
}

func (s *stateOf) unused() *userTable {
	return &userTable{
		id: "unused", title: "Not activated for over 30 days",
		method: []string{"Accounts that had the status STAGED or PROVISIONED for more than 30 days when the read began, the oldest first. " +
			"since is statusChanged, or created if Okta has no statusChanged. days is the number of days since then."},
		columns: []string{"since", "days"},
		missing: s.missing("statusChanged", "created"),
		accepts: func(u *user, _ []byte) (string, []string, bool) {
			since := u.StatusChanged
			if since == "" {
				since = u.Created
			}
			pending := u.Status == "STAGED" || u.Status == "PROVISIONED"
			return since, []string{since, days(since, s.now)}, pending && before(since, s.now.Add(-unusedAfter))
		},
	}
}

func (s *stateOf) withStatus(id, title, status string) *userTable {
	return &userTable{
		id: id, title: title,
		method:  []string{"Accounts with the status " + status + ". since is statusChanged, and days is the number of days from then to the read."},
		columns: []string{"since", "days"},
		accepts: func(u *user, _ []byte) (string, []string, bool) {
			return u.StatusChanged, []string{u.StatusChanged, days(u.StatusChanged, s.now)}, u.Status == status
		},
	}
}
