package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
)

// checkReading estimates how long a read of each export takes with the allowed
// requests per minute. The buckets are read at the same time, so the slowest one
// decides.
func checkReading(ctx context.Context, x *checker) Finding {
	shares := make(map[string]int)
	for _, p := range x.bucketPages(ctx) {
		if shares[p.bucket()] = x.share(p); shares[p.bucket()] == 0 {
			return skipped("the rate limit is unknown")
		}
	}
	records := x.records()
	var lines []string
	for _, e := range x.cfg.Exports {
		requests := e.EstimateRequests(records)
		maps.DeleteFunc(requests, func(bucket string, _ int) bool { return shares[bucket] == 0 }) // optional, and unavailable
		took, text := duration(requests, shares)
		text = e.Name + ": " + text
		limit, key := e.Timeout, "timeout"
		if every := config.Interval(e, time.Now()); every > 0 && every < limit {
			limit, key = every, "schedule"
		}
		if took > limit {
			remedy := fmt.Sprintf("set the %s of %s to %s or more, or raise okta.rate_limit_share", key, e.Name, term.Duration(2*took))
			return failed(org.InConfig, remedy, "the %s of %s allows %s\n%s", key, e.Name, term.Duration(limit), text)
		}
		lines = append(lines, text)
	}
	return ok("%s", strings.Join(lines, "\n"))
}

// duration returns how long the requests of all buckets take, in whole minutes, and
// describes it, with a line for each bucket.
func duration(requests, shares map[string]int) (longest time.Duration, text string) {
	var lines []string
	total := 0
	for _, bucket := range slices.Sorted(maps.Keys(requests)) {
		n, share := requests[bucket], shares[bucket]
		took := time.Duration(n/max(share, 1)+1) * time.Minute
		longest, total = max(longest, took), total+n
		lines = append(lines, fmt.Sprintf("\n  %s: up to %s for %s, %d per minute", bucket, term.Duration(took), term.Plural(n, "request"), share))
	}
	text = fmt.Sprintf("up to %s for %s", term.Duration(longest), term.Plural(total, "request"))
	if len(lines) > 1 {
		text += strings.Join(lines, "")
	}
	return longest, text
}

// records returns the number of records of each resource that was counted or that a
// newest snapshot contains, whichever is more.
func (x *checker) records() map[string]int {
	records := make(map[string]int)
	for _, d := range x.cfg.Declared() {
		r := d.Resource
		records[r.Name] = x.counts[r].n
		if newest := x.newest(r); newest != nil {
			records[r.Name] = max(records[r.Name], recordsIn(newest, r))
		}
	}
	return records
}
