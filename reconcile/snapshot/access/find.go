package access

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// A NotFoundError means that no record has an id or a name, or that no role has a type, a
// label or an id.
type NotFoundError struct {
	Resource *snapshot.Resource
	Text     string
	in       *snapshot.Snapshot
}

func (e *NotFoundError) Error() string {
	if e.Resource == snapshot.RoleAssignments {
		return fmt.Sprintf("no role has the type, label or id %q", e.Text)
	}
	return fmt.Sprintf("no %s has the id or %s %q", e.Resource.Noun, nameOf(e.Resource), e.Text)
}

// Names returns the names of all records, in which a caller can find one that is similar to
// Text. They are texts of Okta.
func (e *NotFoundError) Names() iter.Seq2[string, error] {
	if e.Resource == snapshot.RoleAssignments {
		return roleNames(e.in)
	}
	return func(yield func(string, error) bool) {
		for record, err := range recordsOf(e.in, e.Resource) {
			name := ""
			if err == nil {
				name, err = canonjson.Text(record, e.Resource.Label.Path)
			}
			if !yield(name, err) || err != nil {
				return
			}
		}
	}
}

// Select returns q with ids instead of the names of its user, group and app. It looks for
// each object in the snapshots, in their order. If none has it, the error is a *NotFoundError.
func Select(snapshots []*snapshot.Snapshot, q Query) (Query, error) {
	for _, wanted := range []struct {
		resource *snapshot.Resource
		text     *string
	}{{snapshot.Users, &q.User}, {snapshot.Groups, &q.Group}, {snapshot.Apps, &q.App}} {
		if *wanted.text == "" {
			continue
		}
		var id string
		var err error
		for _, s := range snapshots {
			if id, err = Find(s, wanted.resource, *wanted.text); !errors.As(err, new(*NotFoundError)) {
				break
			}
		}
		if err != nil {
			return q, err
		}
		*wanted.text = id
	}
	return q, nil
}

// nameOf returns the attribute by which people know a record: login, name or label.
func nameOf(r *snapshot.Resource) string {
	return r.Label.Path[strings.LastIndexByte(r.Label.Path, '.')+1:]
}

// Find returns the id of the record of r in s with this id, or with this login, name or
// label. Case counts, except in logins. Several records with the name are an error that
// lists their ids.
func Find(s *snapshot.Snapshot, r *snapshot.Resource, text string) (id string, err error) {
	if r == snapshot.Users { // logins are unique, and few people write them in another case
		ids, err := matching(containing(s, r, "", text), r, text)
		if err != nil || len(ids) == 1 {
			return strings.Join(ids, ""), err
		}
	}
	ids, err := matching(recordsOf(s, r), r, text)
	if err != nil {
		return "", err
	}
	switch len(ids) {
	case 0:
		return "", &NotFoundError{r, text, s}
	case 1:
		return ids[0], nil
	}
	return "", fmt.Errorf("%d %ss have the %s %q; use one of the ids %s", len(ids), r.Noun, nameOf(r), text, strings.Join(ids, ", "))
}

// matching returns the ids of the records that have the name, or only the id if it is one.
func matching(records iter.Seq2[[]byte, error], r *snapshot.Resource, text string) (ids []string, err error) {
	for record, err := range records {
		if err != nil {
			return nil, err
		}
		id, err := canonjson.Text(record, r.Key[0])
		if err != nil {
			return nil, err
		}
		if id == text {
			return []string{id}, nil
		}
		name, err := canonjson.Text(record, r.Label.Path)
		if err != nil {
			return nil, err
		}
		if name == text || r == snapshot.Users && strings.EqualFold(name, text) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// CheckRole returns a *NotFoundError unless text is the type of a standard role, or the
// type, label or id of a role that a holder in a snapshot has. Case counts only in ids.
func CheckRole(snapshots []*snapshot.Snapshot, text string) error {
	if slices.ContainsFunc(standardRoles, func(known string) bool { return strings.EqualFold(known, text) }) {
		return nil
	}
	for _, s := range snapshots {
		for r, err := range rolesOf(s) {
			if err != nil || r.is(text) {
				return err
			}
		}
	}
	return &NotFoundError{snapshot.RoleAssignments, text, snapshots[0]}
}

// roleNames returns the types of standard roles, and the types and labels of the roles in s.
func roleNames(s *snapshot.Snapshot) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, name := range standardRoles {
			if !yield(name, nil) {
				return
			}
		}
		for r, err := range rolesOf(s) {
			if !yield(r.RoleType, err) || err != nil || !yield(r.RoleLabel, nil) {
				return
			}
		}
	}
}
