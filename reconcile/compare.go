package reconcile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// compare merges the spooled records with the newest snapshot. Counts stay in
// memory, and changes go to a temporary file.
func (c *chain) compare(ctx context.Context, rp *ResourcePlan) error {
	records, err := rp.records.merge()
	if err != nil {
		return err
	}
	c.enter(PhaseComparing, rp, 0, int(rp.records.records))
	after := &counting{merge: records, content: snapshot.NewDigest()}
	if rp.Declared.Resource.Status != "" {
		after.byStatus = make(map[string]int)
	}
	if rp.Base == snapshot.BasePrevious {
		err = rp.diff(c.r, observed{ctx, after, c.step})
	} else {
		err = drain(observed{ctx, after, c.step})
	}
	if err != nil {
		return err
	}
	rp.ByStatus, rp.Counts.Total = after.byStatus, after.total
	rp.Duplicates, rp.Outside = records.duplicates, records.outside
	rp.contentSHA256 = after.content.String()
	return nil
}

func (rp *ResourcePlan) diff(r *Reconciler, after diff.Reader) error {
	before, err := rp.previous.Records(rp.Declared.Resource)
	if err != nil {
		return err
	}
	defer before.Close()
	if err := rp.closeChanges(); err != nil { // of the first comparison, if this is the second
		return err
	}
	if rp.changes, err = r.tempFile(); err != nil {
		return fmt.Errorf("create temporary file: %w", err)
	}
	sum := snapshot.NewDigest()
	w := bufio.NewWriter(io.MultiWriter(rp.changes, sum))
	var line []byte
	rp.Counts, err = diff.Diff(before, after, rp.rules, func(c *diff.Change) error {
		if line, err = c.Line(line[:0]); err != nil {
			return err
		}
		_, err := w.Write(line)
		return err
	})
	err = errors.Join(err, w.Flush())
	rp.changesSHA256 = sum.String()
	return err
}
