package scheduler_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/scheduler"
)

func TestSetAddsAndRemovesJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var staff, guests runs
		other := guests.job(t, "0 * * * *", 0, scheduler.Retry{})
		other.Name = "guests"
		s := scheduler.New(staff.job(t, "0 * * * *", 0, scheduler.Retry{}))
		time.AfterFunc(90*m, func() { s.Set(other) })
		time.AfterFunc(210*m, func() { s.Set(staff.job(t, "0 * * * *", 0, scheduler.Retry{})) })
		runFor(t, s, 5*h+time.Second)
		staff.check(t, 1*h, 4*h, 5*h)
		guests.check(t, 2*h, 3*h)
	})
}

// Set takes effect at once, not at the next check of the wall clock.
func TestSetTakesEffectAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got, added runs
		s := scheduler.New(got.job(t, "@yearly", 0, scheduler.Retry{}))
		time.AfterFunc(10*time.Second, func() {
			other := added.job(t, "@every 30s", 0, scheduler.Retry{})
			other.Name = "guests"
			s.Set(got.job(t, "@every 20s", 0, scheduler.Retry{}), other)
		})
		runFor(t, s, 45*time.Second)
		got.check(t, 10*time.Second, 30*time.Second)
		added.check(t, 10*time.Second, 40*time.Second)
	})
}

func TestSetWithTheSameSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		job := func() scheduler.Job {
			return got.job(t, "@every 1h", always, scheduler.Retry{Most: 2, FirstWait: 10 * m})
		}
		s := scheduler.New(job())
		for at := 7 * m; at < 95*m; at += 7 * m {
			time.AfterFunc(at, func() { s.Set(job()) })
		}
		runFor(t, s, 95*m)
		got.check(t, 0, 10*m, 30*m, 90*m)
	})
}

func TestSetWithANewSchedule(t *testing.T) {
	for _, test := range []struct {
		spec string
		want []time.Duration
	}{
		{"0 9 * * *", []time.Duration{6 * h, 33 * h}}, // not at noon: 9 was not missed
		{"@every 8h", []time.Duration{6 * h, 14 * h, 22 * h, 30 * h}},
		{"@every 2h", []time.Duration{6 * h, 12 * h, 14 * h, 16 * h}},
	} {
		t.Run(test.spec, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got runs
				s := scheduler.New(got.job(t, "0 6 * * *", 0, scheduler.Retry{}))
				time.AfterFunc(12*h, func() { s.Set(got.job(t, test.spec, 0, scheduler.Retry{})) })
				runFor(t, s, test.want[len(test.want)-1]+time.Second)
				got.check(t, test.want...)
			})
		})
	}
	t.Run("drops a pending retry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var got runs
			job := func(spec string) scheduler.Job {
				return got.job(t, spec, always, scheduler.Retry{Most: 1, FirstWait: 10 * m})
			}
			s := scheduler.New(job("0 6 * * *"))
			time.AfterFunc(6*h+m, func() { s.Set(job("0 7 * * *")) })
			runFor(t, s, 7*h+30*m)
			got.check(t, 6*h, 7*h, 7*h+10*m)
		})
	})
}

// Time zones are compared by name: loading one again doesn't change the schedule.
func TestSetWithANewZone(t *testing.T) {
	for name, want := range map[string][]time.Duration{
		"UTC":            {9 * h, 9*h + 10*m, 33 * h},
		"Asia/Kathmandu": {9 * h, 27*h + 15*m, 27*h + 25*m},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got runs
			job := func(name string) scheduler.Job {
				job := got.job(t, "0 9 * * *", always, scheduler.Retry{Most: 1, FirstWait: 10 * m})
				var err error
				if job.Schedule, err = scheduler.Parse("0 9 * * *", zone(t, name)); err != nil {
					t.Fatal(err)
				}
				return job
			}
			s := scheduler.New(job("UTC"))
			time.AfterFunc(9*h+m, func() { s.Set(job(name)) })
			runFor(t, s, 33*h+m)
			got.check(t, want...)
		})
	}
}

func TestSetDuringARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var old, replaced runs
		slow := old.job(t, "0 * * * *", 0, scheduler.Retry{})
		record := slow.Run
		slow.Run = func(ctx context.Context) error {
			time.Sleep(90 * m)
			_ = record(ctx) // its end
			return ctx.Err()
		}
		s := scheduler.New(slow)
		time.AfterFunc(70*m, func() { s.Set() })
		time.AfterFunc(80*m, func() { s.Set(replaced.job(t, "*/20 * * * *", 0, scheduler.Retry{})) })
		runFor(t, s, 3*h+time.Second)
		old.check(t, 150*m)
		replaced.check(t, 160*m, 180*m)
	})
}

// Delayed adds a delay to each due time. Of an interval, it delays only the first start.
func TestDelayed(t *testing.T) {
	delayed := func(j scheduler.Job) scheduler.Job {
		j.Schedule = scheduler.Delayed(j.Schedule, 10*m)
		return j
	}
	synctest.Test(t, func(t *testing.T) {
		var hourly, interval runs
		other := delayed(interval.job(t, "@every 1h", 0, scheduler.Retry{}))
		other.Name = "guests"
		s := scheduler.New(delayed(hourly.job(t, "0 * * * *", 0, scheduler.Retry{})), other)
		time.AfterFunc(65*m, func() { s.Set(delayed(hourly.job(t, "0 * * * *", 0, scheduler.Retry{})), other) }) // changes nothing
		runFor(t, s, 3*h)
		hourly.check(t, 10*m, 70*m, 130*m)
		interval.check(t, 10*m, 70*m, 130*m)
	})
}
