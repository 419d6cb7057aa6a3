package reconcile

import (
	"context"

	"oktasync/reconcile/snapshot"
)

// Phase is a part of a reconcile that can take a while.
type Phase string

const (
	PhaseReading    Phase = "reading"    // everyone
	PhaseSettling   Phase = "settling"   // who has changed meanwhile
	PhaseComparing  Phase = "comparing"  // with the newest snapshot
	PhaseProving    Phase = "proving"    // who is missing is asked for by id
	PhasePublishing Phase = "publishing" // or keeping what a guard held back
)

// Progress is how far a reconcile is: counts, and nothing of any user.
type Progress struct {
	Export   string
	Phase    Phase
	Users    int // so far: read in all, or in this phase compared, asked for, written
	Expected int // how many it will be, where that is known or the newest snapshot had so many; else 0
	Requests int // so far
}

// watch tells of progress at every request and every so many users.
type watch struct {
	Progress
	tell func(Progress) // nil: nobody asks
}

const toldEvery = 1 << 10 // users

func (w *watch) enter(phase Phase, users, expected int) {
	w.Phase, w.Users, w.Expected = phase, users, expected
	w.now()
}

// user counts a user who was read; while removals are proved it is the requests
// that count.
func (w *watch) user() {
	if w.Phase != PhaseProving {
		w.Users++
	}
}

func (w *watch) request() {
	if w.Requests++; w.Phase == PhaseProving {
		w.Users = min(w.Users+1, w.Expected)
	}
	w.now()
}

func (w *watch) now() {
	if w.tell != nil {
		w.tell(w.Progress)
	}
}

// watched is a UserReader whose users are counted as they pass, and which ends
// with its context, so that an org of millions can be given up between two.
type watched struct {
	ctx context.Context
	snapshot.UserReader
	watch *watch
}

func (r watched) Next() (snapshot.User, error) {
	if r.watch.Users++; r.watch.Users%toldEvery == 0 {
		r.watch.now()
		if r.ctx.Err() != nil {
			return snapshot.User{}, context.Cause(r.ctx)
		}
	}
	return r.UserReader.Next()
}
