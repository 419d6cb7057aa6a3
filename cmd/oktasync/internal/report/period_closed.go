package report

import (
	"cmp"
	"slices"
	"time"

	"oktasync/cmd/oktasync/internal/document"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// accountsClosed returns the section about accounts that were deactivated or deleted.
func (u *userEvents) accountsClosed() (document.Section, error) {
	access, err := newClosedAccess(u)
	if err != nil {
		return document.Section{}, err
	}
	method := []string{
		"Accounts that were deactivated or deleted. One row is one event. This list is not matched with HR.",
		"suspended_at and deactivated_at are Okta's times (statusChanged). If the record has no time of a suspension, suspended_at is the start of the first read that shows it. " +
			"days_suspended is the number of whole days between the two.",
		`access_ended_at is the start of the first read in which the account has no app, and no group other than "Everyone". It is empty if the account still has an app or a group in the last snapshot. ` +
			"\"none in the period\" means that the account had none in the whole period. still_assigned is the number of its groups and apps in the last snapshot.",
		personMethod,
	}
	method = append(method, access.method()...)
	if others := u.otherChanges(); others != "" {
		method = append(method, "Other changes of users, which no section lists: "+others+".")
	}
	suspended := make(map[string]string) // the time of the last suspension, by user
	return u.section(eventTable{
		id: "leavers", title: "Accounts closed", method: method,
		columns: []string{"event", "suspended_at", "deactivated_at", "days_suspended", "access_ended_at", "still_assigned"},
		cells: func(e *event) ([]string, bool, error) {
			if e.Kind == diff.Suspended {
				at, err := e.atOkta()
				suspended[e.ID()] = cmp.Or(at, e.seen.Manifest.Read.Started.String())
				return nil, false, err
			}
			if snapshot.Users.Heading(e.Kind) != snapshot.Leavers {
				return nil, false, nil
			}
			deactivatedAt, err := e.closed(suspended)
			deactivatedAt = (&stateOf{s: e.seen}).orNotRecorded(deactivatedAt, "statusChanged")
			suspendedAt := suspended[e.ID()]
			between := ""
			if at, err := time.Parse(time.RFC3339, deactivatedAt); err == nil {
				between = days(suspendedAt, at)
			}
			return []string{string(e.Kind), suspendedAt, deactivatedAt, between, access.endedAt(e.ID()), access.still(e.ID())}, true, err
		},
	}, func() { clear(suspended) }), nil
}

// closed returns Okta's time of the deactivation of a closed account, or "". It sets the
// time of its suspension, if the account was suspended until then.
func (e *event) closed(suspended map[string]string) (deactivatedAt string, err error) {
	status, err := canonjson.Text(e.Before, "status")
	if err != nil {
		return "", err
	}
	changed, err := canonjson.Text(e.Before, "statusChanged")
	switch {
	case err != nil:
		return "", err
	case status == "DEPROVISIONED": // and deleted after that
		return changed, nil
	case status == "SUSPENDED":
		suspended[e.ID()] = cmp.Or(changed, suspended[e.ID()])
	default:
		delete(suspended, e.ID())
	}
	return e.atOkta()
}

// otherChanges returns the numbers of the changes of users that are neither leavers,
// joiners nor movers.
func (p *period) otherChanges() string {
	kinds := make(map[diff.Kind]int)
	for _, s := range p.snapshots {
		for kind, n := range s.Manifest.Resources[snapshot.Users.Name].Kinds {
			if snapshot.Users.Heading(kind) == snapshot.Others && gapOf(s, snapshot.Users) == noGap {
				kinds[kind] += n
			}
		}
	}
	return KindCounts(snapshot.Users, kinds)
}

// closedAccess is the access that closed accounts had and have.
type closedAccess struct {
	recorded []*snapshot.Resource          // of those with the access of users, in the last snapshot
	lost     map[string]*snapshot.Snapshot // the last one that was the first without an edge of the account
	held     map[string]*held              // in the last snapshot
	gap      int                           // the sequence of the last snapshot without changes files; 0: none
}

func newClosedAccess(u *userEvents) (*closedAccess, error) {
	a := &closedAccess{lost: make(map[string]*snapshot.Snapshot), held: make(map[string]*held)}
	for e, err := range u.events(otherThanChanged, snapshot.Users) {
		if err != nil {
			return nil, err
		}
		if snapshot.Users.Heading(e.Kind) == snapshot.Leavers {
			a.held[e.ID()] = new(held)
		}
	}
	last := &stateOf{s: u.o.Snapshot}
	for _, r := range []*snapshot.Resource{snapshot.GroupMembers, snapshot.AppUsers} {
		if last.records(r) {
			a.recorded = append(a.recorded, r)
		}
	}
	if len(a.held) == 0 || len(a.recorded) == 0 {
		return a, nil
	}
	if last.records(snapshot.GroupMembers) {
		if err := last.addGroups(a.held); err != nil {
			return nil, err
		}
	}
	if last.records(snapshot.AppUsers) {
		if err := last.addApps(a.held); err != nil {
			return nil, err
		}
	}
	return a, a.addLost(u.period)
}

// addLost sets when the accounts lost an app or a group, and the last gap.
func (a *closedAccess) addLost(p *period) error {
	everyone := ""
	if slices.Contains(a.recorded, snapshot.GroupMembers) {
		var err error
		if everyone, err = everyoneOf(p.o.Snapshot); err != nil {
			return err
		}
	}
	for e, err := range p.events(removals, a.recorded...) {
		if err != nil {
			return err
		}
		if user := e.Key["user_id"]; a.held[user] != nil && e.Op == diff.OpRemoved && (everyone == "" || e.Key["group_id"] != everyone) {
			a.lost[user] = e.seen
		}
	}
	for i, s := range p.snapshots {
		for _, r := range a.recorded {
			if g := gapOf(s, r); g != noGap && g != notRead || i == 0 && p.broken {
				a.gap = s.Manifest.Sequence
			}
		}
	}
	return nil
}

// method returns what the columns with the access don't show.
func (a *closedAccess) method() []string {
	switch {
	case len(a.recorded) == 0:
		return []string{"Not recorded: group_members, app_users. So access_ended_at and still_assigned are empty."}
	case len(a.recorded) == 1 && a.recorded[0] == snapshot.GroupMembers:
		return []string{"Not recorded: app_users. So access_ended_at and still_assigned are only about groups."}
	case len(a.recorded) == 1:
		return []string{"Not recorded: group_members. So access_ended_at and still_assigned are only about apps."}
	case a.gap > 0:
		return []string{"access_ended_at is unknown if the changes files that would show it are missing."}
	}
	return nil
}

// endedAt returns when the access of a closed account ended.
func (a *closedAccess) endedAt(user string) string {
	h, lost := a.held[user], a.lost[user]
	switch {
	case len(a.recorded) == 0 || h.groups+h.apps > 0:
		return ""
	case lost != nil && lost.Manifest.Sequence >= a.gap:
		return lost.Manifest.Read.Started.String()
	case a.gap > 0:
		return "unknown"
	}
	return "none in the period"
}

// still returns the number of groups and apps that a closed account still has.
func (a *closedAccess) still(user string) string {
	h := a.held[user]
	switch {
	case len(a.recorded) == 0:
		return ""
	case h.groups+h.apps == 0:
		return "0"
	case h.apps == 0:
		return term.Plural(h.groups, "group")
	case h.groups == 0:
		return term.Plural(h.apps, "app")
	}
	return term.Plural(h.groups, "group") + ", " + term.Plural(h.apps, "app")
}
