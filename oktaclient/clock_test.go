package oktaclient_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
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

// A Date that can't be anybody's ends a reading, unless the next answer has a
// better one; it dates nothing and drives no wait.
func TestAbsurdDate(t *testing.T) {
	for _, year := range []int{1, 1970, 9999} {
		for _, forever := range []bool{false, true} {
			t.Run(fmt.Sprintf("year %d, for ever %t", year, forever), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := newOrg(95)
					o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
						if n == 1 || n == 4 || n == 5 || forever {
							w.Header().Set("Date", time.Date(year, 2, 3, 4, 5, 6, 0, time.UTC).Format(http.TimeFormat))
						}
						if n == 4 && !forever {
							w.Header().Set("Retry-After", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
							fail(w, 429, "E0000047")
						}
						return n == 4 && !forever
					}
					c, began := o.clientInProcess(t, nil), time.Now()
					if forever {
						_, err := readError(t, c)
						want := fmt.Sprintf("okta: answer is dated %04d-02-03T04:05:06Z, and our clock shows 2000-", year)
						if got := err.Error(); !strings.HasPrefix(got, want) || !strings.Contains(got, "Z: more than 48h0m0s apart on page 1, tried 5 times (request req") || err.Hint() == "" {
							t.Errorf("error = %q, hint %q; want %s", got, err.Hint(), want)
						}
						return
					}
					s, reading := o.read(t, c)
					took := reading.Finished.Sub(reading.Started)
					if reading.Offset != 0 || !reading.Started.Equal(began) || took < time.Minute || took > 2*time.Minute {
						t.Errorf("began at %v, took %v, offset %v; want %v and a minute", reading.Started, took, reading.Offset, began)
					}
					for i, r := range s.requests {
						if wrong := i == 0 || i == 4; (r.Error == "wrong Date") != wrong {
							t.Errorf("request %d: %+v", i+1, r)
						}
					}
				})
			})
		}
	}
}
