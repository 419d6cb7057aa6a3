package verify

import (
	"context"
	"slices"

	"oktasync/reconcile/snapshot"
)

// survey reads the chain of an export and compares its parts with each other.
func (v *verifier) survey(ctx context.Context, export string) (*chain, error) {
	c := &chain{store: v.store, export: export, read: make(map[string]*link), all: snapshot.NewDigest(), digests: make(map[int]string)}
	if err := c.readCheckpoint(v); err != nil {
		return nil, err
	}
	if err := c.readFolder(); err != nil {
		return nil, err
	}
	if err := c.readPruned(ctx); err != nil {
		return nil, err
	}
	c.join()
	for _, snap := range c.links {
		c.digests[snap.Manifest.Journal.Lines] = ""
	}
	for _, head := range v.heads {
		c.digests[head.Lines] = ""
	}
	if err := c.readJournal(); err != nil {
		return nil, err
	}
	if v.void {
		c.ledger = snapshot.Ledger{}
	}
	c.checkNamed()
	c.checkLinks(v)
	c.checkEvents()
	if err := c.checkLatest(); err != nil {
		return nil, err
	}
	return c, c.checkCovered(ctx, v)
}

// settledSurvey repeats a survey that finds something until two surveys in a row find
// the same: a writer can work at the same time.
func (v *verifier) settledSurvey(ctx context.Context, export string) (*chain, error) {
	c, err := v.survey(ctx, export)
	for tries := 0; err == nil && len(c.findings) > 0 && tries < 20; tries++ {
		before := c
		if c, err = v.survey(ctx, export); err == nil && slices.Equal(before.findings, c.findings) {
			break
		}
	}
	return c, err
}
