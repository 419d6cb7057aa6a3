package main

import (
	"errors"
	"fmt"
	"strings"

	"oktasync/reconcile/snapshot"
)

// survey lists the snapshots of an export with what is wrong with them as far
// as it is cheap to see: what is missing, can't be parsed, or has another size
// than its manifest says. Nothing is hashed; that is for verify.
func (r *reader) survey(export string) (list []*snapshot.Snapshot, damage []string) {
	list, err := r.List(export)
	if err != nil {
		damage = strings.Split(err.Error(), "\n")
	}
	for _, s := range list {
		for _, text := range s.Damage() {
			damage = append(damage, fmt.Sprintf("%s@%s: %s", export, s.Name(), text))
		}
	}
	return list, damage
}

// verified is what the daemon's last verify found, as the journal has it.
type verified struct {
	Time     snapshot.Time `json:"time"`
	Problems string        `json:"problems"` // "" for none
}

func lastVerified(h snapshot.History) *verified {
	if h.LastVerified.Event == "" {
		return nil
	}
	return &verified{Time: h.LastVerified.Time, Problems: h.LastVerified.Error}
}

func (v *verified) String() string {
	if v.Problems == "" {
		return "everything fitted"
	}
	return v.Problems + " found; see `oktasync verify`"
}

// record puts what a verify found into the journals. A journal that somebody
// else is writing to goes without.
func (s *service) record(exports []string, problems map[string]int) {
	for _, export := range exports {
		if err := s.recordOne(export, problems[export]); err != nil {
			s.log.Warn("verify not journaled", "export", export, "err", err)
		}
	}
}

func (s *service) recordOne(export string, problems int) (err error) {
	w, err := s.store.Writer(export, snapshot.ThisProcess("verify"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	event := snapshot.Event{Event: snapshot.EventVerified}
	if problems > 0 {
		event.Error = plural(problems, "problem")
	}
	return w.Journal(event)
}
