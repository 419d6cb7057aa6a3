package verify

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"
)

// A ReplayCache remembers what was used already. It is safe for concurrent use:
// of two calls with one key at the same time exactly one is told that it is new.
// Servers that share a name need to share a cache as well, or to send each
// client to one of them.
type ReplayCache interface {
	// Add remembers key, at least until the given time, and reports whether it
	// was new. It never forgets earlier: where it can't remember, it returns an
	// error, and what the key stands for is refused. Both times are by the
	// caller's clock.
	Add(ctx context.Context, key [32]byte, now, until time.Time) (fresh bool, err error)
}

// ErrReplayFull says that a replay cache can't remember more at the moment.
var ErrReplayFull = errors.New("replay cache is full")

// DefaultReplays is how many entries the replay cache in memory holds where
// nothing else is said. It takes about 30 MB when full, and at 65 s an entry
// lasts for 4,000 requests a second.
const DefaultReplays = 1 << 18

// NewReplayCache returns a ReplayCache in memory that holds at most the given
// number of entries, or [DefaultReplays] where most is 0.
func NewReplayCache(most int) ReplayCache {
	if most <= 0 {
		most = DefaultReplays
	}
	return &memoryCache{most: most, seen: make(map[[32]byte]struct{})}
}

type memoryCache struct {
	most int

	mu    sync.Mutex
	seen  map[[32]byte]struct{} // the keys in order
	order expiries
}

func (c *memoryCache) Add(_ context.Context, key [32]byte, now, until time.Time) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Two out for one in: the cache shrinks after a peak, no call pays for all
	// of it, and where not one can go the cache is really full. They go first, as
	// key itself may be of those whose time is over.
	for range 2 {
		if len(c.order) > 0 && c.order[0].until < now.Unix() {
			delete(c.seen, heap.Pop(&c.order).(expiry).key)
		}
	}
	if _, ok := c.seen[key]; ok {
		return false, nil
	}
	if len(c.order) >= c.most {
		return false, ErrReplayFull
	}
	c.seen[key] = struct{}{}
	heap.Push(&c.order, expiry{until: until.Unix(), key: key})
	return true, nil
}

type expiry struct {
	until int64
	key   [32]byte
}

// expiries is a heap with the first to go on top.
type expiries []expiry

func (e expiries) Len() int           { return len(e) }
func (e expiries) Less(i, j int) bool { return e[i].until < e[j].until }
func (e expiries) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *expiries) Push(x any)        { *e = append(*e, x.(expiry)) }

func (e *expiries) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}
