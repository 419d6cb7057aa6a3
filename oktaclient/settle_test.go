package oktaclient_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
)

// settled configures a sandbox whose users changed long ago.
func settled(users int) sandbox.Config {
	return sandbox.Config{Users: users, Latency: time.Millisecond, Epoch: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// The result has the new state of users that change during the read, with any
// difference of the clocks.
func TestSettleFindsChanges(t *testing.T) {
	for concurrency, offset := range map[int]time.Duration{1: -time.Hour, 4: time.Hour, 5: 0} {
		synctest.Test(t, func(t *testing.T) {
			cfg := settled(400)
			cfg.ClockOffset = offset
			b := newSandbox(t, cfg)
			b.org.OnRequest(func(n int, _ *http.Request) {
				switch n {
				case 3, 10, 20:
					b.org.Join(15)
					b.org.Move(10)
					b.org.Deactivate(5)
					b.org.Reactivate(5)
				}
			})
			s, passes := &sink{}, 0
			q := everyone
			q.OnPhase = onSettle(func() { passes++ })
			result, err := b.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency = concurrency }).Read(t.Context(), q, s)
			if err != nil {
				t.Fatal(err)
			}
			if passes == 0 {
				t.Error("OnPhase was not called")
			}
			if !result.Settled || result.Rows != len(s.users)+len(s.outside) {
				t.Errorf("result = %+v, %d users and %d outside", result, len(s.users), len(s.outside))
			}
			checkResult(t, b.org, s)
		})
	}
}

// A user that stops matching the query during the read is passed to Outside. A user
// that starts to match it is in the result.
func TestSettleUpdatesTheSelection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSandbox(t, settled(400))
		search := `profile.department eq "Sales"`
		b.org.OnRequest(func(n int, _ *http.Request) {
			if n%3 == 0 && n < 20 {
				b.org.Move(25)
				b.org.Deactivate(3)
				b.org.Suspend(2)
			}
		})
		for _, q := range []oktaclient.Query{{Resource: oktaclient.Users, Search: search}, {Resource: oktaclient.Users}} {
			s := &sink{}
			result, err := b.client(t, nil).Read(t.Context(), q, s)
			if err != nil || !result.Settled {
				t.Fatalf("settled = %t, %v", result.Settled, err)
			}
			var want []string
			for id, text := range b.org.UsersJSON() {
				in := q.Search == "" || strings.Contains(string(text), `"department":"Sales"`)
				if in && !strings.Contains(string(text), `"status":"DEPROVISIONED"`) {
					want = append(want, id)
					if got := s.of()[id].JSON; !bytes.Equal(got, text) {
						t.Errorf("user %s = %s, want %s", id, got, text)
					}
				}
			}
			if got := len(s.of()); got != len(want) {
				t.Errorf("%d users, want %d", got, len(want))
			}
		}
	})
}

// The read of an org that never stops changing ends, and isn't settled.
func TestSettleEndsUnsettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSandbox(t, settled(100))
		b.org.OnRequest(func(int, *http.Request) {
			b.org.Set(b.org.Move(1)[0], "profile.title", []byte(`"x"`))
		})
		result, err := b.client(t, func(cfg *oktaclient.Config) { cfg.PageSize = 200 }).Read(t.Context(), everyone, &sink{})
		if err != nil || result.Settled || result.Requests != 2+10 {
			t.Errorf("result = %+v, %v; want 10 passes and not settled", result, err)
		}
	})
}

// failingUsers fails each list with certain users, like Okta after a change of the
// profile schema.
type failingUsers struct {
	http.RoundTripper
	ids    []string
	status int
	code   string
}

