package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot/verify"
)

// quietFlag adds --quiet to a command that shows its progress.
func (a *app) quietFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&a.quiet, "quiet", "q", false, "suppress progress output")
}

// showing reports whether the command shows progress.
func (a *app) showing() bool { return a.statusLine != nil && !a.quiet }

// progress is the progress of a long task.
type progress struct {
	limits func() []oktaclient.Limit // nil: no rate limits
	zone   *time.Location            // of the user

	mu       sync.Mutex
	task     string // "all-users: reading"
	unit     string // of done and expected: "users"
	done     int
	expected int // 0: unknown
	requests int

	buckets, expectedBuckets map[string]int // requests by rate-limit bucket; nil: unknown

	// The start of the task: its time, done and requests.
	began, first   time.Time // first: of the export
	doneBefore     int
	requestsBefore int
}

// set sets the progress. A new task begins now.
func (p *progress) set(task, unit string, done, expected, requests int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if task != p.task {
		p.began, p.doneBefore, p.requestsBefore = time.Now(), done, requests
	}
	p.task, p.unit, p.done, p.expected, p.requests = task, unit, done, expected, requests
}

// setBuckets sets the requests by rate-limit bucket.
func (p *progress) setBuckets(buckets, expected map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first.IsZero() || sumOf(buckets) < sumOf(p.buckets) { // the next export
		p.first = time.Now()
	}
	p.buckets, p.expectedBuckets = buckets, expected
}

// parts returns the parts of the status line, the most important first.
func (p *progress) parts() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.task == "" {
		return nil
	}
	now := time.Now()
	parts := []string{p.task}
	switch {
	case p.expected >= p.done && p.expected > 0:
		parts = append(parts, fmt.Sprintf("%d of %d %s", p.done, p.expected, p.unit))
	case p.done > 0:
		parts = append(parts, fmt.Sprintf("%d %s", p.done, p.unit))
	}
	limit, waiting := p.limit()
	if waiting {
		parts = append(parts, p.waitText(limit, now))
	}
	if len(p.expectedBuckets) > 1 {
		text := fmt.Sprintf("%d of about %d requests: %s", sumOf(p.buckets), sumOf(p.expectedBuckets), bucketsText(p.buckets, p.expectedBuckets))
		parts = append(parts, text)
	}
	end := p.bucketsEnd(now)
	if !end.IsZero() {
		parts = append(parts, "done about "+p.clock(end, now))
	}
	took := now.Sub(p.began)
	rate := float64(p.done-p.doneBefore) / took.Seconds()
	if took < term.Delay || rate < 1 {
		return parts // no rate yet
	}
	if !end.IsZero() {
		return parts
	}
	if p.expected > p.done {
		parts = append(parts, "done about "+p.clock(p.end(now, rate, limit), now))
	}
	return append(parts, fmt.Sprintf("%.0f/s", rate))
}

// end estimates the end of the task at this rate, and within the rate limit.
func (p *progress) end(now time.Time, rate float64, limit oktaclient.Limit) time.Time {
	left := float64(p.expected - p.done)
	end := now.Add(time.Duration(left / rate * float64(time.Second)))
	requests := left / float64(p.done-p.doneBefore) * float64(p.requests-p.requestsBefore)
	if byLimit := limit.End(int(requests), now); byLimit.After(end) {
		return byLimit
	}
	return end
}

// bucketsEnd estimates the end of the requests of all buckets: of the bucket that ends
// last, within its rate limit, and at the rate of all requests so far. It is zero if
// there is one bucket, or if the number of requests is unknown.
func (p *progress) bucketsEnd(now time.Time) (end time.Time) {
	if len(p.expectedBuckets) < 2 || p.limits == nil {
		return end
	}
	for _, l := range p.limits() {
		if left := p.expectedBuckets[l.Bucket] - p.buckets[l.Bucket]; left > 0 && l.End(left, now).After(end) {
			end = l.End(left, now)
		}
	}
	done, left := sumOf(p.buckets), sumOf(p.expectedBuckets)-sumOf(p.buckets)
	if done > 0 && left > 0 {
		if byRate := now.Add(now.Sub(p.first) / time.Duration(done) * time.Duration(left)); byRate.After(end) {
			end = byRate
		}
	}
	return end
}

func sumOf(counts map[string]int) (sum int) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// bucketsText returns "apps 28, groups 17", or with expected numbers "apps 28 of 40,
// groups 17 of 17".
func bucketsText(counts, expected map[string]int) string {
	all := expected
	if all == nil {
		all = counts
	}
	var parts []string
	for _, bucket := range slices.Sorted(maps.Keys(all)) {
		text := fmt.Sprintf("%s %d", bucket, counts[bucket])
		if n := expected[bucket]; n > 0 {
			text += fmt.Sprintf(" of %d", max(n, counts[bucket]))
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// limit returns the limit that requests wait for, or the most used limit.
func (p *progress) limit() (limit oktaclient.Limit, waiting bool) {
	if p.limits == nil {
		return limit, false
	}
	for _, l := range p.limits() {
		if !l.Until.IsZero() {
			return l, true
		}
		if l.Used > limit.Used {
			limit = l
		}
	}
	return limit, false
}

// waitText returns "rate limit until 12:03:20".
func (p *progress) waitText(l oktaclient.Limit, now time.Time) string {
	text := "rate limit until " + p.clock(l.Until, now)
	if l.Others {
		text = "rate limit used by others, next at " + p.clock(l.Until, now)
	}
	return text
}

// clock returns a time of day, with the weekday if that isn't today.
func (p *progress) clock(t, now time.Time) string {
	t, now = t.In(p.zone), now.In(p.zone)
	if t.YearDay() != now.YearDay() || t.Year() != now.Year() {
		return t.Format("Mon 15:04")
	}
	return t.Format(time.TimeOnly)
}

// showReconciles returns a function that shows the progress of reconciles until stop
// is called. It is nil if the command shows no progress.
func (a *app) showReconciles(o *org.Org) (report func(reconcile.Progress), stop func()) {
	if !a.showing() {
		return nil, func() {}
	}
	p := &progress{limits: o.Governor.Limits, zone: time.Local}
	report = func(r reconcile.Progress) {
		unit := cmp.Or(r.Resource, "records")
		if r.Phase == reconcile.PhaseProving {
			unit = "missing " + unit + " requested"
		}
		if r.Phase == reconcile.PhasePublishing {
			r.ExpectedBuckets = nil // there are no more requests
		}
		p.setBuckets(r.Buckets, r.ExpectedBuckets)
		p.set(r.Export+": "+string(r.Phase), unit, r.Records, r.Expected, r.Requests)
	}
	return report, a.statusLine.Show(p.parts)
}

// showVerify is showReconciles for verify.
func (a *app) showVerify() (report func(verify.Progress), stop func()) {
	if !a.showing() {
		return nil, func() {}
	}
	p := &progress{zone: time.Local}
	report = func(v verify.Progress) { p.set(v.Export+": verifying", "records", v.Records, v.Expected, 0) }
	return report, a.statusLine.Show(p.parts)
}

// showPages is showReconciles for api, if its output doesn't go to the terminal.
func (a *app) showPages(o *org.Org) (report func(pages int), stop func()) {
	if !a.showing() || term.IsTerminal(a.stdout) {
		return func(int) {}, func() {}
	}
	p := &progress{limits: o.Governor.Limits, zone: time.Local}
	p.set("reading", "pages", 0, 0, 0)
	return func(pages int) { p.set("reading", "pages", pages, 0, pages) }, a.statusLine.Show(p.parts)
}
