// Package scheduler runs named jobs on cron schedules until its context ends.
//
// The daemon of cmd/oktasync uses it: each export has a job that reconciles it,
// and one job verifies the whole store. The configuration uses [Parse] to check
// schedules.
//
// Start reading at [Scheduler.Run] and the loop that it starts for each job. A
// [Schedule] (schedule.go) computes due times; parse.go parses it.
//
// Guarantees for a job:
//
//   - Runs never overlap. The next start is computed after a run, so a slow run
//     skips the starts that it missed.
//   - If the daemon was down, the machine was suspended or the clock was set
//     forward, one run makes up for all missed starts. Job.Last is the time when an
//     earlier process last started the job.
//   - Due times are by the wall clock, which is checked at least once a minute. Go's
//     timers use the monotonic clock, which stops while the machine is suspended and
//     doesn't follow changes of the wall clock.
//   - A failed run is retried as Job.Retry specifies, before the next regular time.
//     With Job.Failed, a new process continues the retries. Other jobs are not
//     affected.
package scheduler

import (
	"context"
	"sync"
	"time"
)

const (
	// maxSleep is the time after which a step of the wall clock is detected.
	maxSleep = time.Minute

	// setBack is the step back of the wall clock after which due times are computed
	// again. A smaller step is a correction: computing again would start a job a
	// second time for the due time that it has just met.
	setBack = 10 * time.Minute
)

// A Job is work on a schedule.
type Job struct {
	Name     string
	Schedule Schedule
	// Last is the last start, by this machine's wall clock; zero: never.
	Last time.Time
	// Failed is the end of that run if it failed, else zero. The run is retried as
	// if it had failed in this process.
	Failed time.Time
	// Run does the work. It must return soon after its context ends.
	Run   func(context.Context) error
	Retry Retry
}

// Retry configures the retries of a failed run: at most Most, the first after
// FirstWait (at least a second), each further one after twice the wait, and none
// at or after the next regular time. The zero value means no retries.
type Retry struct {
	Most      int
	FirstWait time.Duration
}

// A Scheduler runs jobs. Its methods are safe for concurrent use.
type Scheduler struct {
	now     func() time.Time // replaced by tests
	changed chan struct{}    // capacity 1: there may be a job without a loop

	mu       sync.Mutex
	declared map[string]Job    // jobs as set
	states   map[string]*state // jobs with a loop, including removed ones that still run
}

// New returns a scheduler of jobs, whose names must differ.
func New(jobs ...Job) *Scheduler {
	s := &Scheduler{now: time.Now, changed: make(chan struct{}, 1), states: make(map[string]*state)}
	s.Set(jobs...)
	return s
}

// Set replaces the jobs, also during Run. A current run continues unchanged, and
// the next start of its job waits for it. A job whose schedule stays the same
// keeps its due times and retries. A new schedule counts from now, or from the
// last start if it is an interval.
func (s *Scheduler) Set(jobs ...Job) {
	declared := make(map[string]Job, len(jobs))
	for _, job := range jobs {
		declared[job.Name] = job
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.declared = declared
	for _, st := range s.states {
		notify(st.changed)
	}
	notify(s.changed)
}

// Run runs the jobs until ctx ends, and returns after all runs have ended. Call
// it once.
func (s *Scheduler) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		for _, st := range s.addStates() {
			wg.Go(func() { s.loop(ctx, st) })
		}
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
	}
}

// addStates creates and returns the states of new jobs.
func (s *Scheduler) addStates() (added []*state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, job := range s.declared {
		if s.states[name] == nil {
			s.states[name] = &state{Job: job, changed: make(chan struct{}, 1)}
			added = append(added, s.states[name])
		}
	}
	return added
}

// update applies the changes of Set to a job between two of its runs. It returns
// false if the job was removed.
func (s *Scheduler) update(st *state, now time.Time) bool {
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

// Next returns the next start of a job: a regular time or a retry, in the past if
// the job is about to start. It is zero for an unknown job, before Run, and if
// there is no next time.
func (s *Scheduler) Next(name string) time.Time {
	next, _ := s.status(name)
	return next
}

// Running reports whether the job runs now.
func (s *Scheduler) Running(name string) bool {
	_, running := s.status(name)
	return running
}

func (s *Scheduler) status(name string) (next time.Time, running bool) {
	s.mu.Lock()
	st := s.states[name]
	s.mu.Unlock()
	if st == nil {
		return time.Time{}, false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.next, st.running
}

// loop runs one job until ctx ends or the job is removed.
func (s *Scheduler) loop(ctx context.Context, st *state) {
	st.init(s.wall())
	for ctx.Err() == nil {
		now := s.wall()
		if !s.update(st, now) {
			return
		}
		if wait := st.untilNext(now); wait > 0 {
			sleep(ctx, st.changed, min(wait, maxSleep))
			continue
		}
		st.started(now)
		err := st.Run(ctx)
		st.ended(s.wall(), err != nil)
	}
}

// wall returns the wall clock without a monotonic reading, so that comparisons
// and differences see its steps.
func (s *Scheduler) wall() time.Time { return s.now().Round(0) }

// sleep waits for d, or until ctx ends or changed receives.
func sleep(ctx context.Context, changed <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-timer.C:
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// state is a job and its next start. Only the job's loop writes it.
type state struct {
	Job
	regular   time.Time // next time of the schedule; zero: never
	retry     time.Time // of a failed run; zero: none
	failures  int       // since the last regular start
	lastCheck time.Time // of the wall clock
	changed   chan struct{}

	mu      sync.Mutex // guards the fields that Next and Running read
	next    time.Time
	running bool
}

// init computes the first start, and the retry of a run that failed in an earlier
// process.
func (st *state) init(now time.Time) {
	st.computeRegular(now)
	if at := st.Failed.Add(st.firstWait()); !st.Failed.IsZero() && st.Retry.Most > 0 && (st.regular.IsZero() || at.Before(st.regular)) {
		st.retry, st.failures = at, 1
	}
}

func (st *state) firstWait() time.Duration { return max(st.Retry.FirstWait, time.Second) }

// computeRegular computes the next regular start from the last one. It is in the
// past if a start was missed.
func (st *state) computeRegular(now time.Time) {
	st.lastCheck = st.Last
	every, isInterval := st.Schedule.(interval)
	switch {
	case !st.Last.IsZero():
		st.regular = st.Schedule.Next(st.Last)
	case isInterval:
		// Without a last start, don't wait for the interval. Otherwise a daemon that
		// restarts more often would never run the job.
		st.regular = now.Add(every.firstDelay)
	default:
		st.regular = st.Schedule.Next(now)
	}
}

// reschedule computes the next start for a new schedule.
func (st *state) reschedule(now time.Time) {
	st.retry, st.failures = time.Time{}, 0
	if _, isInterval := st.Schedule.(interval); isInterval {
		st.computeRegular(now)
		return
	}
	st.regular = st.Schedule.Next(now)
}

// untilNext returns the time until the next start.
func (st *state) untilNext(now time.Time) time.Duration {
	if now.Before(st.lastCheck.Add(-setBack)) {
		st.regular, st.retry = st.Schedule.Next(now), time.Time{}
	}
	st.lastCheck = now
	due := st.regular
	if !st.retry.IsZero() {
		due = st.retry
	}
	st.publish(due, false)
	if due.IsZero() {
		return maxSleep
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

// ended computes the next start: the next regular time in the future, or a retry
// before it.
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