func (f failingUsers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := f.RoundTripper.RoundTrip(r)
	if err != nil || r.URL.Path != "/api/v1/users" {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if slices.ContainsFunc(f.ids, func(id string) bool { return bytes.Contains(body, []byte(`{"id":"`+id)) }) {
		resp.StatusCode = f.status
		body = []byte(fmt.Sprintf(`{"errorCode":%q}`, f.code))
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

// A page that Okta can't return is halved until only the cause is left. The error
// has its range of lastUpdated.
func TestPageThatFails(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		for _, test := range []struct {
			status int
			code   string
		}{{409, "E0000145"}, {500, "E0000009"}, {504, "E0000067"}} {
			t.Run(fmt.Sprint(test.status, " with ", concurrency), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newSandbox(t, settled(300))
					var bad, updated string
					for id, text := range b.org.UsersJSON() {
						if bad == "" || strings.Compare(id, bad) > 0 && len(id)%2 == 0 {
							_, rest, _ := strings.Cut(string(text), `"lastUpdated":"`)
							bad, updated = id, rest[:24]
						}
					}
					c := newClient(t, b.org.URL(), &http.Client{Transport: failingUsers{b, []string{bad}, test.status, test.code}}, func(cfg *oktaclient.Config) {
						cfg.PageSize, cfg.Concurrency, cfg.RateLimitShare = 50, concurrency, 1
					})
					_, err := readError(t, c)
					want := updated + " to before"
					if err.Code != test.code || err.RequestID == "" || !strings.Contains(err.Error(), "last updated from "+want) {
						t.Errorf("error = %v, want users last updated from %s", err, want)
					}
				})
			})
		}
	}
}

// A page that Okta can't return in time, or that is too large, is read in parts.
func TestPageTooLargeOrTooSlow(t *testing.T) {
	for concurrency, large := range map[int]bool{1: false, 3: true, 4: false} {
		synctest.Test(t, func(t *testing.T) {
			b := newSandbox(t, settled(300))
			transport := &failingPages{b, 12, large}
			c := newClient(t, b.org.URL(), &http.Client{Transport: transport}, func(cfg *oktaclient.Config) {
				cfg.PageSize, cfg.Concurrency, cfg.RateLimitShare = 50, concurrency, 1
			})
			s := &sink{}
			if _, err := c.Read(t.Context(), everyone, s); err != nil {
				t.Fatal(err)
			}
			checkResult(t, b.org, s)
		})
	}
}

// failingPages fails a list with more users than most, or makes it too large.
type failingPages struct {
	http.RoundTripper
	most  int
	large bool
}

func (f *failingPages) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := f.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	switch {
	case bytes.Count(body, []byte(`{"id":"00u`)) <= f.most:
	case f.large:
		body = bytes.Repeat([]byte(" "), 9<<20)
	default:
		resp.StatusCode, body = 504, nil
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

// The read ends even if some range always fails, however small the spans become.
func TestSpansThatAlwaysFail(t *testing.T) {
	bounds := regexp.MustCompile(`"(.*?)".*?lt "(.*?)"`)
	for _, test := range []struct {
		name  string
		fails func(filter string) bool
		most  int // requests
	}{
		{"without an end", func(filter string) bool { return !strings.Contains(filter, " lt ") }, 100},
		{"over a second", func(filter string) bool {
			found := bounds.FindStringSubmatch(filter)
			if found == nil {
				return true
			}
			from, _ := time.Parse(time.RFC3339, found[1])
			to, _ := time.Parse(time.RFC3339, found[2])
			return to.Sub(from) > time.Second
		}, 25_000},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := newOrg(0)
			o.hook = func(_ int, w http.ResponseWriter, r *http.Request) bool {
				time.Sleep(10 * time.Millisecond)
				fails := test.fails(r.URL.Query().Get("filter"))
				if fails {
					fail(w, 409, "E0000145")
				}
				return fails
			}
			_, err := readError(t, o.clientInProcess(t, nil))
			if err.Code != "E0000145" || o.count() > test.most {
				t.Errorf("%s: error = %v after %d requests, want E0000145 after at most %d", test.name, err, o.count(), test.most)
			}
		})
	}
}

