package dpopauth_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/dpopauth"
)

// bubble runs f in a synctest bubble, with an org in memory and a transport for it.
func bubble(t *testing.T, name string, f func(t *testing.T, o *org, tr *dpopauth.Transport), set ...func(*dpopauth.Config)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := newPipeOrg(t)
			f(t, o, o.transport(set...))
		})
	})
}

// ahead returns a clock that is d ahead of the local one.
func ahead(d time.Duration) func() time.Time {
	return func() time.Time { return time.Now().Add(d) }
}

func TestD20_TimesFollowTheServersClock(t *testing.T) {
	for _, offset := range []time.Duration{5 * time.Minute, -5 * time.Minute, 14 * time.Minute} {
		bubble(t, fmt.Sprint("server ahead by ", offset), func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.now = ahead(offset)
			mustGet(t, tr, o.URL+"/a")
			o.wantRequests(2, 1) // the first is rejected, the second has the corrected time
			mustGet(t, tr, o.URL+"/a")
			o.wantRequests(2, 2)
			for _, s := range append(o.tokenRequests()[1:], o.apiRequests()...) {
				if late := o.now().Unix() - s.iat(); late < 0 || late > 2 {
					t.Errorf("iat is %d s behind the server's clock", late)
				}
			}
			exp, _ := o.tokenRequests()[1].claims["exp"].(interface{ Int64() (int64, error) }).Int64()
			if life := exp - o.now().Unix(); life < 290 || life > 300 {
				t.Errorf("the assertion ends in %d s by the server's clock, want 5 min", life)
			}
		})
	}
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		bubble(t, fmt.Sprint("the wall clock steps by ", step), func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.life = 24 * time.Hour
			mustGet(t, tr, o.URL+"/a")
			dpopauth.StepWall(tr, step)
			mustGet(t, tr, o.URL+"/a")
			if n := len(o.apiRequests()); n > 3 {
				t.Errorf("API requests = %d, want at most 3", n)
			}
		})
		bubble(t, fmt.Sprint("the server's clock steps, and the local clock a minute later, by ", step), func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.life = 24 * time.Hour
			mustGet(t, tr, o.URL+"/a")
			o.now = ahead(step)
			dpopauth.StepWall(tr, step) // both clocks agree again
			mustGet(t, tr, o.URL+"/a")
			o.wantRequests(1, 3) // one was rejected
			mustGet(t, tr, o.URL+"/a")
			o.wantRequests(1, 4)
		})
	}
	bubble(t, "the wall clock is wrong and the server's is set", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.life = 24 * time.Hour
		mustGet(t, tr, o.URL+"/a")
		dpopauth.StepWall(tr, time.Hour) // the Date is near the monotonic clock alone
		o.now = ahead(5 * time.Minute)
		mustGet(t, tr, o.URL+"/a")
		o.wantRequests(1, 3)
	})
	bubble(t, "the machine sleeps for an hour", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.life = 24 * time.Hour
		mustGet(t, tr, o.URL+"/a")
		time.Sleep(time.Hour)
		dpopauth.Suspend(tr, time.Hour)
		mustGet(t, tr, o.URL+"/a")
		o.wantRequests(1, 3)
		mustGet(t, tr, o.URL+"/a")
		o.wantRequests(1, 4)
	})
}

