// Package scheduler runs named jobs on cron schedules until its context ends.
//
// What a job may rely on:
//
//   - It never overlaps itself. Its next start is computed after a run has
//     ended, so that a slow run skips the starts that it ran over.
//   - A start that was missed, because the daemon was down, the machine was
//     suspended or its clock was set forward, is made up once, however many
//     were missed. Job.Last tells what is known from before.
//   - The wall clock decides, and is looked at once a minute at least: Go's
//     timers follow the monotonic clock, which stands still while a machine is
//     suspended and does not see that the clock was set.
//   - A failed run is tried again as Job.Retry says, before its next regular
//     time, also by the next process (Job.Failed). The other jobs don't notice.
package scheduler

import (
	"context"
	"sync"
	"time"
)

const (
	// lookAgain is how soon a step of the wall clock is noticed.
	lookAgain = time.Minute

	// setBack is how far the wall clock must have gone back for due times to be
	// computed anew. Less than this is a correction, and computing anew would
	// start a job a second time for the due time that it has just met.
	setBack = 10 * time.Minute
)

// A Job is something to run on a schedule.
type Job struct {
	Name     string
	Schedule Schedule
	// Last is when the job last started, by this machine's clock, as far as
	// anybody knows; zero for never.
	Last time.Time
	// Failed is when that run ended, if it failed; else zero. It is tried again as
	// if it had failed here.
	Failed time.Time
	// Run does the work. It must return soon after its context has ended.
	Run   func(context.Context) error
	Retry Retry
}

// Retry says how a failed run is tried again: at most Most times, first after
// FirstWait, then after twice as long each time, and never at or after the next
// regular time. The zero value never tries again.
type Retry struct {
	Most      int
	FirstWait time.Duration
}

// A Scheduler runs jobs. Its methods may be called concurrently.
type Scheduler struct {
	now     func() time.Time // tests step it
	changed chan struct{}    // holds one: there may be a job that no loop runs yet

	mu       sync.Mutex
	declared map[string]Job    // what should run
	states   map[string]*state // what does, and what still ends
}

// New returns a scheduler of jobs, whose names must differ.
func New(jobs ...Job) *Scheduler {
	s := &Scheduler{now: time.Now, changed: make(chan struct{}, 1), states: make(map[string]*state)}
	s.Set(jobs...)
	return s
}

// Set replaces the jobs, also while they run. A run under way goes on as it
// began, and the next start of its job waits for it. A job that keeps its
// schedule keeps its due times and its retries. Under a new schedule nothing
// was missed: its due times count from now, and an interval from the last start.
func (s *Scheduler) Set(jobs ...Job) {
	declared := make(map[string]Job, len(jobs))
	for _, job := range jobs {
		declared[job.Name] = job
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.declared = declared
	for _, st := range s.states {
		poke(st.wake)
	}
	poke(s.changed)
}

// Run runs the jobs until ctx ends, and returns when all that it started have
// ended too. It must be called once.
func (s *Scheduler) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		for _, st := range s.added() {
			wg.Go(func() { s.loop(ctx, st) })
		}
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
	}
}

// added gives each declared job without a state one.
func (s *Scheduler) added() []*state {
	s.mu.Lock()
	defer s.mu.Unlock()
	var added []*state
	for name, job := range s.declared {
		if s.states[name] == nil {
			s.states[name] = &state{Job: job, wake: make(chan struct{}, 1)}
			added = append(added, s.states[name])
		}
	}
	return added
}

// adopt takes up what Set may have changed about a job between two of its runs.
// It reports false, and forgets the job, where it is no longer declared.
func (s *Scheduler) adopt(st *state, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	job, ok := s.declared[st.Name]
	if !ok {
		delete(s.states, st.Name)
		return false
	}
	job.Last = st.Last
	rescheduled := !same(job.Schedule, st.Schedule)
	st.Job = job
	if rescheduled {
		st.reschedule(now)
	}
	return true
}

func (s *Scheduler) state(name string) *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states[name]
}

