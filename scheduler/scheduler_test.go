package scheduler_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/scheduler"
)

// A synctest bubble starts at midnight of 1 January 2000 UTC.
var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

var errDown = errors.New("org is down")

func parse(t *testing.T, spec string) scheduler.Schedule {
	t.Helper()
	s, err := scheduler.Parse(spec, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// runs are the starts of a job since midnight, by the wall clock.
type runs struct {
	starts []time.Duration
	clock  steppedClock
}

// job returns a job that records its starts. Its first failures runs fail.
func (r *runs) job(t *testing.T, spec string, failures int, retry scheduler.Retry) scheduler.Job {
	t.Helper()
	return scheduler.Job{Name: "staff", Schedule: parse(t, spec), Retry: retry, Run: func(context.Context) error {
		r.starts = append(r.starts, r.clock.now().Sub(midnight))
		if len(r.starts) <= failures {
			return errDown
		}
		return nil
	}}
}

func (r *runs) check(t *testing.T, want ...time.Duration) {
	t.Helper()
	if !slices.Equal(r.starts, want) {
		t.Errorf("starts = %v\n  want %v", r.starts, want)
	}
}

// steppedClock is a wall clock that can be set. Timers don't follow it.
type steppedClock struct{ offset atomic.Int64 }

func (c *steppedClock) now() time.Time       { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *steppedClock) step(d time.Duration) { c.offset.Add(int64(d)) }

// runFor runs s for d in the bubble.
func runFor(t *testing.T, s *scheduler.Scheduler, d time.Duration) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	s.Run(ctx)
}

const (
	always = 1 << 20 // number of failures
	m, h   = time.Minute, time.Hour
)

func TestStarts(t *testing.T) {
	retry := func(most int, wait time.Duration) scheduler.Retry {
		return scheduler.Retry{Most: most, FirstWait: wait}
	}
	none := scheduler.Retry{}
	for _, test := range []struct {
		name         string
		spec         string
		last, failed time.Duration // before midnight; 0: never
		failures     int
		retry        scheduler.Retry
		end          time.Duration
		want         []time.Duration
	}{
		{"missed runs are made up once", "0 6 * * *", 5 * 24 * h, 0, 0, none, 24 * h, []time.Duration{0, 6 * h}},
		{"nothing was missed", "0 6 * * *", 18 * h, 0, 0, none, 24 * h, []time.Duration{6 * h}},
		{"a fixed time without a last start", "0 6 * * *", 0, 0, 0, none, 24 * h, []time.Duration{6 * h}},
		{"a last start in the future", "0 6 * * *", -366 * 24 * h, 0, 0, none, 24 * h, []time.Duration{6 * h}},
		{"an interval counts from the last start", "@every 1h", 20 * m, 0, 0, none, 2 * h, []time.Duration{40 * m, 100 * m}},
		{"an interval that has passed", "@every 1h", 90 * m, 0, 0, none, 90 * m, []time.Duration{0, 60 * m}},
		{"an interval without a last start", "@every 1h", 0, 0, 0, none, 90 * m, []time.Duration{0, 60 * m}},

		{"the wait doubles", "0 6 * * *", 0, 0, always, retry(3, m), 30*h + 90*time.Second, []time.Duration{6 * h, 6*h + m, 6*h + 3*m, 6*h + 7*m, 30 * h, 30*h + m}},
		{"up to a day", "@yearly", time.Second, 0, always, retry(3, 20*h), 90 * h, []time.Duration{0, 20 * h, 44 * h, 68 * h}},
		{"the wait is at least a second", "0 6 * * *", 0, 0, always, retry(2, 0), 24 * h, []time.Duration{6 * h, 6*h + time.Second, 6*h + 3*time.Second}},
		{"a success ends the retries", "0 6 * * *", 0, 0, 1, retry(3, m), 24 * h, []time.Duration{6 * h, 6*h + m}},
		{"a retry never replaces a regular time", "*/5 * * * *", 0, 0, always, retry(9, 2*m), 14 * m, []time.Duration{5 * m, 7 * m, 10 * m, 12 * m}},

		// The last run failed in an earlier process.
		{"a pending retry", "0 18 * * *", 21 * time.Second, 20 * time.Second, 1, retry(2, m), 14 * m, []time.Duration{40 * time.Second, 2*m + 40*time.Second}},
		{"a retry that is due", "0 18 * * *", h + time.Second, h, 0, retry(1, m), 14 * m, []time.Duration{0}},
		{"no retry configured", "0 18 * * *", 21 * time.Second, 20 * time.Second, 0, none, 14 * m, nil},
		{"a retry after the regular time", "*/5 * * * *", 21 * time.Second, 20 * time.Second, 1, retry(1, 10*m), 14 * m, []time.Duration{0, 5 * m, 10 * m}},
		{"a retry and a missed run", "30 23 * * *", h + time.Second, h, 0, retry(1, m), 14 * m, []time.Duration{0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got runs
				job := got.job(t, test.spec, test.failures, test.retry)
				if test.last != 0 {
					job.Last = midnight.Add(-test.last)
				}
				if test.failed != 0 {
					job.Failed = midnight.Add(-test.failed)
				}
				runFor(t, scheduler.New(job), test.end-time.Nanosecond)
				got.check(t, test.want...)
			})
		})
	}
}