// pushed returns an org in which 30 users just changed in one millisecond, and then
// 8 one after the other, and a client that reads pages of 10.
func pushed(t *testing.T, wrap func(http.RoundTripper) http.RoundTripper) (org *sandbox.Org, c *oktaclient.Client, at string) {
	b := newSandbox(t, settled(150))
	ids := slices.Sorted(maps.Keys(maps.Collect(b.org.UsersJSON())))
	for i, id := range slices.Concat(ids[8:38], ids[:8]) {
		if i >= 30 {
			time.Sleep(time.Millisecond)
		}
		if err := b.org.Set(id, "profile.title", []byte(`"x"`)); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := b.org.User(ids[8])
	_, rest, _ := strings.Cut(string(text), `"lastUpdated":"`)
	return b.org, newClient(t, b.org.URL(), &http.Client{Transport: wrap(b)}, func(cfg *oktaclient.Config) { cfg.RateLimitShare = 1 }), rest[:24]
}

// Settling reads several pages only for users of one millisecond.
func TestSettleCutsToTheMillisecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		org, c, at := pushed(t, func(b http.RoundTripper) http.RoundTripper { return b })
		q, s, pages := everyone, &sink{}, -1
		q.OnPhase = onSettle(func() {
			if pages < 0 {
				pages = len(s.requests)
			}
		})
		if _, err := c.Read(t.Context(), q, s); err != nil {
			t.Fatal(err)
		}
		checkResult(t, org, s)
		later := map[string]int{}
		for _, r := range s.requests[pages:] {
			if u, _ := url.Parse(r.Path); u.Query().Has("after") {
				later[u.Query().Get("filter")]++
			}
		}
		first, _ := time.Parse(time.RFC3339, at)
		alone := fmt.Sprintf(`lastUpdated ge %q and lastUpdated lt %q`, at, first.Add(time.Millisecond).Format("2006-01-02T15:04:05.000Z"))
		if later[alone] == 0 || len(later) != 1 {
			t.Errorf("pages after the first by filter = %v, want only of %s", later, alone)
		}
	})
}

// If one of these pages fails, the error has that millisecond.
func TestPageOfAMillisecondThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var transport switched
		_, c, at := pushed(t, func(b http.RoundTripper) http.RoundTripper { transport.RoundTripper = b; return &transport })
		q := everyone
		q.OnPhase = onSettle(func() { transport.on = true })
		_, err := c.Read(t.Context(), q, &sink{})
		e, ok := errors.AsType[*oktaclient.Error](err)
		if !ok || e.Code != "E0000145" || !strings.Contains(err.Error(), "last updated from "+at) || e.To.Sub(e.From) != time.Millisecond {
			t.Errorf("Read() = %v, want users last updated from %s to a millisecond later", err, at)
		}
	})
}

// switched fails later pages once it is on.
type switched struct {
	http.RoundTripper
	on bool
}

func (s *switched) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil && s.on && r.URL.Query().Has("after") {
		resp.StatusCode, resp.Body = 409, io.NopCloser(strings.NewReader(`{"errorCode":"E0000145"}`))
	}
	return resp, err
}

// Each pass looks back 5 minutes from the start of the pass before.
func TestSettleLooksBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSandbox(t, settled(9))
		b.org.OnRequest(func(n int, _ *http.Request) {
			if n == 2 { // the first pass
				b.org.Join(1)
			}
			time.Sleep(50 * time.Second)
		})
		var passes []time.Time
		q, s := oktaclient.Query{Resource: oktaclient.Users}, &sink{}
		q.OnPhase = onSettle(func() { passes = append(passes, time.Now()) })
		result, err := b.client(t, nil).Read(t.Context(), q, s)
		if err != nil || !result.Settled || len(passes) < 2 {
			t.Fatalf("result = %+v in %d passes, %v", result, len(passes), err)
		}
		for i, r := range s.requests[len(s.requests)-len(passes):] {
			since := result.Started
			if i > 0 {
				since = passes[i-1]
			}
			u, _ := url.Parse(r.Path)
			from, err := time.Parse(`lastUpdated ge "2006-01-02T15:04:05.000Z"`, u.Query().Get("filter"))
			if back := since.Sub(from); err != nil || back < 5*time.Minute || back > 5*time.Minute+time.Second { // a Date has whole seconds
				t.Errorf("pass %d requests %s, %v before %v, want 5m", i+1, r.Path, back, since)
			}
		}
	})
}
