package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// quietFlag is for the commands that show how far they are.
func (a *app) quietFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&a.quiet, "quiet", "q", false, "no line that shows how far it is")
}

// showing is whether somebody watches who wants to know how far a command is.
func (a *app) showing() bool { return a.screen != nil && !a.quiet }

// progress is what is known of something that takes a while.
type progress struct {
	limits func() []oktaclient.Limit // nil: none count
	zone   *time.Location            // of whoever looks

	mu       sync.Mutex
	task     string // "all-users: reading"
	unit     string // of what is counted: "users"
	done     int
	expected int // 0: not known
	requests int

	began time.Time // the task did, and so much there was by then:
	had   int       // done
	sent  int       // requests
}

// set says how far it is; another task than before begins now.
func (p *progress) set(task, unit string, done, expected, requests int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if task != p.task {
		p.began, p.had, p.sent = time.Now(), done, requests
	}
	p.task, p.unit, p.done, p.expected, p.requests = task, unit, done, expected, requests
}

// parts are what the line says, the most important first.
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
	limit, waiting := p.waits()
	if waiting {
		parts = append(parts, p.waitText(limit, now))
	}
	took := now.Sub(p.began)
	rate := float64(p.done-p.had) / took.Seconds()
	if took < term.Delay || rate < 1 {
		return parts // too early to tell, or nothing moves
	}
	if p.expected > p.done {
		parts = append(parts, "done about "+p.clock(p.end(now, rate, limit), now))
	}
	return append(parts, fmt.Sprintf("%.0f/s", rate))
}

// end is when it will be done at this rate, and not before the limit allows the
// requests that it takes.
func (p *progress) end(now time.Time, rate float64, limit oktaclient.Limit) time.Time {
	left := float64(p.expected - p.done)
	end := now.Add(time.Duration(left / rate * float64(time.Second)))
	requests := left / float64(p.done-p.had) * float64(p.requests-p.sent)
	if byLimit := limit.End(int(requests), now); byLimit.After(end) {
		return byLimit
	}
	return end
}

// waits is the limit that is waited for, or else the one that most has been
// taken of.
func (p *progress) waits() (limit oktaclient.Limit, waiting bool) {
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

// waitText is "rate limit until 12:03:20".
func (p *progress) waitText(l oktaclient.Limit, now time.Time) string {
	text := "rate limit until " + p.clock(l.Until, now)
	if l.Others {
		text = "rate limit used by others, next at " + p.clock(l.Until, now)
	}
	return text
}

// clock is a time of day; with the day if that is not today.
func (p *progress) clock(t, now time.Time) string {
	t, now = t.In(p.zone), now.In(p.zone)
	if t.YearDay() != now.YearDay() || t.Year() != now.Year() {
		return t.Format("Mon 15:04")
	}
	return t.Format(time.TimeOnly)
}

// showReconciles shows how far reconciles of o are until stop is called. tell
// is nil where nobody watches.
func (a *app) showReconciles(o *org.Org) (tell func(reconcile.Progress), stop func()) {
	if !a.showing() {
		return nil, func() {}
	}
	p := &progress{limits: o.Governor.Limits, zone: time.Local}
	tell = func(r reconcile.Progress) {
		unit := "users"
		if r.Phase == reconcile.PhaseProving {
			unit = "missing users asked for"
		}
		p.set(r.Export+": "+string(r.Phase), unit, r.Users, r.Expected, r.Requests)
	}
	return tell, a.screen.Show(p.parts)
}

// showVerify does so for verify.
func (a *app) showVerify() (tell func(snapshot.VerifyProgress), stop func()) {
	if !a.showing() {
		return nil, func() {}
	}
	p := &progress{zone: time.Local}
	tell = func(v snapshot.VerifyProgress) { p.set(v.Export+": verifying", "users", v.Users, v.Expected, 0) }
	return tell, a.screen.Show(p.parts)
}

// showPages does so for api, whose output goes somewhere else.
func (a *app) showPages(o *org.Org) (tell func(pages int), stop func()) {
	if !a.showing() || term.IsTerminal(a.stdout) {
		return func(int) {}, func() {}
	}
	p := &progress{limits: o.Governor.Limits, zone: time.Local}
	p.set("reading", "pages", 0, 0, 0)
	return func(pages int) { p.set("reading", "pages", pages, 0, pages) }, a.screen.Show(p.parts)
}
