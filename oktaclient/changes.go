package oktaclient

import (
	"hash/maphash"
	"time"
)

const (
	lookBack   = 5 * time.Minute // of each pass, for the lag of the index and of the Date header
	maxChanged = 1 << 19         // records in changes.seen
	maxSample  = 1 << 16         // of lastUpdated
	maxLag     = 5 * time.Second // of the index, and of the resolution of Date
)

// changes stores which records changed shortly before a read or during it, and
// whether pages may have skipped records.
//
// A list of several pages can skip records if Okta's cursors count records: when
// a record leaves the list, all later ones move up, and one of them moves past
// the next page. Okta doesn't document its cursors. A list of one page skips
// nothing.
type changes struct {
	since string           // lastUpdated of the oldest record in seen
	seen  map[uint64]int64 // lastUpdated in milliseconds, by a hash of id and lastUpdated
	seed  maphash.Seed
	added int // records added to seen in this pass

	start   string // a record with this lastUpdated or a later one changed during the read
	during  bool   // a record changed during the read
	several bool   // a list had several pages

	sample []int64 // lastUpdated of every strideth record, in milliseconds
	stride int
	count  int // records
}

// newChanges returns the changes of a read that started at this time of Okta's
// clock.
func newChanges(start time.Time, seed maphash.Seed) changes {
	return changes{
		since: start.Add(-lookBack).UTC().Format(timeLayout), start: start.Add(-maxLag).UTC().Format(timeLayout),
		seen: map[uint64]int64{}, seed: seed, stride: 1,
	}
}

func (c *changes) add(record Record) {
	c.during = c.during || record.LastUpdated >= c.start
	if c.count++; c.count%c.stride == 0 {
		c.addSample(record)
	}
	if record.LastUpdated < c.since {
		return
	}
	key := maphash.Comparable(c.seed, [2]string{record.ID, record.LastUpdated})
	if _, seen := c.seen[key]; seen {
		return
	}
	c.added++
	if len(c.seen) < maxChanged {
		c.seen[key], _ = milliseconds(record.LastUpdated)
	}
}

// addSample adds a record to the sample. A full sample keeps every second entry.
func (c *changes) addSample(record Record) {
	if len(c.sample) == maxSample {
		for i := range maxSample / 2 {
			c.sample[i] = c.sample[2*i]
		}
		c.sample, c.stride = c.sample[:maxSample/2], 2*c.stride
	}
	if at, ok := milliseconds(record.LastUpdated); ok {
		c.sample = append(c.sample, at)
	}
}
