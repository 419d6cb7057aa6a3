package verify

import (
	"context"
	"errors"
	"io/fs"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/sign"
)

// readCheckpoint reads the checkpoint of the export, and checks its signature. It
// returns nil, and reports why, if nothing is covered.
func (c *chain) readCheckpoint(v *verifier) error {
	cp, err := c.store.Checkpoint(c.export)
	mismatch, ok := errors.AsType[*snapshot.MismatchError](err)
	switch {
	case ok:
		c.unreadable = true
		c.find(Finding{File: snapshot.CheckpointFile, Problem: mismatch.Problem})
		return nil
	case errors.Is(err, snapshot.ErrNotPlain):
		c.unreadable = true // readFolder reports it
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil // checkCovered reports it
	case err != nil:
		return err
	}
	c.checkpoint = cp
	if problem := v.checkpointProblem(cp); problem != "" {
		c.wrongCheckpoint = true
		c.find(Finding{File: snapshot.CheckpointFile, Problem: problem})
	}
	return nil
}

// checkpointProblem returns what is wrong with the signature of a checkpoint, or "".
// Its key must be valid now, because the checkpoint is the newest statement.
func (v *verifier) checkpointProblem(cp *snapshot.Checkpoint) string {
	if cp.SignedBy == nil {
		if v.signers != nil || v.signed {
			return "is not signed"
		}
		return ""
	}
	key, err := cp.Signer()
	if err == nil && v.signers != nil {
		_, err = v.signers.Check(key, sign.Checkpoint, v.now, v.principals...)
	}
	if err != nil {
		return "the signature by " + *cp.SignedBy + " " + err.Error()
	}
	return ""
}

// checkCovered reports an export without a checkpoint, and what follows the lines
// that the checkpoint covers.
func (c *chain) checkCovered(ctx context.Context, v *verifier) error {
	if c.checkpoint == nil {
		switch {
		case c.unreadable:
		case len(c.names) == 0 && len(c.pruned) == 0 && !c.hasJournal:
			// A first run that was cut off looks the same, so this is no proof.
			c.find(Finding{Problem: "has no checkpoint and is empty: its first run was interrupted, or everything was removed", Note: true})
		default:
			c.find(Finding{File: snapshot.CheckpointFile, Problem: "is missing"})
		}
		return nil
	}
	note, err := c.store.Unfinished(ctx, c.checkpoint, v.signers)
	if err == nil {
		if note != "" {
			c.find(Finding{Problem: note, Note: true})
		}
		return nil
	}
	mismatch, ok := errors.AsType[*snapshot.MismatchError](err)
	_, damaged := errors.AsType[*snapshot.DamagedError](err)
	switch {
	case damaged, errors.Is(err, snapshot.ErrNotPlain), ok && (c.wrongJournal || c.wrongNewest): // reported already
	case ok:
		c.find(Finding{Problem: mismatch.Problem, about: c.store.Path(c.export, snapshot.CheckpointFile)})
	default:
		return err
	}
	for _, name := range c.names {
		if name > c.checkpoint.Snapshot {
			c.find(Finding{Snapshot: name, Problem: "the checkpoint does not cover it"})
		}
	}
	return nil
}
