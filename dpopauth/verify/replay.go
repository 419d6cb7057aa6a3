package verify

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"
)

// A ReplayCache stores the ids that were used. It must be safe for concurrent use:
// of two concurrent calls with the same key, exactly one returns true. Servers
// that share a name must share a cache, or route each client to one server.
type ReplayCache interface {
	// Add stores key at least until the given time, and reports whether it is new.
	// If it can't store the key, it returns an error, and the request is rejected.
	// Both times are by the caller's clock.
	Add(ctx context.Context, key [32]byte, now, until time.Time) (isNew bool, err error)
}

// ErrReplayFull is the error of a full replay cache.
var ErrReplayFull = errors.New("replay cache is full")

// DefaultReplays is the default size of the replay cache in memory. A full cache
// takes about 30 MB. With 65 s per entry, it is enough for 4,000 requests per
// second.
const DefaultReplays = 1 << 18

// NewReplayCache returns a ReplayCache in memory with at most limit entries, or
// [DefaultReplays] if limit is 0.
func NewReplayCache(limit int) ReplayCache {
	if limit <= 0 {
		limit = DefaultReplays
	}
	return &memoryCache{limit: limit, seen: make(map[[32]byte]struct{})}
}

type memoryCache struct {
	limit int

	mu       sync.Mutex
	seen     map[[32]byte]struct{} // the keys in expiries
	expiries expiryHeap
}

func (c *memoryCache) Add(_ context.Context, key [32]byte, now, until time.Time) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Remove up to two expired entries per call, so that the cache shrinks after a
	// peak without one slow call. Remove before the lookup, because key itself may
	// have expired.
	for range 2 {
		if len(c.expiries) > 0 && c.expiries[0].until < now.Unix() {
			delete(c.seen, heap.Pop(&c.expiries).(expiry).key)
		}
	}
	if _, ok := c.seen[key]; ok {
		return false, nil
	}
	if len(c.expiries) >= c.limit {
		return false, ErrReplayFull
	}
	c.seen[key] = struct{}{}
	heap.Push(&c.expiries, expiry{until: until.Unix(), key: key})
	return true, nil
}

type expiry struct {
	until int64
	key   [32]byte
}

// An expiryHeap has the next entry to expire on top.
type expiryHeap []expiry

func (e expiryHeap) Len() int           { return len(e) }
func (e expiryHeap) Less(i, j int) bool { return e[i].until < e[j].until }
func (e expiryHeap) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *expiryHeap) Push(x any)        { *e = append(*e, x.(expiry)) }

func (e *expiryHeap) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

func replayCache(c ReplayCache) ReplayCache {
	if c == nil {
		return NewReplayCache(0)
	}
	return c
}