// Next returns when the named job is to start next: a regular time or a retry,
// in the past if the start is under way. It is zero for an unknown job, before
// Run, and where there is no next time.
func (s *Scheduler) Next(name string) time.Time {
	st := s.state(name)
	if st == nil {
		return time.Time{}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.next
}

// Running reports whether a run of the named job is under way.
func (s *Scheduler) Running(name string) bool {
	st := s.state(name)
	if st == nil {
		return false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.running
}

func (s *Scheduler) loop(ctx context.Context, st *state) {
	st.begin(s.wall())
	for ctx.Err() == nil {
		now := s.wall()
		if !s.adopt(st, now) {
			return
		}
		if wait := st.look(now); wait > 0 {
			sleep(ctx, st.wake, min(wait, lookAgain))
			continue
		}
		st.started(now)
		err := st.Run(ctx)
		st.ended(s.wall(), err != nil)
	}
}

// wall returns the time of the wall clock alone: subtracting and comparing
// times that carry a monotonic reading would not see a step.
func (s *Scheduler) wall() time.Time { return s.now().Round(0) }

// sleep waits for d, or less where ctx ends or there is news.
func sleep(ctx context.Context, news <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-news:
	case <-timer.C:
	}
}

// poke leaves word in a channel that holds one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// state is a job and where it stands. Its goroutine alone writes it.
type state struct {
	Job
	regular  time.Time // the next time that the schedule gives; zero: never
	retry    time.Time // when a failed run is tried again; zero: not
	failures int       // runs that failed since the last regular start
	seen     time.Time // the last look at the wall clock, or the last start
	wake     chan struct{}

	mu      sync.Mutex // guards what others read
	next    time.Time
	running bool
}

// begin computes the first start, which is now where one was missed, and the
// retry that was pending when whoever ran the job before ended.
func (st *state) begin(now time.Time) {
	st.count(now)
	if at := st.Failed.Add(st.firstWait()); !st.Failed.IsZero() && st.Retry.Most > 0 && (st.regular.IsZero() || at.Before(st.regular)) {
		st.retry, st.failures = at, 1
	}
}

// firstWait is how soon a failed run is tried again.
func (st *state) firstWait() time.Duration { return max(st.Retry.FirstWait, time.Second) }

// count computes the next regular start from the last one.
func (st *state) count(now time.Time) {
	st.seen = st.Last
	switch {
	case !st.Last.IsZero():
		st.regular = st.Schedule.Next(st.Last)
	case isInterval(st.Schedule):
		// Nothing to count from. Waiting a whole interval would mean that a
		// daemon restarted more often than that never runs its job.
		st.regular = now
	default:
		st.regular = st.Schedule.Next(now)
	}
}

// reschedule computes the next start under a new schedule.
func (st *state) reschedule(now time.Time) {
	st.retry, st.failures = time.Time{}, 0
	if isInterval(st.Schedule) {
		st.count(now)
		return
	}
	st.regular = st.Schedule.Next(now)
}

// look returns how long to wait for the next start, as the clock now stands.
func (st *state) look(now time.Time) time.Duration {
	if now.Before(st.seen.Add(-setBack)) {
		st.regular, st.retry = st.Schedule.Next(now), time.Time{}
	}
	st.seen = now
	due := st.regular
	if !st.retry.IsZero() {
		due = st.retry
	}
	st.publish(due, false)
	if due.IsZero() {
		return lookAgain
	}
	return due.Sub(now)
}

func (st *state) started(now time.Time) {
	if st.retry.IsZero() {
		st.failures = 0
	}
	st.Last = now
	st.publish(st.Schedule.Next(now), true)
}

// ended computes the next start: the first regular time that is still to come,
// or a retry before it.
func (st *state) ended(now time.Time, failed bool) {
	next := st.Schedule.Next(st.Last)
	for !next.IsZero() && !next.After(now) {
		next = st.Schedule.Next(next)
	}
	st.regular, st.retry = next, time.Time{}
	if !failed || st.failures >= st.Retry.Most {
		return
	}
	wait := st.firstWait()
	for range st.failures {
		wait = min(2*wait, 24*time.Hour)
	}
	st.failures++
	if at := now.Add(wait); next.IsZero() || at.Before(next) {
		st.retry = at
	}
}

func (st *state) publish(next time.Time, running bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.next, st.running = next, running
}
