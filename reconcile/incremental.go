package reconcile

import (
	"io"
	"slices"
	"time"

	"oktasync/reconcile/snapshot"
)

// appGroupAge is the longest time between two reads of an APP_GROUP.
const appGroupAge = 24 * time.Hour

// carry decides which groups are carried: their members are those of the newest snapshot,
// because Okta's lastMembershipUpdated is the same as at their last read. It returns the
// parents whose lists must be read. No records of an adopted snapshot are carried, because
// verify may have found them changed.
//
// Okta can show a change late, with the time of the change. So a group whose stamp is
// less than stampOverlap before its last read is read again.
func (c *scopeRead) carry(groups *ResourcePlan, parents []string) ([]string, error) {
	i := slices.IndexFunc(groups.children, func(rp *ResourcePlan) bool { return rp.Declared.Incremental() })
	if i < 0 {
		return parents, nil
	}
	members := groups.children[i]
	if c.r.cfg.Full || !members.sameBase(c.plan) {
		return parents, nil
	}
	if adopted, err := c.r.cfg.Store.WasAdopted(members.previous); err != nil || adopted {
		return parents, err
	}
	age := ages(groups, members.previous)
	if members.renewed = age.due(oldestRead(members.previous), members.Declared.Full.Duration); members.renewed {
		return parents, nil
	}
	lines, err := members.previous.Parents()
	if err != nil {
		return nil, err
	}
	defer lines.Close()
	for {
		last, err := lines.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		group := groups.index.records[last.GroupID]
		switch unchanged := group.stamp != "" && group.stamp == last.LastMembershipUpdated && group.stamp < snapshot.At(last.Read.Add(-stampOverlap)).String(); {
		case group.deleted, group.kind == "", !unchanged:
		case group.kind == appGroup && age.due(last.Read.Time, appGroupAge):
			members.renewed = true
		default:
			members.lists.newest[last.GroupID] = carried
			members.carries = true
		}
	}
	return slices.DeleteFunc(parents, members.lists.isCarried), nil
}

// sameBase reports whether the base is the newest snapshot, and has the same declaration.
func (rp *ResourcePlan) sameBase(p *Plan) bool {
	if rp.Base != snapshot.BasePrevious || rp.previous != p.Previous {
		return false
	}
	name := rp.Declared.Resource.Name
	only := func(d snapshot.DeclaredResource) snapshot.Declaration {
		return snapshot.Declaration{Resources: map[string]snapshot.DeclaredResource{name: d}}
	}
	return only(rp.previous.Manifest.Declared.Resources[name]).Equal(only(rp.Declared.DeclaredResource))
}

// oldestRead returns the time of the oldest read of members in a snapshot.
func oldestRead(s *snapshot.Snapshot) time.Time {
	if since := s.Manifest.Resources[snapshot.GroupMembers.Name].CarriedSince; since != nil {
		return since.Time
	}
	return s.Manifest.Read.Started.Time
}

// interval is the time of a read, and the time since the snapshot before.
type interval struct {
	now   time.Time // by Okta's clock
	since time.Duration
}

func ages(groups *ResourcePlan, before *snapshot.Snapshot) interval {
	now := groups.read.OktaTime(groups.read.Started)
	return interval{now, now.Sub(before.Manifest.Read.Started.Time)}
}

// due reports whether something that was last read at a time must be read again, because
// it would be older than most at the next read. The next read is expected after the same
// interval as this one.
func (i interval) due(read time.Time, most time.Duration) bool {
	return i.now.Sub(read)+i.since > most
}
