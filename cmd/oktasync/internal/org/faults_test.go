package org

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/dpopauth/keys"
	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/verify"
)

// faults are all faults of the sandbox, with the error of a reconcile if the fault
// persists; "" if it causes no error. "a|b" means a or b.
var faults = []struct{ fault, err string }{
	{"status=400", "400 E0000001"},
	{"status=401", "401"},
	{"status=403", "403 E0000006"},
	{"status=404", "404 E0000007"},
	{"status=409", "409 E0000145"},
	{"status=414", "414 E0000256"},
	{"status=429,retry-after=5s", "429 E0000047"},
	{"status=500", "500 E0000009"},
	{"status=502,html", "502"},
	{"status=503", "503 E0000100"},
	{"status=503,code=E0000010", "503 E0000010"},
	{"status=504", "504 E0000067"},
	{"busy", "429 E0000047"},
	{"html", "502"},
	{"redirect=https://" + sandbox.OtherHost + "/", "302"},
	{"next=loop", "repeats an earlier one"},
	{"next=other-host", "another origin"},
	{"next=empty", ""},
	{"next=short", ""},
	{"broken-json", "broken JSON"},
	{"cut=1000", "cut short"},
	{"stall=10s", ""},
	{"stall", "no progress"},
	{"cut=1000,stall", "no progress"},
	{"reset", "reset"},
	{"lose", "reset"},
	{"revoke-token", "401 invalid_token"},
	{"rotate-nonce", ""},
	{"no-nonce", ""},
	{"path=token,status=500", "500"},
	{"path=token,status=429", "429"},
	{"path=token,html", "502"},
	{"path=token,broken-json", "token"},
	{"path=token,cut=10", "token"},
	{"path=token,stall", "no progress|no whole answer"}, // oktaclient and dpopauth have the same time limit
	{"path=token,reset", "reset"},
	{"path=token,lose", "reset"},
	{"path=token,rotate-nonce", "nonce"},
	{"path=token,no-nonce", ""}, // the body names the error too
	{"path=token,bearer", "Bearer"},
}

// final are the faults after which the client must not retry.
var final = []string{"status=400", "status=401", "status=403", "status=404", "status=414", "redirect", "next=loop", "next=other-host", "path=token,bearer", "path=token,broken-json"}

// The table contains every kind of fault.
func TestFaultTableIsComplete(t *testing.T) {
	set := map[string]bool{"Name": true, "Path": true, "Nth": true, "Every": true, "Forever": true} // these say when, not what
	nexts := map[string]bool{}
	for _, test := range faults {
		f, err := sandbox.ParseFault(test.fault)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := 0, reflect.ValueOf(f); i < v.NumField(); i++ {
			set[v.Type().Field(i).Name] = set[v.Type().Field(i).Name] || !v.Field(i).IsZero()
		}
		nexts[f.Next] = true
	}
	for i, typ := 0, reflect.TypeFor[sandbox.Fault](); i < typ.NumField(); i++ {
		if name := typ.Field(i).Name; !set[name] {
			t.Errorf("no fault in the table has %s", name)
		}
	}
	for _, next := range sandbox.Nexts() {
		if !nexts[next] {
			t.Errorf("no fault in the table has the next link %s", next)
		}
	}
}

// After each fault, once or persistent, with one request in flight or several, the
// snapshot equals the org; or there is an error with the cause, and the newest
// snapshot is the previous one.
func TestEveryFault(t *testing.T) {
	long := os.Getenv("OKTASYNC_LONG_TESTS") == "1"
	for i, test := range faults {
		for n, forever := range []bool{false, true} {
			for m, concurrency := range []int{1, 4} {
				if !long && (i+2*n+m)%4 > 0 {
					continue // the short form runs one of four variants
				}
				t.Run(fmt.Sprintf("%s persistent %t, %d in flight", test.fault, forever, concurrency), func(t *testing.T) {
					t.Parallel()
					dir := t.TempDir()
					synctest.Test(t, func(t *testing.T) { tryFault(t, dir, test.fault, test.err, forever, concurrency) })
				})
			}
		}
	}
}

