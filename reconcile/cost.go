package reconcile

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
