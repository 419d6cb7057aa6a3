package reconcile

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"oktasync/reconcile/snapshot/diff"
)

// parentsAtOnce is the most parents whose ids are in memory, of records without an index.
const parentsAtOnce = 10_000

// readChildrenOfAll reads the children of all records of a resource without an index: the
// factors of users. Their lists are read once, in the order of the spooled records.
func (c *scopeRead) readChildrenOfAll(ctx context.Context, rp *ResourcePlan) error {
	if len(rp.children) == 0 {
		return nil
	}
	records, err := rp.records.merge()
	if err != nil {
		return err
	}
	for ids := []string(nil); ; ids = ids[:0] {
		for len(ids) < parentsAtOnce && err == nil {
			var record diff.Record
			if record, err = records.Next(); err == nil && string(records.status) != deprovisioned {
				ids = append(ids, string(record.Key))
			}
		}
		if err != nil && err != io.EOF {
			return err
		}
		if err := c.readChildren(ctx, rp, ids, PhaseReading); err != nil || len(ids) < parentsAtOnce {
			return err
		}
	}
}

// deprovisioned is a status of users. Okta has no factors of such users.
const deprovisioned = "DEPROVISIONED"

// readChildren reads the children of parents, which are ids: the members of groups, or
// the users and groups of apps.
func (c *scopeRead) readChildren(ctx context.Context, rp *ResourcePlan, parents []string, phase Phase) error {
	for _, child := range rp.children {
		if child.Unavailable != nil {
			continue
		}
		expected := 0
		if phase == PhaseReading {
			expected = child.expected()
		}
		c.enter(phase, child.Declared.Resource, child.read.Rows, expected)
		if err := c.readLists(ctx, child, parents); err != nil {
			err = fmt.Errorf("read %s: %w", child.Declared.Resource.Name, cause(ctx, err))
			if err := c.allow(ctx, child, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// readLists reads the list of each parent. If Okta has no list for a parent, the parent
// is requested by id. A parent that doesn't exist is dropped with its children. A user
// who was deactivated meanwhile has no list. Otherwise the list is read once more.
func (c *scopeRead) readLists(ctx context.Context, child *ResourcePlan, parents []string) error {
	query := c.query(child)
	for try := 0; len(parents) > 0; try++ {
		if try == 2 {
			return fmt.Errorf("okta: %s %.60q exists, but its list of %s doesn't", child.parent.Declared.Resource.Noun, parents[0], child.Declared.Resource.Name)
		}
		query.Parents = parents
		if err := c.readInto(ctx, child, query); err != nil {
			return err
		}
		missing := child.lists.missing
		child.lists.missing = nil
		if err := c.confirm(ctx, child.parent, missing); err != nil {
			return err
		}
		parents = nil
		for _, id := range missing {
			if p := child.parent.rules.Proofs[id]; p.HTTPStatus != http.StatusNotFound && p.OktaStatus != deprovisioned {
				parents = append(parents, id)
			}
		}
	}
	return nil
}

// confirm requests records by id that a list doesn't have. It removes those that don't
// exist from the read.
func (c *scopeRead) confirm(ctx context.Context, rp *ResourcePlan, ids []string) error {
	for len(ids) > 0 {
		some := ids[:min(len(ids), findAtOnce)]
		ids = ids[len(some):]
		if err := c.find(ctx, rp, some); err != nil {
			return err
		}
		for _, id := range some {
			if rp.rules.Proofs[id].HTTPStatus == http.StatusNotFound {
				rp.compared = false
				if rp.index != nil {
					rp.index.remove(id)
				}
			}
		}
	}
	return rp.records.finish()
}
