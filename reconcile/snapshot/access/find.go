package access

import (
	"fmt"
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
	records, err := s.Records(r)
	if err != nil {
		return "", err
	}
	defer records.Close()
	var ids []string
	for record, err := range snapshot.Records(records) {
		if err != nil {
			return "", err
		}
		id, err := canonjson.Text(record, r.Key[0])
		if err != nil {
			return "", err
		}
		if id == text {
			return id, nil
		}
		name, err := canonjson.Text(record, r.Label.Path)
		if err != nil {
			return "", err
		}
		if name == text || r == snapshot.Users && strings.EqualFold(name, text) {
			ids = append(ids, id)
		}
	}
	switch len(ids) {
	case 0:
		return "", &NotFoundError{r, text}
	case 1:
		return ids[0], nil
	}
	return "", fmt.Errorf("%d %ss have the %s %q; use one of the ids %s", len(ids), r.Noun, nameOf(r), text, strings.Join(ids, ", "))
}
