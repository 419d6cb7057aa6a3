package reconcile

import "oktasync/reconcile/snapshot"

// Retention returns what e declares of old snapshots, in its time zone.
func (e Export) Retention() snapshot.Retention {
	r := e.Retain
	return snapshot.Retention{
		Last: r.Last, Daily: r.Daily, Weekly: r.Weekly, Monthly: r.Monthly, Yearly: r.Yearly,
		Hold: e.Hold, Zone: e.Location(),
	}
}
