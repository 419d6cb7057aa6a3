package scheduler_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/scheduler"
)

// In a synctest bubble it is midnight of 1 January 2000 UTC to begin with.
var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func parse(t *testing.T, spec string) scheduler.Schedule {
	t.Helper()
	s, err := scheduler.Parse(spec, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A run is when one began, since midnight.
type runs []time.Duration

func (r *runs) add() { *r = append(*r, time.Since(midnight)) }

func (r runs) check(t *testing.T, want ...time.Duration) {
	t.Helper()
	if !slices.Equal(r, want) {
		t.Errorf("runs began at\n     %v\nwant %v", r, want)
	}
}

// runFor runs s for d in the bubble.
func runFor(t *testing.T, s *scheduler.Scheduler, d time.Duration) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	s.Run(ctx)
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

func TestMissedRunsAreMadeUpOnceAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		s := scheduler.New(scheduler.Job{
			Name: "staff", Schedule: parse(t, "0 6 * * *"), Last: midnight.AddDate(0, 0, -5),
			Run: func(context.Context) error { got.add(); return nil },
		})
		runFor(t, s, 24*time.Hour)
		got.check(t, 0, 6*time.Hour)
	})
}

func TestNothingIsMadeUpWhereNothingWasMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		s := scheduler.New(scheduler.Job{
			Name: "staff", Schedule: parse(t, "0 6 * * *"), Last: midnight.Add(-18 * time.Hour),
			Run: func(context.Context) error { got.add(); return nil },
		})
		runFor(t, s, 24*time.Hour)
		got.check(t, 6*time.Hour)
	})
}

func TestFixedTimeThatNeverRanWaitsForItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		s := scheduler.New(scheduler.Job{
			Name: "staff", Schedule: parse(t, "0 6 * * *"), Run: func(context.Context) error { got.add(); return nil },
		})
		runFor(t, s, 24*time.Hour)
		got.check(t, 6*time.Hour)
	})
}

func TestEveryCountsFromTheLastStart(t *testing.T) {
	for _, test := range []struct {
		last time.Duration
		want []time.Duration
	}{
		{-20 * time.Minute, []time.Duration{40 * time.Minute, 100 * time.Minute}},
		{-90 * time.Minute, []time.Duration{0, 60 * time.Minute}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got runs
			s := scheduler.New(scheduler.Job{
				Name: "staff", Schedule: parse(t, "@every 1h"), Last: midnight.Add(test.last),
				Run: func(context.Context) error { got.add(); time.Sleep(time.Minute); return nil },
			})
			runFor(t, s, 2*time.Hour-time.Second)
			got.check(t, test.want...)
		})
	}
}

func TestEveryThatNeverRanStartsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		s := scheduler.New(scheduler.Job{
			Name: "staff", Schedule: parse(t, "@every 1h"), Run: func(context.Context) error { got.add(); return nil },
		})
		runFor(t, s, 90*time.Minute)
		got.check(t, 0, time.Hour)
	})
}

func TestJobsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		s := scheduler.New(
			scheduler.Job{Name: "wedged", Schedule: parse(t, "0 1 * * *"), Run: func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}},
			scheduler.Job{Name: "staff", Schedule: parse(t, "0 * * * *"), Run: func(context.Context) error { got.add(); return nil }},
		)
		runFor(t, s, 3*time.Hour+time.Second)
		got.check(t, 1*time.Hour, 2*time.Hour, 3*time.Hour)
	})
}

func TestRunReturnsWhenWhatItStartedHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		s := scheduler.New(scheduler.Job{Name: "staff", Schedule: parse(t, "0 1 * * *"), Run: func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(5 * time.Second) // tidies up
			ended.Store(true)
			return ctx.Err()
		}})
		runFor(t, s, 2*time.Hour)
		if !ended.Load() {
			t.Error("Run returned while a job was running")
		}
		if got, want := time.Since(midnight), 2*time.Hour+5*time.Second; got != want {
			t.Errorf("Run returned after %v, want %v", got, want)
		}
	})
}

func TestRunWithoutJobsWaitsForItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runFor(t, scheduler.New(), time.Hour)
		if got := time.Since(midnight); got != time.Hour {
			t.Errorf("Run returned after %v, want 1h", got)
		}
	})
}

func TestNextAndRunningTellWhereAJobStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var healed atomic.Bool
		s := scheduler.New(scheduler.Job{
			Name: "staff", Schedule: parse(t, "0 6 * * *"), Retry: scheduler.Retry{Most: 1, FirstWait: time.Minute},
			Run: func(context.Context) error {
				time.Sleep(10 * time.Minute)
				if healed.Load() {
					return nil
				}
				return errors.New("Okta is down")
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
		check(false, 6*time.Hour)
		time.Sleep(6*time.Hour + time.Minute)
		check(true, 30*time.Hour)
		time.Sleep(9 * time.Minute)
		check(false, 6*time.Hour+11*time.Minute)
		healed.Store(true)
		time.Sleep(time.Hour)
		check(false, 30*time.Hour)
		if got := s.Next("nobody"); !got.IsZero() || s.Running("nobody") {
			t.Errorf("Next() of an unknown job = %v, want zero", got)
		}
		stop()
		<-done
	})
}

// steppedClock is a wall clock that can be set while timers go on as before.
type steppedClock struct{ offset atomic.Int64 }

func (c *steppedClock) now() time.Time           { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *steppedClock) step(d time.Duration)     { c.offset.Add(int64(d)) }
func (c *steppedClock) since() (d time.Duration) { return c.now().Sub(midnight) }

