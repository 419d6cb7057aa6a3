package scheduler_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/scheduler"
)

// job is one that notes when it runs.
func (r *runs) job(t *testing.T, name, spec string) scheduler.Job {
	return scheduler.Job{Name: name, Schedule: parse(t, spec), Run: func(context.Context) error { r.add(); return nil }}
}

func TestSetStartsAddedJobsAndEndsRemovedOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var staff, guests runs
		s := scheduler.New(staff.job(t, "staff", "0 * * * *"))
		time.AfterFunc(90*time.Minute, func() { s.Set(guests.job(t, "guests", "0 * * * *")) })
		time.AfterFunc(210*time.Minute, func() { s.Set(staff.job(t, "staff", "0 * * * *")) })
		runFor(t, s, 5*time.Hour+time.Second)
		staff.check(t, 1*time.Hour, 4*time.Hour, 5*time.Hour)
		guests.check(t, 2*time.Hour, 3*time.Hour)
	})
}

func TestSetKeepsDueTimesAndRetriesOfAJobWhoseScheduleStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		job := func() scheduler.Job {
			return scheduler.Job{Name: "staff", Schedule: parse(t, "@every 1h"), Retry: scheduler.Retry{Most: 2, FirstWait: 10 * time.Minute},
				Run: func(context.Context) error { got.add(); return errors.New("Okta is down") }}
		}
		s := scheduler.New(job())
		for at := 7 * time.Minute; at < 95*time.Minute; at += 7 * time.Minute {
			time.AfterFunc(at, func() { s.Set(job()) })
		}
		runFor(t, s, 95*time.Minute)
		got.check(t, 0, 10*time.Minute, 30*time.Minute, 90*time.Minute)
	})
}

// Not at the next look at the clock, which may be a minute off.
func TestSetIsNoticedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got, added runs
		s := scheduler.New(got.job(t, "staff", "@yearly"))
		time.AfterFunc(10*time.Second, func() { s.Set(got.job(t, "staff", "@every 20s"), added.job(t, "guests", "@every 30s")) })
		runFor(t, s, 45*time.Second)
		got.check(t, 10*time.Second, 30*time.Second)
		added.check(t, 10*time.Second, 40*time.Second)
	})
}

// Zones go by their names: one that was read again is no other.
func TestNewZoneIsANewSchedule(t *testing.T) {
	for name, want := range map[string][]time.Duration{
		"UTC":            {9 * time.Hour, 9*time.Hour + 10*time.Minute, 33 * time.Hour},
		"Asia/Kathmandu": {9 * time.Hour, 27*time.Hour + 15*time.Minute, 27*time.Hour + 25*time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got runs
			job := func(name string) scheduler.Job {
				when, err := scheduler.Parse("0 9 * * *", zone(t, name))
				if err != nil {
					t.Fatal(err)
				}
				return scheduler.Job{Name: "staff", Schedule: when, Retry: scheduler.Retry{Most: 1, FirstWait: 10 * time.Minute},
					Run: func(context.Context) error { got.add(); return errors.New("Okta is down") }}
			}
			s := scheduler.New(job("UTC"))
			time.AfterFunc(9*time.Hour+time.Minute, func() { s.Set(job(name)) })
			runFor(t, s, 33*time.Hour+time.Minute)
			got.check(t, want...)
		})
	}
}

func TestNewScheduleDropsAPendingRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		job := func(spec string) scheduler.Job {
			return scheduler.Job{Name: "staff", Schedule: parse(t, spec), Retry: scheduler.Retry{Most: 1, FirstWait: 10 * time.Minute},
				Run: func(context.Context) error { got.add(); return errors.New("Okta is down") }}
		}
		s := scheduler.New(job("0 6 * * *"))
		time.AfterFunc(6*time.Hour+time.Minute, func() { s.Set(job("0 7 * * *")) })
		runFor(t, s, 7*time.Hour+30*time.Minute)
		got.check(t, 6*time.Hour, 7*time.Hour, 7*time.Hour+10*time.Minute)
	})
}

func TestNewScheduleCountsFromNowAndAnIntervalFromTheLastStart(t *testing.T) {
	for _, test := range []struct {
		spec string
		want []time.Duration
	}{
		{"0 9 * * *", []time.Duration{6 * time.Hour, 33 * time.Hour}}, // not at noon, as if 9 had been missed
		{"@every 8h", []time.Duration{6 * time.Hour, 14 * time.Hour, 22 * time.Hour, 30 * time.Hour}},
		{"@every 2h", []time.Duration{6 * time.Hour, 12 * time.Hour, 14 * time.Hour, 16 * time.Hour}},
	} {
		t.Run(test.spec, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got runs
				s := scheduler.New(got.job(t, "staff", "0 6 * * *"))
				time.AfterFunc(12*time.Hour, func() { s.Set(got.job(t, "staff", test.spec)) })
				runFor(t, s, test.want[len(test.want)-1]+time.Second)
				got.check(t, test.want...)
			})
		})
	}
}

func TestRunUnderWayGoesOnAndTheNextStartWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var old, replaced runs
		slow := old.job(t, "staff", "0 * * * *")
		slow.Run = func(ctx context.Context) error {
			time.Sleep(90 * time.Minute)
			old.add() // when it ended
			return ctx.Err()
		}
		s := scheduler.New(slow)
		time.AfterFunc(70*time.Minute, func() { s.Set() })
		time.AfterFunc(80*time.Minute, func() { s.Set(replaced.job(t, "staff", "*/20 * * * *")) })
		runFor(t, s, 3*time.Hour+time.Second)
		old.check(t, 150*time.Minute)
		replaced.check(t, 160*time.Minute, 180*time.Minute)
	})
}
