package oktaclient_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
)

// settled is a sandbox whose people were last changed long ago.
func settled(users int) sandbox.Config {
	return sandbox.Config{Users: users, Latency: time.Millisecond, Epoch: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// Whoever changes while the pages are read is in the reading as they are then,
// whatever the difference of the clocks.
func TestSettleFindsWhoChanged(t *testing.T) {
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
			reading, err := b.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency = concurrency }).Read(t.Context(), q, s)
			if err != nil {
				t.Fatal(err)
			}
			if passes == 0 {
				t.Error("told of no pass")
			}
			if !reading.Settled || reading.Rows != len(s.users)+len(s.outside) {
				t.Errorf("reading = %+v, %d users and %d outside", reading, len(s.users), len(s.outside))
			}
			checkReading(t, b.org, s)
		})
	}
}

// Who was read and then left what the query is of is told of as outside, and
// who came into it is not missed.
func TestSettleDropsWhoLeft(t *testing.T) {
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
			reading, err := b.client(t, nil).Read(t.Context(), q, s)
			if err != nil || !reading.Settled {
				t.Fatalf("settled = %t, %v", reading.Settled, err)
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

// An org in which somebody changes all the time is read to an end, and the
// reading says that it did not settle.
func TestSettleGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSandbox(t, settled(100))
		b.org.OnRequest(func(int, *http.Request) {
			b.org.Set(b.org.Move(1)[0], "profile.title", []byte(`"x"`))
		})
		reading, err := b.client(t, func(cfg *oktaclient.Config) { cfg.PageSize = 200 }).Read(t.Context(), everyone, &sink{})
		if err != nil || reading.Settled || reading.Requests != 2+10 {
			t.Errorf("reading = %+v, %v; want 10 passes and not settled", reading, err)
		}
	})
}

// A reading of an org at rest costs one request more.
func TestSettlingAnOrgAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSandbox(t, settled(1000))
		s := &sink{}
		reading, err := b.client(t, func(cfg *oktaclient.Config) { cfg.PageSize = 200 }).Read(t.Context(), everyone, s)
		if err != nil || !reading.Settled || reading.Requests != 5+1+1 || reading.Rows != 1000 {
			t.Errorf("reading = %+v, %v; want 7 requests", reading, err)
		}
	})
}

// spoilt fails each list that holds a certain user, as Okta does where the
// schema has changed under old data.
type spoilt struct {
	http.RoundTripper
	ids    []string
	status int
	code   string
}

func (s spoilt) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err != nil || r.URL.Path != "/api/v1/users" {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if slices.ContainsFunc(s.ids, func(id string) bool { return bytes.Contains(body, []byte(`{"id":"`+id)) }) {
		resp.StatusCode = s.status
		body = []byte(fmt.Sprintf(`{"errorCode":%q}`, s.code))
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

// The page that can't be had is cut until all is read but the user, whose time
// of lastUpdated the error names.
func TestPageThatCantBeHad(t *testing.T) {
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
					c := newClient(t, b.org.URL(), &http.Client{Transport: spoilt{b, []string{bad}, test.status, test.code}}, func(cfg *oktaclient.Config) {
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

// A page that is only too heavy goes in parts.
func TestHeavyPage(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			b := newSandbox(t, settled(300))
			heavy := &heavy{b, 12}
			c := newClient(t, b.org.URL(), &http.Client{Transport: heavy}, func(cfg *oktaclient.Config) {
				cfg.PageSize, cfg.Concurrency, cfg.RateLimitShare = 50, concurrency, 1
			})
			s := &sink{}
			if _, err := c.Read(t.Context(), everyone, s); err != nil {
				t.Fatal(err)
			}
			checkReading(t, b.org, s)
		})
	}
}

// heavy has Okta give up on a list with more users than most.
type heavy struct {
	http.RoundTripper
	most int
}

func (h *heavy) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := h.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if bytes.Count(body, []byte(`{"id":"00u`)) > h.most {
		resp.StatusCode, body = 504, nil
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

// pushed is an org in which 30 users were just changed in one millisecond, and
// then 8 one after the other, and a client that reads pages of 10.
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

// Who settles in a list of several pages are those of one millisecond alone.
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
		checkReading(t, org, s)
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

// And where one of them is not to be had, the error names that millisecond.
func TestPageOfAMillisecondThatCantBeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spoilt switched
		_, c, at := pushed(t, func(b http.RoundTripper) http.RoundTripper { spoilt.RoundTripper = b; return &spoilt })
		q := everyone
		q.OnPhase = onSettle(func() { spoilt.on = true })
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
