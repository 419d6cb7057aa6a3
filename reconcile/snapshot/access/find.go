package access

import (
	"fmt"
	"iter"
	"strings"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// A NotFoundError means that no record has an id or a name.
type NotFoundError struct {
	Resource *snapshot.Resource
	Text     string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no %s has the id or %s %q", e.Resource.Noun, nameOf(e.Resource), e.Text)
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
		return "", &NotFoundError{r, text}
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
