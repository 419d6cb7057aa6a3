package oktaclient_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
)

// All times of a read are local. ClockOffset is called once, after the first
// response.
func TestTimesAreLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ahead = 90 * time.Minute
		o, calls := newOrg(95), 0
		o.hook = func(n int, w http.ResponseWriter, r *http.Request) bool {
			time.Sleep(700 * time.Millisecond)
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			return false
		}
		began := time.Now()
		s, result := o.read(t, o.clientInProcess(t, func(cfg *oktaclient.Config) {
			cfg.ClockOffset = func() time.Duration { calls++; return ahead }
		}))
		if result.ClockOffset != ahead || calls != 1 || !result.Started.Equal(began) {
			t.Errorf("result = %+v, %d calls; want one call, a start at %v and an offset of %v", result, calls, began, ahead)
		}
		if got := result.Finished.Sub(result.Started).Truncate(time.Microsecond); got != 11*700*time.Millisecond {
			t.Errorf("took %v, want 7.7s: ten pages, and one settling pass", got)
		}
		for i, r := range s.requests {
			if got := r.Time.Sub(result.Started).Truncate(time.Microsecond); got != time.Duration(i)*700*time.Millisecond {
				t.Errorf("request %d sent after %v", i, got)
			}
		}
	})
}

// An impossible Date ends the read, unless a retry has a valid one. It changes
// no time and no wait.
func TestImpossibleDate(t *testing.T) {
	for _, year := range []int{1, 1970, 9999} {
		for _, forever := range []bool{false, true} {
			t.Run(fmt.Sprintf("year %d, forever %t", year, forever), func(t *testing.T) {
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
						want := fmt.Sprintf("okta: response is dated %04d-02-03T04:05:06Z, and the local clock shows 2000-", year)
						if got := err.Error(); !strings.HasPrefix(got, want) || !strings.Contains(got, "Z: more than 48h0m0s apart on page 1, tried 5 times (request req") || err.Class() != "wrong Date" {
							t.Errorf("error = %q of class %q, want %s", got, err.Class(), want)
						}
						return
					}
					s, result := o.read(t, c)
					took := result.Finished.Sub(result.Started)
					if !result.Started.Equal(began) || took < time.Minute || took > 2*time.Minute {
						t.Errorf("began at %v, took %v; want %v and a minute", result.Started, took, began)
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