// A suspended machine looks like this too: its timers stand still meanwhile.
func TestClockSetForwardIsNoticedWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock steppedClock
		var got []time.Duration
		s := scheduler.New(scheduler.Job{Name: "staff", Schedule: parse(t, "0 6 * * *"), Run: func(context.Context) error {
			got = append(got, clock.since())
			return nil
		}})
		s.SetNow(clock.now)
		time.AfterFunc(90*time.Second, func() { clock.step(9 * time.Hour) })
		runFor(t, s, 22*time.Hour)
		want := []time.Duration{9*time.Hour + 2*time.Minute, 30 * time.Hour}
		if !slices.Equal(got, want) {
			t.Errorf("by the wall clock runs began at %v, want %v", got, want)
		}
	})
}

func TestClockSetBackIsNoticedWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock steppedClock
		var got []time.Duration
		s := scheduler.New(scheduler.Job{Name: "staff", Schedule: parse(t, "@every 1h"), Run: func(context.Context) error {
			got = append(got, clock.since())
			return nil
		}})
		clock.step(24 * time.Hour)
		s.SetNow(clock.now)
		time.AfterFunc(90*time.Second, func() { clock.step(-24 * time.Hour) })
		runFor(t, s, 2*time.Hour)
		want := []time.Duration{24 * time.Hour, time.Hour + 2*time.Minute}
		if !slices.Equal(got, want) {
			t.Errorf("by the wall clock runs began at %v, want %v", got, want)
		}
	})
}

// A retry that was due by the clock as it was would hold the job back.
func TestClockSetBackDropsAPendingRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock steppedClock
		var got []time.Duration
		s := scheduler.New(scheduler.Job{
			Name: "staff", Schedule: parse(t, "0 6 * * *"), Retry: scheduler.Retry{Most: 1, FirstWait: 30 * time.Minute},
			Run: func(context.Context) error { got = append(got, clock.since()); return errors.New("Okta is down") },
		})
		clock.step(24 * time.Hour)
		s.SetNow(clock.now)
		time.AfterFunc(6*time.Hour+10*time.Minute, func() { clock.step(-24 * time.Hour) })
		runFor(t, s, 30*time.Hour+5*time.Minute)
		want := []time.Duration{30 * time.Hour, 30 * time.Hour}
		if !slices.Equal(got, want) {
			t.Errorf("by the wall clock runs began at %v, want %v", got, want)
		}
	})
}

// asked is a schedule that passes on which times it is asked about, and never
// comes.
type asked chan time.Time

func (a asked) Next(t time.Time) time.Time {
	a <- t
	return time.Time{}
}

// Of two times with a monotonic reading Go compares these, which do not see that
// the clock was set. A bubble's times have none.
func TestOnlyTheWallClockCounts(t *testing.T) {
	schedule := make(asked, 100)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		scheduler.New(scheduler.Job{Name: "staff", Schedule: schedule}).Run(ctx)
	}()
	if at := <-schedule; at != at.Round(0) {
		t.Errorf("asked for what comes after %s, by a clock that nobody can set", at)
	}
	stop()
	<-done
}

func TestClockCorrectedByMinutesStartsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock steppedClock
		n := 0
		s := scheduler.New(scheduler.Job{Name: "staff", Schedule: parse(t, "0 6 * * *"), Run: func(context.Context) error {
			n++
			return nil
		}})
		s.SetNow(clock.now)
		time.AfterFunc(6*time.Hour+time.Second, func() { clock.step(-5 * time.Minute) })
		runFor(t, s, 23*time.Hour)
		if n != 1 {
			t.Errorf("runs on a day with a corrected clock = %d, want 1", n)
		}
	})
}

func TestLastStartInTheFutureDoesNotHoldAJobBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		s := scheduler.New(scheduler.Job{
			Name: "staff", Schedule: parse(t, "0 6 * * *"), Last: midnight.AddDate(1, 0, 0),
			Run: func(context.Context) error { got.add(); return nil },
		})
		runFor(t, s, 24*time.Hour)
		got.check(t, 6*time.Hour)
	})
}

// 40 jobs every 15 minutes for a day, each of which fails now and then: every
// due time is met once, by a run or its retry, and nothing is left behind.
func TestDayOfManyJobsMeetsEachDueTimeOnceAndLeaksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var jobs []scheduler.Job
		var regular, retries [40]int
		for i := range regular {
			jobs = append(jobs, scheduler.Job{
				Name: string(rune('A' + i)), Schedule: parse(t, "*/15 * * * *"), Retry: scheduler.Retry{Most: 1, FirstWait: 5 * time.Minute},
				Run: func(context.Context) error {
					if time.Since(midnight)%(15*time.Minute) != 0 {
						retries[i]++
						return nil
					}
					regular[i]++
					time.Sleep(time.Minute)
					if regular[i]%4 == 0 {
						return errors.New("Okta is down")
					}
					return nil
				},
			})
		}
		usage := func() (goroutines int, heap uint64) {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return runtime.NumGoroutine(), m.HeapAlloc
		}
		var goroutines int
		var heap uint64
		time.AfterFunc(time.Hour+10*time.Minute, func() { goroutines, heap = usage() })
		time.AfterFunc(24*time.Hour, func() {
			if g, h := usage(); g > goroutines+40 || h > heap+1<<20 { // 40 runs are starting
				t.Errorf("after a day %d goroutines and %d bytes, after an hour %d and %d", g, h, goroutines, heap)
			}
		})
		runFor(t, scheduler.New(jobs...), 24*time.Hour+time.Second)
		for i := range regular {
			if regular[i] != 96 || retries[i] != 24-1 { // the last to fail ends with the day
				t.Errorf("job %d ran %d times and was tried again %d times in a day, want 96 and 23", i, regular[i], retries[i])
			}
		}
	})
}
