package review

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// A Reviewer is a person named in decided_by.
type Reviewer struct {
	DecidedBy string   `json:"decided_by"` // an id, a login or an email address, as in the first file that has it
	Users     []string `json:"users"`      // the ids of the users who have it, sorted
	Status    string   `json:"status"`     // of the user; ACTIVE if one of several is; "": unknown
	Keep      int      `json:"keep"`
	Revoke    int      `json:"revoke"`
}

// reviewers are the people named in decided_by, by name in lower case.
type reviewers map[string]*Reviewer

// maxReviewers bounds the memory.
const maxReviewers = 100_000

var errReviewers = fmt.Errorf("more than %d different names are in the column %s", maxReviewers, decidedByColumn)

func (r reviewers) add(name string) error {
	key := strings.ToLower(name)
	if name == "" || r[key] != nil {
		return nil
	}
	if len(r) == maxReviewers {
		return errReviewers
	}
	r[key] = &Reviewer{DecidedBy: name, Users: []string{}}
	return nil
}

func (r reviewers) find(s *snapshot.Snapshot) error {
	for record, err := range recordsOf(s, snapshot.Users) {
		if err != nil {
			return err
		}
		var names [3]string
		status := ""
		for path, value := range map[string]*string{"id": &names[0], "profile.login": &names[1], "profile.email": &names[2], "status": &status} {
			if *value, err = canonjson.Text(record, path); err != nil {
				return err
			}
		}
		for _, name := range names {
			reviewer := r[strings.ToLower(name)]
			if reviewer == nil || name == "" {
				continue
			}
			if n := len(reviewer.Users); n > 0 && reviewer.Users[n-1] == names[0] {
				continue // users are sorted by id
			}
			reviewer.Users = append(reviewer.Users, names[0])
			if reviewer.Status != active {
				reviewer.Status = status
			}
		}
	}
	return nil
}

const active = "ACTIVE"

// A moment is the time of a decision. A date is the whole day.
type moment struct{ begin, end time.Time }

// timeLayouts are the accepted forms of a time without a zone.
var timeLayouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"}

func parseMoment(text string, zone *time.Location) (moment, error) {
	if day, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		return moment{day, day.AddDate(0, 0, 1)}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return moment{t, t}, nil
	}
	for _, form := range timeLayouts {
		if t, err := time.ParseInLocation(form, text, zone); err == nil {
			return moment{t, t}, nil
		}
	}
	return moment{}, errors.New("isn't a date such as 2026-11-23, or a time")
}
