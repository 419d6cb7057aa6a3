package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

const (
	// stampOverlap is how far before the read a change of members explains a difference
	// of counts. Okta's counts and stamps can be late.
	stampOverlap = 15 * time.Minute

	// countsAtOnce is the most groups whose counts are requested with one filter.
	countsAtOnce = 20
)

// control compares the numbers of members that Okta reports for groups with those of
// the read, after all resources were read. A difference is unexplained if the members
// of the group have not changed since shortly before the read. Since Okta shows a
// change late, unexplained differences of a few groups are checked once more.
//
// The counts are no part of the records. If Okta can't return them, nothing is compared.
func (c *scopeRead) control(ctx context.Context, groups *ResourcePlan) error {
	users, members := c.plan.available(snapshot.Users), c.plan.available(snapshot.GroupMembers)
	if users != nil && (users.Declared.Search != "" || !users.Declared.IncludeDeprovisioned) {
		users = nil
	}
	filter := ""
	switch {
	case users == nil && members == nil:
		return nil
	case members == nil:
		filter = `type eq "BUILT_IN"`
	}
	t := &totals{counts: make(map[string]oktaCount), users: users, members: members}
	t.since = groups.stampAt(-stampOverlap)
	if err := c.readCounts(ctx, groups, filter, t.counts); err != nil {
		return err
	}
	if err := c.readDifferent(ctx, groups, t); err != nil {
		return err
	}
	if unexplained := t.unexplained(); 0 < len(unexplained) && len(unexplained) <= snapshot.MaxDifferent {
		if err := sleep(ctx, c.r.cfg.MembershipLag); err != nil {
			return err
		}
		for ids := range slices.Chunk(unexplained, countsAtOnce) {
			again := make(map[string]oktaCount)
			if err := c.readCounts(ctx, groups, oktaclient.IDFilter(ids), again); err != nil {
				return err
			}
			for _, id := range ids {
				delete(t.counts, id) // a group that isn't listed now was deleted after the read
			}
			maps.Copy(t.counts, again)
		}
	}
	c.plan.Control = t.control()
	return nil
}

// readDifferent reads the carried groups whose counts differ: Okta has not shown their
// changes in lastMembershipUpdated.
func (c *scopeRead) readDifferent(ctx context.Context, groups *ResourcePlan, t *totals) error {
	if t.members == nil {
		return nil
	}
	ids := slices.DeleteFunc(t.unexplained(), func(id string) bool { return !t.members.lists.isCarried(id) })
	if len(ids) == 0 {
		return nil
	}
	if err := c.readChildren(ctx, groups, ids, PhaseSettling); err != nil {
		return err
	}
	if t.members = c.plan.available(snapshot.GroupMembers); t.members == nil {
		return c.compare(ctx, groups)
	}
	return cmp.Or(c.compare(ctx, groups), c.compare(ctx, t.members))
}

// readCounts sets the counts of the groups that filter selects, or none if Okta can't
// return all of them.
func (c *scopeRead) readCounts(ctx context.Context, groups *ResourcePlan, filter string, counts map[string]oktaCount) error {
	query := oktaclient.Query{Resource: groups.Declared.Read, Filter: filter, Stats: true}
	result, err := c.r.cfg.Source.Read(ctx, query, countSink{sink{c, groups}, counts})
	groups.counts += result.Rows
	if err := addRequests(&groups.read, result); err != nil {
		return err
	}
	if refused, ok := errors.AsType[*oktaclient.Error](err); ok && ctx.Err() == nil {
		c.r.log.WarnContext(ctx, "members not compared with Okta's counts", "export", c.plan.Export.Name, "err", refused)
		clear(counts)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read counts of %s: %w", groups.Declared.Resource.Name, cause(ctx, err))
	}
	return nil
}

// countSink takes Okta's counts from groups, and records nothing else of them.
type countSink struct {
	sink
	counts map[string]oktaCount
}

// oktaCount is the number of members that Okta reports for a group.
type oktaCount struct {
	members  int
	stamp    string // lastMembershipUpdated
	everyone bool   // the group contains all users
}

// maxMembers bounds the number of members of a group, so that sums don't overflow.
const maxMembers = 1_000_000_000

// Record takes the count of a group. A value that is no number of members counts as
// missing.
func (s countSink) Record(r oktaclient.Record) error {
	group, err := canonjson.Canonical(nil, r.JSON)
	if err != nil {
		return fmt.Errorf("counts of group %.60q: %w", r.ID, err)
	}
	value, err := canonjson.FindPath(group, "_embedded.stats.usersCount")
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(string(value))
	if err != nil || n < 0 || n > maxMembers {
		return nil
	}
	var text [3]string
	for i, path := range []string{"type", "profile.name", "lastMembershipUpdated"} {
		if text[i], err = canonjson.Text(group, path); err != nil {
			return err
		}
	}
	if len(text[2]) <= maxStamp {
		s.counts[r.ID] = oktaCount{n, text[2], text[0] == "BUILT_IN" && text[1] == "Everyone"}
	}
	return nil
}

// totals are the counts of a plan.
type totals struct {
	counts         map[string]oktaCount // by the id of the group
	users, members *ResourcePlan        // nil: not compared
	since          string               // a later stamp explains a difference
}

// ids returns the groups that are compared, in order.
func (t *totals) ids() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(t.counts)), func(id string) bool {
		return t.members != nil && !t.members.parent.index.exists(id) // it was created after the read
	})
}

// different reports whether a count differs from the read, and whether a change of
// members explains that.
func (t *totals) different(id string) (different, explained bool) {
	okta := t.counts[id]
	different = t.members != nil && okta.members != t.members.byParent[id] || t.users != nil && okta.everyone && okta.members != t.users.Counts.Total
	return different, okta.stamp >= t.since
}

// unexplained returns the groups with differences that aren't explained, in order.
func (t *totals) unexplained() []string {
	return slices.DeleteFunc(t.ids(), func(id string) bool {
		different, explained := t.different(id)
		return !different || explained
	})
}

// control returns the totals for the manifest, or nil if nothing was compared. If many
// groups differ, it names those without an explanation first.
func (t *totals) control() *snapshot.Control {
	unexplained := t.unexplained()
	c := &snapshot.Control{Reconciled: len(unexplained) == 0}
	if t.members != nil {
		c.Groups = &snapshot.GroupsControl{Different: []snapshot.GroupTotal{}}
	}
	var explained []string
	for _, id := range t.ids() {
		okta := t.counts[id]
		if okta.everyone && t.users != nil {
			c.Everyone = &snapshot.Total{Okta: okta.members, Counted: t.users.Counts.Total}
		}
		if c.Groups == nil {
			continue
		}
		c.Groups.Compared++
		c.Groups.Okta += okta.members
		c.Groups.Counted += t.members.byParent[id]
		if different, ok := t.different(id); different && ok {
			explained = append(explained, id)
		}
	}
	if c.Groups != nil && c.Groups.Compared == 0 {
		c.Groups = nil // Okta has returned no counts
	}
	switch {
	case c.Groups == nil && c.Everyone == nil:
		return nil
	case c.Groups == nil:
		return c
	}
	named := append(unexplained, explained...)
	for _, id := range slices.Sorted(slices.Values(named[:min(len(named), snapshot.MaxDifferent)])) {
		if n := t.members.byParent[id]; n != t.counts[id].members { // not only the number of users differs
			c.Groups.Different = append(c.Groups.Different, snapshot.GroupTotal{ID: id, Okta: t.counts[id].members, Counted: n})
		}
	}
	return c
}
