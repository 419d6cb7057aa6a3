package daemon

import (
	"fmt"
	"time"

	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// State is the state of an export.
type State string

const (
	StateUpToDate    State = "up to date"
	StateFailing     State = "failing"     // the last reconcile failed, or all snapshots were pruned
	StateQuarantined State = "quarantined" // the guard stopped the last read
	StateOverdue     State = "overdue"     // a due time has passed without a reconcile
	StateDamaged     State = "damaged"     // the last verify or Survey found a problem
	StateUnknown     State = "unknown"     // the journal can't be read
)

// Health is the state of an export, with its start and its reason.
type Health struct {
	Export string
	State  State
	Since  time.Time // zero: unknown, or the export is up to date
	Reason string    // "": none
}

func (h Health) String() string {
	text := string(h.State)
	if !h.Since.IsZero() {
		text += " since " + h.Since.UTC().Format(time.RFC3339)
	}
	if h.Reason != "" {
		text += ": " + h.Reason
	}
	return text
}

// HealthOf returns the state of an export according to its journal. when is nil for
// an export without a schedule, which can't be overdue. Due times before began don't
// count.
func HealthOf(export reconcile.Export, history snapshot.History, when scheduler.Schedule, began, now time.Time) Health {
	h := Health{Export: export.Name, State: StateUpToDate}
	done, started := history.LastDone, history.LastStarted.Time
	switch {
	case done.Event == snapshot.EventFailed:
		h.State, h.Since, h.Reason = StateFailing, done.Time.Time, done.Error
		return h
	case done.Event == snapshot.EventQuarantined:
		h.State, h.Since, h.Reason = StateQuarantined, done.Time.Time, done.Reason
		return h
	case export.Timeout > 0 && started.After(history.LastEnd.Time.Time) && now.After(started.Add(export.Timeout)):
		h.State, h.Since, h.Reason = StateFailing, started.Time, "the reconcile was killed" // the timeout would have ended it
		return h
	}
	if when == nil {
		return h
	}
	last := began
	if t := done.Time.Time; t.After(last) {
		last = t
	}
	// A reconcile that takes longer than its timeout has failed.
	if due := when.Next(last); !due.IsZero() && now.After(due.Add(export.Timeout)) {
		h.State, h.Since = StateOverdue, due
	}
	return h
}

// Surveyed returns h. An export that is up to date is changed to damaged if the last
// verify found problems or Survey found damage, and to failing if all its snapshots
// were pruned.
func (h Health) Surveyed(v *Verified, found Surveyed, now time.Time) Health {
	damage := found.Damage
	switch {
	case h.State != StateUpToDate:
	case v != nil && v.Problems != "":
		h.State, h.Since, h.Reason = StateDamaged, v.Time.Time, "the last verify found "+v.Problems
	case len(damage) == 1:
		h.State, h.Since, h.Reason = StateDamaged, now, damage[0]
	case len(damage) > 1:
		h.State, h.Since, h.Reason = StateDamaged, now, fmt.Sprintf("%s, and %d more", damage[0], len(damage)-1)
	case found.allPruned:
		h.State, h.Since, h.Reason = StateFailing, now, allPruned
	}
	return h
}

// allPruned is the reason of an export that is failing because all its snapshots were
// pruned.
const allPruned = "no snapshot: all were pruned"

// Verified is the result of the daemon's last verify, from the journal.
type Verified struct {
	Time     snapshot.Time `json:"time"`
	Problems string        `json:"problems"` // "" for none
}

// LastVerified returns the last verify of a journal, and nil if there is none.
func LastVerified(h snapshot.History) *Verified {
	if h.LastVerified.Event == "" {
		return nil
	}
	return &Verified{Time: h.LastVerified.Time, Problems: h.LastVerified.Error}
}

// problems returns the number of problems.
func (v *Verified) problems() (n int) {
	fmt.Sscan(v.Problems, &n)
	return n
}

func (v *Verified) String() string {
	if v.Problems == "" {
		return "no problems"
	}
	return v.Problems + " found; see `oktasync verify`"
}
