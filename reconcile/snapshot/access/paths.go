package access

import (
	"iter"

	"oktasync/reconcile/snapshot"
)

// Paths returns the paths in s that q selects, ordered by app, user, kind of path and group.
// For the zero Query, which selects all paths, the order is by user first. A row is valid
// until the following one.
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
		case q == Query{}:
			err = f.ofAll()
		default:
			err = f.ofApps()
		}
		if err != nil && err != errStopped {
			yield(nil, err)
		}
	}
}

// Roles returns the paths to admin roles in s that q selects. Super Administrators come
// first; the order is by role, principal and user. Without the members of groups, a role of
// a group has only the row for the group. A row is valid until the following one.
func Roles(store *snapshot.Store, s *snapshot.Snapshot, q RoleQuery) iter.Seq2[*RoleRow, error] {
	return func(yield func(*RoleRow, error) bool) {
		f := &roleFinder{s: s, query: q, yield: yield}
		err := CheckRoles(s)
		if err == nil {
			f.seen, err = newTimeline(store, s)
		}
		if err == nil {
			err = f.find()
		}
		if err != nil && err != errStopped {
			yield(nil, err)
		}
	}
}
