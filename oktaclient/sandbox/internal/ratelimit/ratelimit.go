// Package ratelimit counts the requests of a sandbox org against Okta's rate limits.
//
// Package sandbox uses it for each request. Start reading at [Limiter].
package ratelimit

import (
	"hash/fnv"
	"strings"
	"sync"
	"time"
)

// Limiter counts requests by bucket, in windows of a minute that don't begin with
// the minute ("Rate limits"). Each client can use only a share of a bucket. It is
// safe for concurrent use.
type Limiter struct {
	limits map[string]int
	share  float64

	mu      sync.Mutex
	windows map[string]*window
}

type window struct {
	end     time.Time
	used    int
	clients map[string]int
}

// Quota is the rest of a client's share of a bucket.
type Quota struct {
	Limit, Remaining int
	Reset            time.Time
	Exceeded         bool
}

// New returns a limiter. limits are requests per minute, by bucket. The bucket of a
// path is the path itself, its pattern such as /api/v1/users/{id}, or its longest
// prefix that has a limit.
func New(limits map[string]int, share float64) *Limiter {
	return &Limiter{limits: limits, share: share, windows: map[string]*window{}}
}

const minute = int64(60)

// Take counts a request of a client against the bucket of path.
func (l *Limiter) Take(path, pattern, client string, now time.Time) Quota {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, total := l.windowLocked(l.bucket(path, pattern), now)
	limit := max(1, int(float64(total)*l.share))
	left := min(limit-w.clients[client], total-w.used)
	if left < 1 {
		return Quota{limit, 0, w.end, true}
	}
	w.used++
	w.clients[client]++
	return Quota{limit, left - 1, w.end, false}
}

// TakeOther counts n requests of another client.
func (l *Limiter) TakeOther(path, pattern string, n int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, _ := l.windowLocked(l.bucket(path, pattern), now)
	w.used += n
}

// windowLocked returns the current window of a bucket, and the bucket's limit.
func (l *Limiter) windowLocked(bucket string, now time.Time) (*window, int) {
	w := l.windows[bucket]
	if w == nil || !now.Before(w.end) {
		h := fnv.New32a()
		h.Write([]byte(bucket))
		phase := 1 + int64(h.Sum32())%(minute-1)
		end := (now.Unix()-phase)/minute*minute + phase + minute
		w = &window{end: time.Unix(end, 0), clients: map[string]int{}}
		l.windows[bucket] = w
	}
	total, ok := l.limits[bucket]
	if !ok {
		total = 1 << 20 // practically unlimited
	}
	return w, total
}

func (l *Limiter) bucket(path, pattern string) string {
	for _, exact := range []string{path, pattern} {
		if _, ok := l.limits[exact]; ok {
			return exact
		}
	}
	for path != "" {
		path = path[:strings.LastIndexByte(path, '/')]
		if _, ok := l.limits[path]; ok {
			return path
		}
	}
	return ""
}
