package oktaclient_test

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
)

// The law: the offset is never further off than the intervals allow, and with
// answers enough it is right to a few hundredths of a second.
func TestClockConverges(t *testing.T) {
	for _, offset := range []time.Duration{0, 400 * time.Millisecond, -1200 * time.Millisecond, time.Hour, -36 * time.Hour} {
		var c oktaclient.Clock
		random := rand.New(rand.NewPCG(1, 2))
		now := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC) // ours
		for i := range 500 {
			now = now.Add(time.Duration(random.Int64N(int64(3 * time.Second))))
			sent, took := now, time.Duration(random.Int64N(int64(200*time.Millisecond)))
			now = now.Add(took)
			h := http.Header{"X-Okta-Request-Id": {"a"}, "Date": {sent.Add(took / 2).Add(-offset).Format(http.TimeFormat)}}
			c.Observe(sent, now, h)
			got, known := c.Offset()
			if off := (got - offset).Abs(); !known || off > 1200*time.Millisecond || i > 300 && off > 100*time.Millisecond {
				t.Fatalf("after %d answers offset = %v, want %v", i+1, got, offset)
			}
		}
		if got, _ := c.Offset(); offset == 0 && got != 0 {
			t.Errorf("offset = %v where 0 is possible", got)
		}
	}
}

func TestClockSetInBetween(t *testing.T) {
	var c oktaclient.Clock
	okta := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	at := func(ours time.Time) {
		c.Observe(ours, ours, http.Header{"X-Okta-Request-Id": {"a"}, "Date": {okta.Format(http.TimeFormat)}})
	}
	at(okta.Add(time.Minute))
	at(okta.Add(-time.Minute))
	if got, _ := c.Offset(); (got + time.Minute).Abs() > time.Second {
		t.Errorf("offset = %v, want about -1m", got)
	}
}

func TestClockBelievesOktaAlone(t *testing.T) {
	var c oktaclient.Clock
	c.Observe(time.Now(), time.Now(), http.Header{"Date": {time.Unix(0, 0).UTC().Format(http.TimeFormat)}})
	c.Observe(time.Now(), time.Now(), http.Header{"X-Okta-Request-Id": {"a"}, "Date": {"yesterday"}})
	if got, known := c.Offset(); known || got != 0 {
		t.Errorf("offset = %v, %v; want none", got, known)
	}
}

func TestReadingIsDatedByOktasClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ahead = -90 * time.Minute // ours less Okta's
		o := newOrg(95)
		o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
			time.Sleep(700 * time.Millisecond)
			w.Header().Set("Date", time.Now().Add(-ahead).UTC().Format(http.TimeFormat))
			return false
		}
		began := time.Now()
		s, reading := o.read(t, o.clientInProcess(t, nil))
		if (reading.Offset - ahead).Abs() > time.Second {
			t.Errorf("offset = %v, want about %v", reading.Offset, ahead)
		}
		if got := reading.Started.Add(reading.Offset); !got.Equal(began) || reading.Started.Location() != time.UTC {
			t.Errorf("started = %v, want ours %v less the offset, in UTC", reading.Started, began)
		}
		if got := reading.Finished.Sub(reading.Started); got != 11*700*time.Millisecond {
			t.Errorf("took %v, want 7.7s: ten pages, and one that settles", got)
		}
		for i, r := range s.requests {
			if got := r.Time.Sub(reading.Started); got != time.Duration(i)*700*time.Millisecond {
				t.Errorf("request %d sent after %v", i, got)
			}
		}
	})
}