func TestD21_IgnoredAndImpreciseDates(t *testing.T) {
	for name, spoil := range map[string]func(http.ResponseWriter){
		"from a cache":   func(w http.ResponseWriter) { w.Header().Set("Age", "7") },
		"malformed":      func(w http.ResponseWriter) { w.Header().Set("Date", "yesterday") },
		"given twice":    func(w http.ResponseWriter) { w.Header().Add("Date", w.Header().Get("Date")) },
		"absent":         func(w http.ResponseWriter) { w.Header()["Date"] = nil },
		"of a redirect":  func(w http.ResponseWriter) { w.Header().Set("Location", "/b"); w.WriteHeader(302) },
		"beyond a bound": func(w http.ResponseWriter) { w.Header().Set("Date", "Fri, 01 Jan 2100 00:00:00 GMT") },
	} {
		bubble(t, name, func(t *testing.T, o *org, tr *dpopauth.Transport) {
			mustGet(t, tr, o.URL+"/a")
			before := tr.Status().Offset
			o.now = ahead(5 * time.Minute)
			o.past = time.Hour
			o.api = func(w http.ResponseWriter, s *seen) bool { spoil(w); return name == "of a redirect" }
			if _, _, err := get(t, tr, o.URL+"/a"); err != nil {
				t.Fatal(err)
			}
			if got := tr.Status().Offset; got != before {
				t.Errorf("offset = %v, want %v as before", got, before)
			}
		})
	}
	bubble(t, "Age of 0 is fresh", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.now = ahead(5 * time.Minute)
		o.past = time.Hour
		o.token = func(w http.ResponseWriter, _ *seen) bool { w.Header().Set("Age", "0"); return false }
		mustGet(t, tr, o.URL+"/a")
		if got := tr.Status().Offset; got < 5*time.Minute-2*time.Second || got > 5*time.Minute {
			t.Errorf("offset = %v, want nearly 5 min", got)
		}
	})
	for _, when := range []string{"at its start", "at its end"} {
		bubble(t, "of a slow response, dated "+when, func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.past = 15 * time.Second
			o.now = ahead(time.Minute)
			slow := func(w http.ResponseWriter, _ *seen) bool {
				time.Sleep(10 * time.Second)
				if when == "at its end" {
					w.Header().Set("Date", o.now().UTC().Format(http.TimeFormat))
				}
				return false
			}
			o.token, o.api = slow, slow
			for range 3 {
				mustGet(t, tr, o.URL+"/a")
			}
			o.wantRequests(2, 3) // no proof was dated in the server's future
		})
	}
	bubble(t, "a slow response is less precise", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		mustGet(t, tr, o.URL+"/a")
		time.Sleep(15 * time.Minute) // so that the sample is old
		o.api = func(w http.ResponseWriter, _ *seen) bool {
			w.Header().Set("Date", o.now().UTC().Format(http.TimeFormat))
			time.Sleep(20 * time.Second)
			return false
		}
		mustGet(t, tr, o.URL+"/a")
		if got := tr.Status().Offset; got.Abs() > 2*time.Second {
			t.Errorf("offset = %v, want none", got)
		}
	})
	for _, offset := range []time.Duration{-1900 * time.Millisecond, -500 * time.Millisecond, 500 * time.Millisecond, 1900 * time.Millisecond} {
		bubble(t, fmt.Sprint("within 2 s: ", offset), func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.now = ahead(offset)
			mustGet(t, tr, o.URL+"/a")
			for range 20 {
				time.Sleep(170 * time.Millisecond)
				mustGet(t, tr, o.URL+"/a")
				list := o.apiRequests()
				s := list[len(list)-1]
				if s.iat() > s.at.Unix() {
					t.Errorf("iat went forward by %d s", s.iat()-s.at.Unix())
				}
			}
		})
	}
}

// One wrong Date of several doesn't change the offset. If all have changed, the
// offset follows.
func TestD21_OffsetOfSeveralDates(t *testing.T) {
	for _, wrong := range []time.Duration{14 * time.Minute, -14 * time.Minute, 47 * time.Hour} {
		for first := 1; first <= 3; first++ { // the token request, and the first requests to the API
			bubble(t, fmt.Sprintf("response %d dated %v ahead", first, wrong), func(t *testing.T, o *org, tr *dpopauth.Transport) {
				o.past, o.lax = time.Hour, true
				n := 0
				spoil := func(w http.ResponseWriter, _ *seen) bool {
					if n++; n == first {
						w.Header().Set("Date", time.Now().Add(wrong).UTC().Format(http.TimeFormat))
					}
					return false
				}
				o.token, o.api = spoil, spoil
				for range 3 {
					_, _, _ = get(t, tr, o.URL+"/a") // a proof that is dated ahead is rejected
				}
				if got := tr.Status().Offset; got.Abs() > 2*time.Second {
					t.Errorf("offset = %v, want none", got)
				}
			})
		}
	}
	bubble(t, "the server's clock is set", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		for range 9 {
			mustGet(t, tr, o.URL+"/a")
		}
		o.now = ahead(5 * time.Minute)
		for range 9 {
			mustGet(t, tr, o.URL+"/a")
		}
		if got := tr.Status().Offset; got < 5*time.Minute-2*time.Second || got > 5*time.Minute {
			t.Errorf("offset = %v, want nearly 5 min", got)
		}
	})
	bubble(t, "the machine sleeps for an hour", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.life, o.past = 24*time.Hour, 2*time.Hour
		for range 9 {
			mustGet(t, tr, o.URL+"/a")
		}
		time.Sleep(time.Hour)
		dpopauth.Suspend(tr, time.Hour)
		mustGet(t, tr, o.URL+"/a")
		if got := tr.Status().Offset; got.Abs() > 2*time.Second {
			t.Errorf("offset = %v, want none after one response", got)
		}
	})
}

// The Date of one origin doesn't change the times in requests to another.
func TestD21_DateOfAnotherOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, other := newPipeOrg(t), newPipeOrg(t)
		o.past, other.lax = 2*time.Minute, true
		other.now = ahead(10 * time.Minute)
		other.URL = "http://127.0.0.2"
		tr := o.transport(func(c *dpopauth.Config) {
			c.Origins = append(c.Origins, other.URL)
			c.Base.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if strings.HasPrefix(addr, "127.0.0.2:") {
					return other.dial(ctx, network, addr)
				}
				return o.dial(ctx, network, addr)
			}
		})
		mustGet(t, tr, o.URL+"/a")
		for range 3 {
			_, _, _ = get(t, tr, other.URL+"/a") // its proofs are too old, and its tokens unknown
		}
		requests := other.apiRequests()
		if late := other.now().Unix() - requests[len(requests)-1].iat(); late < 0 || late > 2 {
			t.Errorf("iat is %d s behind the other server's clock", late)
		}
		mustGet(t, tr, o.URL+"/a")
		o.revoke()
		mustGet(t, tr, o.URL+"/a")
		for _, s := range append(o.tokenRequests(), o.apiRequests()...) {
			if late := s.at.Unix() - s.iat(); late < 0 || late > 2 {
				t.Errorf("iat is %d s behind the server's clock", late)
			}
		}
		if got := tr.Status().Offset; got.Abs() > 2*time.Second {
			t.Errorf("offset = %v, want that of the first origin", got)
		}
	})
}

