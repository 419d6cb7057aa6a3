package reconcile

import (
	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
)

// EstimateRequests estimates the requests of a read by rate-limit bucket. records has
// the number of records of each resource, by name. It doesn't count requests for
// tokens, nor those for records that change meanwhile or were removed.
func (e Export) EstimateRequests(records map[string]int) map[string]int {
	buckets := make(map[string]int)
	for _, d := range e.Resources() {
		if d.Read.Strategy == oktaclient.Roles {
			addRoleRequests(buckets, records)
			continue
		}
		requests := records[d.Resource.Name]/d.Read.PageSize + 1
		if p := d.Resource.Parent; p != nil {
			requests += records[p.Name] // each parent has a list
		}
		if d.Relist {
			requests *= 2
		}
		buckets[d.Read.Bucket()] += requests
	}
	return buckets
}

// addRoleRequests adds the requests for admin roles: two passes over the lists in which
// their holders are found, and for each role that of its holder and one for its targets.
func addRoleRequests(buckets, records map[string]int) {
	roles := records[snapshot.RoleAssignments.Name]
	for _, list := range []oktaclient.Resource{oktaclient.RoleAssignments, oktaclient.Groups, oktaclient.Apps} {
		buckets[list.Bucket()] += 2 * (records[list.Name]/list.PageSize + 1)
	}
	buckets[oktaclient.Users.Bucket()] += 2 * roles
	buckets[oktaclient.RoleAssignments.Bucket()] += 4 // resource sets and bindings, in an org with few of them
}

// expectedBuckets estimates the requests of the read from the newest snapshot. It
// returns nil if that doesn't contain each resource, or if unchanged groups are not read.
func (p *Plan) expectedBuckets() map[string]int {
	records := make(map[string]int)
	for _, rp := range p.Resources {
		name := rp.Declared.Resource.Name
		if records[name] = rp.expected(); rp.Base != snapshot.BasePrevious || rp.Declared.Incremental() {
			return nil
		}
	}
	return p.Export.EstimateRequests(records)
}
