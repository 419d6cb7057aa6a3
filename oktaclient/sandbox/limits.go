package sandbox

import (
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"time"
)

// limiter counts requests by bucket, in windows of a minute that do not begin
// with the minute ("Rate limits"). A single client may take only a share of a
// bucket, and that share is what it is shown.
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

// room is what a bucket still holds for a client.
type room struct {
	limit, remaining int
	reset            time.Time
	over             bool
}

func newLimiter(limits map[string]int, share float64) limiter {
	return limiter{limits: limits, share: share, windows: map[string]*window{}}
}

const minute = int64(60)

// take takes a request of a client out of the bucket that path belongs to.
func (l *limiter) take(path, client string, now time.Time) room {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, total := l.windowLocked(path, now)
	limit := max(1, int(float64(total)*l.share))
	left := min(limit-w.clients[client], total-w.used)
	if left < 1 {
		return room{limit, 0, w.end, true}
	}
	w.used++
	w.clients[client]++
	return room{limit, left - 1, w.end, false}
}

// windowLocked returns the present window of a path's bucket, and the bucket's limit.
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
		total = 1 << 20 // the table lacks the bucket: as good as unlimited
	}
	return w, total
}

// bucket finds the bucket of a path: the exact one, else the longest prefix.
func (l *limiter) bucket(path string) string {
	if _, ok := l.limits[path]; ok {
		return path
	}
	pattern, _ := pathPattern(path)
	if _, ok := l.limits[pattern]; ok {
		return pattern
	}
	for path != "" {
		path = path[:strings.LastIndexByte(path, '/')]
		if _, ok := l.limits[path]; ok {
			return path
		}
	}
	return ""
}

// TakeRateLimit has others take n requests out of the present window of the
// bucket that path belongs to, as a second client of the org would.
func (o *Org) TakeRateLimit(path string, n int) {
	o.limits.mu.Lock()
	defer o.limits.mu.Unlock()
	w, _ := o.limits.windowLocked(path, o.now())
	w.used += n
}

// setRateHeaders writes what Okta shows of a bucket; Reset is in epoch seconds.
func setRateHeaders(a *answer, limit, remaining int, reset time.Time, twice bool) {
	for name, value := range map[string]int64{"Limit": int64(limit), "Remaining": int64(remaining), "Reset": reset.Unix()} {
		values := []string{strconv.FormatInt(value, 10)}
		if twice {
			values = append(values, values[0])
		}
		a.header["X-Rate-Limit-"+name] = values
	}
}