func TestD22_OffsetBeyondTheBound(t *testing.T) {
	wantSkew := func(t *testing.T, o *org, err error) {
		t.Helper()
		var skew *dpopauth.ClockSkewError
		if !errors.Is(err, dpopauth.ErrClock) || !errors.As(err, &skew) {
			t.Fatalf("error = %v, want ErrClock", err)
		}
		wantError(t, err, o.now().UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339))
		if hint := asError(t, err).Hint(); !strings.Contains(hint, "NTP") {
			t.Errorf("hint = %q, want NTP in it", hint)
		}
	}
	for _, offset := range []time.Duration{15 * time.Minute, -15 * time.Minute} {
		bubble(t, fmt.Sprint("ahead by no more than ", offset), func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.now = ahead(offset)
			mustGet(t, tr, o.URL+"/a")
			o.wantRequests(2, 1)
		})
	}
	for _, offset := range []time.Duration{15*time.Minute + time.Second, -15*time.Minute - time.Second, 300 * 24 * time.Hour} {
		bubble(t, fmt.Sprint("token endpoint ahead by ", offset), func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.now = ahead(offset)
			_, _, err := get(t, tr, o.URL+"/a")
			wantSkew(t, o, err)
			o.wantRequests(1, 0)
		})
		bubble(t, fmt.Sprint("API ahead by ", offset), func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.api = func(w http.ResponseWriter, s *seen) bool {
				w.Header().Set("Date", o.now().UTC().Format(http.TimeFormat))
				o.challenge(w, 401, "invalid_dpop_proof", "iat is out of range")
				return true
			}
			mustGetToken(t, o, tr)
			o.now = ahead(offset)
			_, _, err := get(t, tr, o.URL+"/a")
			wantSkew(t, o, err)
			if n := len(o.apiRequests()); n != 1 {
				t.Errorf("API requests = %d, want 1", n)
			}
		})
	}
	bubble(t, "false Dates in steps move the time by 15 min at most", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		mustGetToken(t, o, tr)
		offset := 10 * time.Minute
		o.past = 240 * time.Hour
		o.api = func(w http.ResponseWriter, s *seen) bool {
			w.Header().Set("Date", time.Now().Add(offset).UTC().Format(http.TimeFormat))
			offset += 10 * time.Minute
			return true
		}
		for range 10 {
			mustGet(t, tr, o.URL+"/a")
		}
		list := o.apiRequests()
		last := list[len(list)-1]
		if far := time.Unix(last.iat(), 0).Sub(last.at); far > 15*time.Minute {
			t.Errorf("iat is %v ahead of the local clock, want at most 15 min", far)
		}
	})
}

// mustGetToken makes tr fetch its token, with a request that o.api does not get.
func mustGetToken(t *testing.T, o *org, tr *dpopauth.Transport) {
	t.Helper()
	api := o.api
	o.api = func(w http.ResponseWriter, s *seen) bool { return true }
	mustGet(t, tr, o.URL+"/token")
	o.mu.Lock()
	defer o.mu.Unlock()
	o.api, o.apis = api, nil
}

func TestD23_IATIsNeverInTheFuture(t *testing.T) {
	for _, behind := range []time.Duration{0, 40 * time.Millisecond, 500 * time.Millisecond, 990 * time.Millisecond} {
		bubble(t, fmt.Sprint("server behind by ", behind), func(t *testing.T, o *org, tr *dpopauth.Transport) {
			o.now = ahead(-behind)
			for i := range 200 {
				mustGet(t, tr, o.URL+"/a")
				time.Sleep(time.Duration(37*i) * time.Millisecond)
			}
			if n := len(o.apiRequests()); n != 200 {
				t.Errorf("API requests = %d, want 200: proofs were refused", n)
			}
			if n := len(o.tokenRequests()); n != 1 {
				t.Errorf("token requests = %d, want 1", n)
			}
		})
	}
	bubble(t, "the first request of a clock 1.5 s fast is retried", func(t *testing.T, o *org, tr *dpopauth.Transport) {
		o.now = ahead(-1500 * time.Millisecond)
		time.Sleep(100 * time.Millisecond)
		mustGet(t, tr, o.URL+"/a")
		o.wantRequests(2, 1)
	})
}