func TestSlowRunSkipsStarts(t *testing.T) {
	for _, spec := range []string{"*/15 * * * *", "@every 15m"} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			s := scheduler.New(scheduler.Job{Name: "staff", Schedule: parse(t, spec), Run: func(context.Context) error {
				n++
				time.Sleep(20 * time.Minute) // longer than the interval
				return nil
			}})
			runFor(t, s, 24*time.Hour-time.Second)
			if n != 48 {
				t.Errorf("%s: runs in a day = %d, want 48", spec, n)
			}
		})
	}
}

func TestJobsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		s := scheduler.New(
			scheduler.Job{Name: "blocked", Schedule: parse(t, "0 1 * * *"), Run: func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}},
			got.job(t, "0 * * * *", 0, scheduler.Retry{}),
		)
		runFor(t, s, 3*h+time.Second)
		got.check(t, 1*h, 2*h, 3*h)
	})
}

func TestRunReturnsAfterAllRunsHaveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		s := scheduler.New(scheduler.Job{Name: "staff", Schedule: parse(t, "0 1 * * *"), Run: func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(5 * time.Second) // cleanup
			ended.Store(true)
			return ctx.Err()
		}})
		runFor(t, s, 2*h)
		if !ended.Load() {
			t.Error("Run returned while a job was running")
		}
		if got, want := time.Since(midnight), 2*h+5*time.Second; got != want {
			t.Errorf("Run returned after %v, want %v", got, want)
		}
	})
}

func TestRunWithoutJobsWaitsForItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runFor(t, scheduler.New(), h)
		if got := time.Since(midnight); got != h {
			t.Errorf("Run returned after %v, want 1h", got)
		}
	})
}

func TestNextAndRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var healed atomic.Bool
		s := scheduler.New(scheduler.Job{
			Name: "staff", Schedule: parse(t, "0 6 * * *"), Retry: scheduler.Retry{Most: 1, FirstWait: m},
			Run: func(context.Context) error {
				time.Sleep(10 * m)
				if healed.Load() {
					return nil
				}
				return errDown
			},
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		check := func(running bool, next time.Duration) {
			t.Helper()
			synctest.Wait()
			if got := s.Running("staff"); got != running {
				t.Errorf("at %v: Running() = %v, want %v", time.Since(midnight), got, running)
			}
			if got := s.Next("staff"); !got.Equal(midnight.Add(next)) {
				t.Errorf("at %v: Next() = %v, want %v", time.Since(midnight), got, midnight.Add(next))
			}
		}
		check(false, 6*h)
		time.Sleep(6*h + m)
		check(true, 30*h)
		time.Sleep(9 * m)
		check(false, 6*h+11*m)
		healed.Store(true)
		time.Sleep(h)
		check(false, 30*h)
		if got := s.Next("unknown"); !got.IsZero() || s.Running("unknown") {
			t.Errorf("Next() of an unknown job = %v, want zero", got)
		}
		stop()
		<-done
	})
}

// A step of the wall clock is noticed within a minute. A suspended machine looks
// like a step forward, because its timers stop.
func TestClockSteps(t *testing.T) {
	for _, test := range []struct {
		name      string
		spec      string
		failures  int
		retry     scheduler.Retry
		ahead     time.Duration // of the clock at first
		at, step  time.Duration
		end       time.Duration
		wantStart []time.Duration
	}{
		{"forward", "0 6 * * *", 0, scheduler.Retry{}, 0, 90 * time.Second, 9 * h, 22 * h, []time.Duration{9*h + 2*m, 30 * h}},
		{"back", "@every 1h", 0, scheduler.Retry{}, 24 * h, 90 * time.Second, -24 * h, 2 * h, []time.Duration{24 * h, h + 2*m}},
		{"back, with a pending retry", "0 6 * * *", always, scheduler.Retry{Most: 1, FirstWait: 30 * m}, 24 * h, 6*h + 10*m, -24 * h, 30*h + 5*m, []time.Duration{30 * h, 30 * h}},
		{"back by a correction", "0 6 * * *", 0, scheduler.Retry{}, 0, 6*h + time.Second, -5 * m, 23 * h, []time.Duration{6 * h}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got runs
				got.clock.step(test.ahead)
				s := scheduler.New(got.job(t, test.spec, test.failures, test.retry))
				s.SetNow(got.clock.now)
				time.AfterFunc(test.at, func() { got.clock.step(test.step) })
				runFor(t, s, test.end)
				got.check(t, test.wantStart...)
			})
		})
	}
}

// recordingSchedule sends the arguments of Next, and is never due.
type recordingSchedule chan time.Time

func (s recordingSchedule) Next(t time.Time) time.Time {
	s <- t
	return time.Time{}
}

// Times with a monotonic reading are compared by it, so that a step of the wall
// clock would be missed. Times in a bubble have none, so this test runs outside.
func TestTimesHaveNoMonotonicReading(t *testing.T) {
	schedule := make(recordingSchedule, 100)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		scheduler.New(scheduler.Job{Name: "staff", Schedule: schedule}).Run(ctx)
	}()
	if at := <-schedule; at != at.Round(0) {
		t.Errorf("Next was called with %s, which has a monotonic reading", at)
	}
	stop()
	<-done
}
