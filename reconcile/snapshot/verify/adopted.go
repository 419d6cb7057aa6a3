package verify

import (
	"context"
	"fmt"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// Digest returns the SHA-256 of what was found, in lower-case hex. A line adopted of
// the journal accepts findings by their digests. The text of a finding contains the
// digest of what is in the store, so another change of the same file is another
// finding.
func (f Finding) Digest() string {
	data, err := canonjson.Marshal(f)
	if err != nil {
		return "" // a Finding has only strings
	}
	return snapshot.DigestOf(data)
}

// adoptions returns the covered lines adopted, by the digests of the findings that
// they accept. None counts unless the checkpoint that covers it is correct: otherwise
// anybody could have written the line.
func (c *chain) adoptions() map[string]snapshot.Event {
	accepted := make(map[string]snapshot.Event)
	if c.wrongCheckpoint {
		return accepted
	}
	for _, e := range c.ledger.Events() {
		for _, digest := range e.Accepted {
			accepted[digest] = e
		}
	}
	return accepted
}

// add reports a finding. A finding that was adopted is a note.
func (v *verifier) add(f Finding) {
	if e, ok := v.accepted[f.Digest()]; ok && !f.Note {
		f.Note = true
		f.Problem += fmt.Sprintf("; adopted by %s: %s", e.User, e.Reason)
	}
	if f.Note {
		v.sum.Notes++
	} else {
		v.sum.Problems++
	}
	v.report(f)
}

// Adopt verifies an export, and makes its state on disk its verified state, see
// [snapshot.Store.Adopt]. It accepts exactly the findings that it reports. a has the
// user, the reason and the lost head. If there is nothing to adopt, the error says so.
func Adopt(ctx context.Context, s *snapshot.Store, export string, h snapshot.Holder, a snapshot.Adoption, o Options, report func(Finding)) error {
	o.Exports = []string{export}
	return s.Adopt(export, h, func() (snapshot.Adoption, error) {
		c, err := s.Checkpoint(export)
		o.void = err == nil && !s.Accepts(c)
		_, err = Verify(ctx, s, o, func(f Finding) {
			report(f)
			if !f.Note && f.Export == export {
				a.Accepted = append(a.Accepted, f.Digest())
			}
		})
		return a, err
	})
}
