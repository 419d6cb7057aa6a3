package scheduler_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/scheduler"
)

func TestFailedRunIsTriedAgainWithBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		s := scheduler.New(scheduler.Job{
			Name: "staff", Schedule: parse(t, "0 6 * * *"), Retry: scheduler.Retry{Most: 3, FirstWait: time.Minute},
			Run: func(context.Context) error { got.add(); return errors.New("Okta is down") },
		})
		runFor(t, s, 30*time.Hour+90*time.Second)
		const six = 6 * time.Hour
		got.check(t, six, six+time.Minute, six+3*time.Minute, six+7*time.Minute, 24*time.Hour+six, 24*time.Hour+six+time.Minute)
	})
}

// A wait of nothing would be a loop.
func TestRetryWaitsASecondAtLeast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		s := scheduler.New(scheduler.Job{Name: "staff", Schedule: parse(t, "0 6 * * *"), Retry: scheduler.Retry{Most: 2},
			Run: func(context.Context) error { got.add(); return errors.New("Okta is down") }})
		runFor(t, s, 24*time.Hour)
		got.check(t, 6*time.Hour, 6*time.Hour+time.Second, 6*time.Hour+3*time.Second)
	})
}

// Waits double up to a day.
func TestRetryComesWithinADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		s := scheduler.New(scheduler.Job{Name: "staff", Schedule: parse(t, "@yearly"), Last: midnight.Add(-time.Second), Retry: scheduler.Retry{Most: 3, FirstWait: 20 * time.Hour},
			Run: func(context.Context) error { got.add(); return errors.New("Okta is down") }})
		runFor(t, s, 90*time.Hour)
		got.check(t, 0, 20*time.Hour, 44*time.Hour, 68*time.Hour)
	})
}

func TestRetryEndsWithTheFirstSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		s := scheduler.New(scheduler.Job{
			Name: "staff", Schedule: parse(t, "0 6 * * *"), Retry: scheduler.Retry{Most: 3, FirstWait: time.Minute},
			Run: func(context.Context) error {
				got.add()
				if len(got) == 1 {
					return errors.New("Okta is down")
				}
				return nil
			},
		})
		runFor(t, s, 24*time.Hour)
		got.check(t, 6*time.Hour, 6*time.Hour+time.Minute)
	})
}

// The last run failed, and the process ended: with a minute to wait the next
// one tries again when that is over, at once where it was over before, and not
// at all where the regular time comes first.
func TestRetryThatWasPendingIsNotLostWithTheProcess(t *testing.T) {
	for _, test := range []struct {
		name   string
		failed time.Duration // before midnight
		spec   string
		retry  scheduler.Retry
		want   []time.Duration
	}{
		{"pending", -20 * time.Second, "0 18 * * *", scheduler.Retry{Most: 2, FirstWait: time.Minute}, []time.Duration{40 * time.Second, 2*time.Minute + 40*time.Second}},
		{"over", -time.Hour, "0 18 * * *", scheduler.Retry{Most: 1, FirstWait: time.Minute}, []time.Duration{0}},
		{"not wanted", -20 * time.Second, "0 18 * * *", scheduler.Retry{}, nil},
		{"after the regular time", -20 * time.Second, "*/5 * * * *", scheduler.Retry{Most: 1, FirstWait: 10 * time.Minute}, []time.Duration{0, 5 * time.Minute, 10 * time.Minute}},
		{"missed too", -time.Hour, "30 23 * * *", scheduler.Retry{Most: 1, FirstWait: time.Minute}, []time.Duration{0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got runs
			s := scheduler.New(scheduler.Job{
				Name: "staff", Schedule: parse(t, test.spec), Retry: test.retry, Last: midnight.Add(test.failed - time.Second), Failed: midnight.Add(test.failed),
				Run: func(context.Context) error {
					got.add()
					if len(test.want) > 1 && len(got) == 1 {
						return errors.New("Okta is down")
					}
					return nil
				},
			})
			runFor(t, s, 14*time.Minute)
			t.Log(test.name)
			got.check(t, test.want...)
		})
	}
}

func TestRetryNeverDisplacesTheNextRegularTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got runs
		s := scheduler.New(scheduler.Job{
			Name: "staff", Schedule: parse(t, "*/5 * * * *"), Retry: scheduler.Retry{Most: 9, FirstWait: 2 * time.Minute},
			Run: func(context.Context) error { got.add(); return errors.New("Okta is down") },
		})
		runFor(t, s, 14*time.Minute)
		got.check(t, 5*time.Minute, 7*time.Minute, 10*time.Minute, 12*time.Minute)
	})
}
