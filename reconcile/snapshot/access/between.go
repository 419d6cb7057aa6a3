package access

import "iter"

// A Change is a path that one of two snapshots has, and the other hasn't.
type Change struct {
	Change string `json:"change,omitempty"` // granted or revoked
	*Row
}

// Between returns the paths that are only in the second sequence (granted), or only in the
// first one (revoked). Both come from Paths with the same query.
func Between(before, after iter.Seq2[*Row, error]) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
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
				yield(Change{}, oldErr)
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
			if order < 0 && !yield(Change{"revoked", old}, nil) || order > 0 && !yield(Change{"granted", current}, nil) {
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
