package access

import "iter"

// A Change is a row that one of two snapshots has, and the other hasn't.
type Change[R any] struct {
	Change string // granted or revoked
	Row    R
}

// An AnyRow is a *Row or a *RoleRow.
type AnyRow[R any] interface {
	Values() []string
	compare(R) int
}

// Between returns the rows that are only in the second sequence (granted), or only in the
// first one (revoked). Both come from Paths, or both from Roles, with the same query.
func Between[R AnyRow[R]](before, after iter.Seq2[R, error]) iter.Seq2[Change[R], error] {
	return func(yield func(Change[R], error) bool) {
		nextBefore, stopBefore := iter.Pull2(before)
		defer stopBefore()
		nextAfter, stopAfter := iter.Pull2(after)
		defer stopAfter()
		old, oldErr, inOld := nextBefore()
		current, err, inCurrent := nextAfter()
		for inOld || inCurrent {
			if oldErr != nil || err != nil {
				if oldErr == nil {
					oldErr = err
				}
				yield(Change[R]{}, oldErr)
				return
			}
			order := 0
			switch {
			case !inOld:
				order = 1
			case !inCurrent:
				order = -1
			default:
				order = old.compare(current)
			}
			if order < 0 && !yield(Change[R]{"revoked", old}, nil) || order > 0 && !yield(Change[R]{"granted", current}, nil) {
				return
			}
			if order <= 0 {
				old, oldErr, inOld = nextBefore()
			}
			if order >= 0 {
				current, err, inCurrent = nextAfter()
			}
		}
	}
}
