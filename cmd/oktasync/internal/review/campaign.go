package review

import (
	"fmt"
	"iter"
	"slices"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
	"oktasync/reconcile/snapshot/canonjson"
)

// A campaign is the population of a file of Okta: the users of each app and the members of
// each group that the file names. A user has one item for each, through whatever the user
// has it.
type campaign struct{ apps, groups []string } // sorted ids

// newCampaign returns the campaign about resources, as far as s has them.
func newCampaign(s *snapshot.Snapshot, resources map[string]bool) (*campaign, error) {
	c := new(campaign)
	for r, ids := range map[*snapshot.Resource]*[]string{snapshot.Apps: &c.apps, snapshot.Groups: &c.groups} {
		for record, err := range recordsOf(s, r) {
			if err != nil {
				return nil, err
			}
			id, err := canonjson.Text(record, "id")
			if err != nil {
				return nil, err
			}
			if resources[id] {
				*ids = append(*ids, id)
			}
		}
	}
	return c, nil
}

func (c *campaign) check(s *snapshot.Snapshot) error { return access.Check(s) }

func (c *campaign) String() string {
	return fmt.Sprintf("campaign of Okta with apps=%d groups=%d", len(c.apps), len(c.groups))
}

// items returns the items of c in s. Those of groups come first.
func (c *campaign) items(store *snapshot.Store, s *snapshot.Snapshot, objects []string) iter.Seq2[item, error] {
	unwanted := func(id string) bool { return len(objects) > 0 && !slices.Contains(objects, id) }
	apps, groups := slices.DeleteFunc(slices.Clone(c.apps), unwanted), slices.DeleteFunc(slices.Clone(c.groups), unwanted)
	return func(yield func(item, error) bool) {
		for item, err := range members(s, groups) {
			if !yield(item, err) || err != nil {
				return
			}
		}
		last := ""
		for row, err := range pathsTo(store, s, access.Query{}, apps) {
			if err != nil {
				yield(item{}, err)
				return
			}
			key := campaignKey(row.AppID, row.UserID)
			if key == last {
				continue
			}
			last = key
			if !yield(item{key: key, user: row.UserID, object: row.AppID, names: []string{row.Login, row.AppLabel}}, nil) {
				return
			}
		}
	}
}

// members returns the items of the members of groups.
func members(s *snapshot.Snapshot, groups []string) iter.Seq2[item, error] {
	wanted := make(map[string]bool)
	for _, group := range groups {
		wanted[group] = true
	}
	return func(yield func(item, error) bool) {
		if len(groups) == 0 {
			return
		}
		for record, err := range recordsOf(s, snapshot.GroupMembers) {
			var group, user string
			if err == nil {
				group, err = canonjson.Text(record, "group_id")
			}
			if err == nil && !wanted[group] {
				continue
			}
			if err == nil {
				user, err = canonjson.Text(record, "user_id")
			}
			if !yield(item{key: campaignKey(group, user), user: user, object: group, names: []string{user, group}}, err) || err != nil {
				return
			}
		}
	}
}

// recordsOf returns the records of r in s.
func recordsOf(s *snapshot.Snapshot, r *snapshot.Resource) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		records, err := s.Records(r)
		if err != nil {
			yield(nil, err)
			return
		}
		defer records.Close()
		snapshot.Records(records)(yield)
	}
}
