package reconcile_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/internal/storetest"
)

// eachRead is an org that calls before at the start of each read, but not of that for
// control totals.
type eachRead struct {
	*org
	before func(ctx context.Context, resource string, sink oktaclient.Sink) error
}

func (e eachRead) Read(ctx context.Context, q oktaclient.Query, sink oktaclient.Sink) (oktaclient.ReadResult, error) {
	if q.Stats {
		return e.org.Read(ctx, q, sink)
	}
	if err := e.before(ctx, q.Resource.Name, sink); err != nil {
		return oktaclient.ReadResult{}, err
	}
	return e.org.Read(ctx, q, sink)
}

// Users and groups are read at the same time. The progress is that of users, and then
// that of groups, and both report their requests.
func TestChainsAreReadAtTheSameTime(t *testing.T) {
	f := newFixture(t, people(0, 3)...).withGroups(groups(0, 20))
	var both sync.WaitGroup
	both.Add(2)
	var resources []string
	f.use(eachRead{f.org, func(context.Context, string, oktaclient.Sink) error {
		both.Done()
		both.Wait()
		return nil
	}}, func(p reconcile.Progress) {
		if n := len(resources); n == 0 || resources[n-1] != p.Resource {
			resources = append(resources, p.Resource)
		}
	})
	if m := f.publish().Manifest; m.Read.Requests != 3 {
		t.Errorf("%d requests, want 3: users, groups, control totals", m.Read.Requests)
	}
	if got := strings.Join(resources, " "); got != "users groups " && got != "users " {
		t.Errorf("progress of %q, want users, then groups unless they were finished before, then the publish", got)
	}
}

// If the read of one scope fails, the others end at once, and the error is that of the first.
func TestFailureEndsOtherChains(t *testing.T) {
	f := newFixture(t, people(0, 3)...).withGroups(groups(0, 20))
	refused := errors.New("okta: 403 E0000006")
	f.use(eachRead{f.org, func(ctx context.Context, resource string, _ oktaclient.Sink) error {
		if resource == "groups" {
			return refused
		}
		<-ctx.Done()
		return ctx.Err()
	}}, nil)
	_, err := f.reconcile("")
	if !errors.Is(err, refused) || err.Error() != "read groups: okta: 403 E0000006" {
		t.Errorf("error = %v, want that of groups", err)
	}
}

// A panic in the read of one scope ends the reconcile with an error.
func TestPanicInAChain(t *testing.T) {
	f := newFixture(t, people(0, 3)...).withGroups(groups(0, 20))
	f.use(eachRead{f.org, func(_ context.Context, resource string, _ oktaclient.Sink) error {
		if resource == "groups" {
			panic("index out of range")
		}
		return nil
	}}, nil)
	if result, err := f.reconcile(""); err == nil || result.Outcome != reconcile.Failed {
		t.Errorf("outcome %s, %v, want an error", result.Outcome, err)
	}
}

// A request for a token is once in the transcript, although two reads report it.
func TestTokenRequestIsRecordedOnce(t *testing.T) {
	f := newFixture(t, people(0, 3)...).withGroups(groups(0, 20))
	token := oktaclient.Request{Resource: "token", Time: time.Now(), Method: "POST", Path: "/oauth2/v1/token", Status: 200}
	f.use(eachRead{f.org, func(_ context.Context, _ string, sink oktaclient.Sink) error { return sink.Request(token) }}, nil)
	text := storetest.Read(t, f.publish().Dir(), "requests.ndjson")
	if n := strings.Count(text, `"resource":"token"`); n != 1 {
		t.Errorf("%d token requests in the transcript, want 1:\n%s", n, text)
	}
}
