package access

import (
	"iter"

	"oktasync/reconcile/snapshot"
)

// Paths returns the paths in s that q selects, ordered by app, user, kind of path and group.
// A row is valid until the following one.
func Paths(store *snapshot.Store, s *snapshot.Snapshot, q Query) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		f := &finder{s: s, query: q, yield: yield, readAt: s.Manifest.Read.Started.String()}
		err := Check(s)
		if err == nil {
			f.seen, err = newTimeline(store, s)
		}
		switch {
		case err != nil:
		case q.User != "":
			err = f.ofUser()
		default:
			err = f.ofApps()
		}
		if err != nil && err != errStopped {
			yield(nil, err)
		}
	}
}
