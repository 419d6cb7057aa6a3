package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

// survey lists the snapshots of an export with what is wrong with them as far
// as it is cheap to see: what is missing, can't be parsed, or has another size
// than its manifest says. Nothing is hashed; that is for verify.
func survey(store *snapshot.Store, export string) (list []*snapshot.Snapshot, damage []string) {
	list, err := store.List(export)
	if err != nil {
		damage = strings.Split(err.Error(), "\n")
	}
	for _, s := range list {
		found := s.Damage()
		if _, err := os.Lstat(s.Dir()); len(found) > 0 && errors.Is(err, fs.ErrNotExist) {
			continue // pruned just now
		}
		for _, text := range found {
			damage = append(damage, fmt.Sprintf("%s@%s: %s", export, s.Name(), text))
		}
	}
	return list, damage
}

// damaged is h where the last verify or a look at the store found something.
func (h health) damaged(v *verified, damage []string, now time.Time) health {
	switch {
	case v != nil && v.Problems != "":
		h.State, h.Since, h.Reason = stateDamaged, v.Time.Time, "the last verify found "+v.Problems
	case len(damage) == 1:
		h.State, h.Since, h.Reason = stateDamaged, now, damage[0]
	case len(damage) > 1:
		h.State, h.Since, h.Reason = stateDamaged, now, fmt.Sprintf("%s, and %d more", damage[0], len(damage)-1)
	}
	return h
}

// damages remembers what a look at each export found: it takes a while in a
// store with years of snapshots.
type damages struct {
	mu   sync.Mutex
	seen map[string]seenDamage
}

type seenDamage struct {
	store  string
	lines  int // of the journal: whatever the daemon does adds to it
	looked time.Time
	damage []string
}

// damageAgain is how old what was seen may be.
const damageAgain = time.Minute

func (d *damages) of(store *snapshot.Store, export string, lines int) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.seen[export]
	if ok && s.store == store.Dir() && s.lines == lines && time.Since(s.looked) < damageAgain {
		return s.damage
	}
	_, damage := survey(store, export)
	if d.seen == nil {
		d.seen = make(map[string]seenDamage)
	}
	d.seen[export] = seenDamage{store.Dir(), lines, time.Now(), damage}
	return damage
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

// problems is how many there were.
func (v *verified) problems() (n int) {
	fmt.Sscan(v.Problems, &n)
	return n
}

func (v *verified) String() string {
	if v.Problems == "" {
		return "everything fitted"
	}
	return v.Problems + " found; see `oktasync verify`"
}

// lastVerify is when a daemon last checked the store, zero for never, and how
// many problems it found.
func (s *service) lastVerify() (at time.Time, problems int) {
	for _, export := range s.cfg.Exports {
		history, err := s.histories.get(s.store, export.Name)
		if v := lastVerified(history); err == nil && v != nil {
			problems += v.problems()
			if v.Time.After(at) {
				at = v.Time.Time
			}
		}
	}
	return at, problems
}

// record puts what a verify found into the journals. It waits for whoever is
// writing to one, but not for ever: that one goes without.
func (s *service) record(ctx context.Context, exports []string, problems map[string]int) {
	end := time.Now().Add(recordWait)
	for _, export := range exports {
		err := s.recordOne(export, problems[export])
		for isLocked(err) && time.Now().Before(end) && wait(ctx, time.Second) {
			err = s.recordOne(export, problems[export])
		}
		if err != nil {
			s.log.Warn("verify not journaled", "export", export, "err", err)
		}
	}
}

const recordWait = 5 * time.Minute

func (s *service) recordOne(export string, problems int) (err error) {
	w, err := s.store.Writer(export, snapshot.ThisProcess("verify"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	event := snapshot.Event{Event: snapshot.EventVerified}
	if problems > 0 {
		event.Error = term.Plural(problems, "problem")
	}
	return w.Journal(event)
}
