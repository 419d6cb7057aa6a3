package verify

import (
	"fmt"

	"oktasync/reconcile/snapshot"
)

// checkHeads checks that the chain and the journal of an export contain the heads
// that were kept outside the store. If they don't, there are two histories: the chain was
// created again, or a writer went on from a copy.
func (v *verifier) checkHeads(c *chain) {
	known := make(map[int]string)
	for _, snap := range c.links {
		known[snap.Manifest.Sequence] = snap.Digest
	}
	lost := make(map[string]snapshot.Event)
	for _, e := range c.ledger.Events() {
		lost[e.Lost] = e
	}
	for _, head := range v.heads {
		if head.Export != c.export {
			continue
		}
		problem := c.headProblem(head, known)
		if problem == "" {
			continue
		}
		f := Finding{Export: c.export, Problem: "does not contain the head " + head.String() + ": " + problem}
		if e, ok := lost[head.String()]; ok {
			f.Note = true
			f.Problem += fmt.Sprintf("; adopted by %s: %s", e.User, e.Reason)
		}
		v.add(f)
	}
}

// headProblem returns why c doesn't contain a head, or "". known has the digests of
// the manifests by sequence.
func (c *chain) headProblem(head snapshot.Head, known map[int]string) string {
	last, lines := 0, 0
	if c.checkpoint != nil {
		last, lines = c.checkpoint.Sequence, c.checkpoint.Lines
	}
	switch {
	case head.Sequence > last:
		return fmt.Sprintf("its chain ends at sequence %d, so newer snapshots were removed, or this is an older copy", last)
	case head.Sequence > 0 && known[head.Sequence] != head.Digest:
		return fmt.Sprintf("sequence %d has another manifest: there are two chains, forked at %d or before", head.Sequence, head.Sequence)
	case head.Lines > lines:
		return fmt.Sprintf("its journal ends at line %d, so newer lines were removed, or this is an older copy", lines)
	case head.Lines > 0 && c.digests[head.Lines] != head.Line:
		return fmt.Sprintf("line %d of its journal is another one: there are two journals, forked at %d or before", head.Lines, head.Lines)
	}
	return ""
}
