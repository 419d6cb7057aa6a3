package reconcile

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// compare merges the spooled records with the newest snapshot, unless this was done
// since the last record was read. Counts stay in memory, and changes go to a temporary
// file. A resource is compared after its parents.
func (c *scopeRead) compare(ctx context.Context, rp *ResourcePlan) error {
	if rp.compared {
		return nil
	}
	c.enter(PhaseComparing, rp.Declared.Resource, 0, int(rp.records.records))
	if err := rp.compare(ctx, c); err != nil {
		return fmt.Errorf("compare %s with newest snapshot: %w", rp.Declared.Resource.Name, err)
	}
	rp.compared = true
	return nil
}

func (rp *ResourcePlan) compare(ctx context.Context, c *scopeRead) error {
	records, all, err := rp.reader()
	if err != nil {
		return err
	}
	defer all.Close()
	after := &counting{Reader: all, records: records, content: snapshot.NewDigest()}
	if rp.Declared.Resource.Status != "" {
		after.byStatus = make(map[string]int)
	}
	if rp.Declared.Resource == snapshot.GroupMembers {
		after.byParent = make(map[string]int)
	}
	if rp.Base == snapshot.BasePrevious {
		err = rp.diff(c, observed{ctx, after, c.step})
	} else {
		err = drain(observed{ctx, after, c.step})
	}
	if err != nil {
		return err
	}
	rp.ByStatus, rp.Counts.Total, rp.byParent = after.byStatus, after.total, after.byParent
	rp.Duplicates, rp.Outside = records.duplicates, records.outside
	rp.contentSHA256 = after.content.String()
	rp.Carried = 0
	for group, n := range rp.byParent {
		if rp.lists.isCarried(group) {
			rp.Carried += n
		}
	}
	return nil
}

func (rp *ResourcePlan) diff(c *scopeRead, after diff.Reader) error {
	before, err := rp.previous.Records(rp.Declared.Resource)
	if err != nil {
		return err
	}
	defer before.Close()
	if err := rp.closeChanges(); err != nil { // of the first comparison, if this is the second
		return err
	}
	if rp.changes, err = c.r.tempFile(); err != nil {
		return fmt.Errorf("create temporary file: %w", err)
	}
	rules, losses := rp.rules, &losses{Reader: before, plan: rp}
	closeParents, err := snapshot.OpenParents(c.plan, rp.Declared.Resource, &rules)
	if err != nil {
		return err
	}
	defer closeParents()
	if rp.lists.newest != nil {
		before = losses
	}
	sum := snapshot.NewDigest()
	w := bufio.NewWriter(io.MultiWriter(rp.changes, sum))
	var line []byte
	rp.Counts, err = diff.Diff(before, after, rules, func(change *diff.Change) error {
		if change.Op == diff.OpRemoved {
			losses.removed++
		}
		if line, err = change.Line(line[:0]); err != nil {
			return err
		}
		_, err := w.Write(line)
		return err
	})
	if err == nil {
		err = w.Flush()
	}
	rp.changesSHA256, rp.losses = sum.String(), losses.counts
	return err
}
