package sandbox

import (
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"time"
)

// limiter counts requests by bucket, in windows of a minute that don't begin
// with the minute ("Rate limits"). Each client can use only a share of a bucket,
// and the headers contain that share.
type limiter struct {
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

// quota is the rest of a client's share of a bucket.
type quota struct {
	limit, remaining int
	reset            time.Time
	exceeded         bool
}

func newLimiter(limits map[string]int, share float64) limiter {
	return limiter{limits: limits, share: share, windows: map[string]*window{}}
}

const minute = int64(60)

// take counts a request of a client against the bucket of path.
func (l *limiter) take(path, client string, now time.Time) quota {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, total := l.windowLocked(path, now)
	limit := max(1, int(float64(total)*l.share))
	left := min(limit-w.clients[client], total-w.used)
	if left < 1 {
		return quota{limit, 0, w.end, true}
	}
	w.used++
	w.clients[client]++
	return quota{limit, left - 1, w.end, false}
}

// windowLocked returns the current window of a path's bucket, and the bucket's limit.
func (l *limiter) windowLocked(path string, now time.Time) (*window, int) {
	bucket := l.bucket(path)
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

// bucket returns the bucket of a path: the exact one, else the longest prefix.
func (l *limiter) bucket(path string) string {
	pattern, _ := pathPattern(path)
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

// TakeRateLimit counts n requests of another client against the current window
// of the bucket of path.
func (o *Org) TakeRateLimit(path string, n int) {
	o.limits.mu.Lock()
	defer o.limits.mu.Unlock()
	w, _ := o.limits.windowLocked(path, o.now())
	w.used += n
}

// setRateHeaders sets Okta's headers. Reset is in epoch seconds.
func (o *Org) setRateHeaders(resp *response, q quota) {
	for name, value := range map[string]int64{"Limit": int64(q.limit), "Remaining": int64(q.remaining), "Reset": q.reset.Unix()} {
		values := []string{strconv.FormatInt(value, 10)}
		if o.cfg.DuplicateRateHeaders {
			values = append(values, values[0])
		}
		resp.header["X-Rate-Limit-"+name] = values
	}
}
