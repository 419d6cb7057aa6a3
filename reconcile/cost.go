package reconcile

import "oktasync/reconcile/snapshot"

// EstimateRequests estimates the requests of a read by rate-limit bucket. records has
// the number of records of each resource, by name. It doesn't count requests for
// tokens, nor those for records that change meanwhile or were removed.
func (e Export) EstimateRequests(records map[string]int) map[string]int {
	buckets := make(map[string]int)
	for _, d := range e.Resources() {
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