func tryFault(t *testing.T, dir, text, want string, forever bool, concurrency int) {
	fault, err := sandbox.ParseFault(text)
	if err != nil {
		t.Fatal(err)
	}
	f := newFaulty(t, dir, concurrency)
	before, err := f.reconcile()
	if err != nil {
		t.Fatal(err)
	}
	f.sandbox.Join(3)
	f.sandbox.Move(3)
	f.sandbox.Delete(2)
	if fault.Path == "token" {
		f.sandbox.RevokeTokens()
	} else {
		fault.Nth = 2
	}
	fault.Forever = forever
	f.sandbox.Inject(fault)
	after, err := f.reconcile()
	if f.sandbox.Stats().Faults == 0 {
		t.Error("the fault did not occur")
	}
	latest, latestErr := f.store.Latest("people")
	if latestErr != nil {
		t.Fatal(latestErr)
	}
	retried := !forever && !slices.ContainsFunc(final, func(s string) bool { return strings.HasPrefix(text, s) })
	switch {
	case err == nil:
		if forever && want != "" {
			t.Errorf("no error, want one with %s", want)
		}
		f.equals(after)
	case retried || want == "":
		t.Errorf("%v, want no error", err)
	default:
		says := func(want string) bool { return strings.Contains(err.Error(), want) }
		if !slices.ContainsFunc(strings.Split(want, "|"), says) || says("@") {
			t.Errorf("%v, want an error with %s", err, want)
		}
		if latest.Digest != before.Digest {
			t.Errorf("after %v, the newest snapshot is %s", err, latest.Name())
		}
	}
	summary, err := verify.Verify(t.Context(), f.store, verify.Options{}, func(found verify.Finding) { t.Errorf("verify: %s", found) })
	if err != nil || summary.Problems > 0 {
		t.Errorf("verify: %v, %d problems", err, summary.Problems)
	}
}

// faulty connects an Org to a sandbox org in the same process.
type faulty struct {
	*testing.T
	sandbox *sandbox.Org
	store   *snapshot.Store
	export  reconcile.Export
	r       *reconcile.Reconciler
}

func newFaulty(t *testing.T, dir string, concurrency int) *faulty {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.New(private)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{}
	cfg.Okta = config.OktaConfig{ClientID: "0oa1", Scopes: []string{"okta.users.read"}, Concurrency: concurrency, RateLimitShare: 1}
	f := &faulty{T: t, export: reconcile.DefaultExport()}
	f.sandbox = sandbox.NewOrg(sandbox.Config{Users: 250, Epoch: time.Date(1999, 6, 1, 0, 0, 0, 0, time.UTC), RateLimit: sandbox.Limits(1 << 20), ClientShare: 1,
		Clients: []sandbox.ClientApp{{ID: "0oa1", RequireDPoP: true, Scopes: cfg.Okta.Scopes, Keys: []sandbox.PublicKey{{Key: private.Public()}}}}})
	cfg.Okta.OrgURL = f.sandbox.URL()
	log := slog.New(slog.DiscardHandler)
	o, err := New(cfg, snapshot.Tool{Name: "oktasync"}, log, f.sandbox.Transport(), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Join(cfg, log, nil); err != nil {
		t.Fatal(err)
	}
	if f.store, err = snapshot.Init(filepath.Join(dir, "snapshots"), snapshot.Org{URL: cfg.Okta.OrgURL}, snapshot.Options{}); err != nil {
		t.Fatal(err)
	}
	f.export.Name, f.export.Timeout, f.export.Formats = "people", 0, []string{snapshot.FormatNDJSON}
	f.r = o.Reconciler(cfg, f.store, log, nil)
	return f
}

func (f *faulty) reconcile() (*snapshot.Snapshot, error) {
	result, err := f.r.Reconcile(f.Context(), f.export, snapshot.Run{Trigger: "apply"})
	return result.Snapshot, err
}

// equals checks that the snapshot contains exactly the users of the org.
func (f *faulty) equals(s *snapshot.Snapshot) {
	f.Helper()
	users, err := s.Records(snapshot.Users)
	if err != nil {
		f.Fatal(err)
	}
	defer users.Close()
	want := map[string]string{}
	project := f.export.Declaration().Resources["users"].Attributes.Projector(snapshot.Users.Always())
	for id, json := range f.sandbox.UsersJSON() {
		text, err := canonjson.Canonical(nil, json)
		if err == nil {
			text, err = project.Project(nil, text)
		}
		if err != nil {
			f.Fatal(err)
		}
		want[id] = string(text)
	}
	for {
		u, err := users.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			f.Fatal(err)
		}
		if string(u.JSON) != want[string(u.Key)] {
			f.Errorf("user %s = %.60q, want %.60q", u.Key, u.JSON, want[string(u.Key)])
		}
		delete(want, string(u.Key))
	}
	if len(want) > 0 {
		f.Errorf("%d users are missing", len(want))
	}
}
