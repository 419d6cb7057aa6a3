package reconcile_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oktasync/oktaclient"
	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile"
	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
)

// newFactorsFixture declares users and factors. The org has the users 00u1 to 00u4, each
// with one factor; 00u4 is DEPROVISIONED, and so has no list.
func newFactorsFixture(t *testing.T) (*fixture, *access) {
	a := newAccess()
	for _, id := range []string{"00u1", "00u2", "00u3"} {
		a.user(id, "ACTIVE")
		a.factors(id, "opf-"+id)
	}
	a.user("00u4", "DEPROVISIONED")
	f := newFixture(t)
	f.r = reconcile.New(reconcile.Config{Store: f.store, Source: a, Org: storetest.Acme})
	f.export.Factors = new(reconcile.Resource)
	f.export.Factors.SetDefaults("factors")
	return f, a
}

func (a *access) user(id, status string) {
	a.set("users", id, fmt.Sprintf(`{"id":%q,"status":%q,"lastUpdated":"2026-01-01T00:00:00.000Z"}`, id, status))
}

func (a *access) factors(user string, ids ...string) {
	a.list("factors/"+user, `{"id":%q,"factorType":"push","status":"ACTIVE","lastUpdated":"2026-01-01T00:00:00.000Z","profile":{"credentialId":"s3cret"},"_embedded":{"activation":{"sharedSecret":"s3cret"}}}`, ids...)
}

// Okta lists the factors that its policies allow, so that a factor that is no longer
// listed is not_listed, also if its user was deleted or deactivated.
func TestFactors(t *testing.T) {
	f, a := newFactorsFixture(t)
	var read []string
	a.before = func(list string) { read = append(read, list) }
	first := f.publish()
	if got := edges(t, first, snapshot.Factors); got != "00u1-opf-00u1 00u2-opf-00u2 00u3-opf-00u3" {
		t.Errorf("factors = %s", got)
	}
	if want := []string{"users", "factors/00u1", "factors/00u2", "factors/00u3"}; !slices.Equal(read, want) {
		t.Errorf("read %q, want %q: a DEPROVISIONED user has no list", read, want)
	}
	a.factors("00u1", "opf-new")
	a.lists["factors/00u2"] = []string{strings.Replace(a.lists["factors/00u2"][0], "ACTIVE", "INACTIVE", 1)}
	delete(a.objects["users"], "00u3")
	want := []string{"deleted 00u3", "not_listed opf-00u1-00u1", "listed opf-new-00u1", "changed opf-00u2-00u2", "not_listed opf-00u3-00u3"}
	s := f.publish()
	if got := changesOf(t, s); !slices.Equal(got, want) {
		t.Errorf("changes = %q, want %q", got, want)
	}
	if c := s.Manifest.Resources["factors"]; c.ByStatus["ACTIVE"] != 1 || c.ByStatus["INACTIVE"] != 1 {
		t.Errorf("factors by status = %v", c.ByStatus)
	}
	for record := range snapshot.Records(must(s.Records(snapshot.Factors))) {
		if text := string(record); strings.Contains(text, "s3cret") {
			t.Errorf("factor = %s", text)
		}
	}
}

// A user is deleted or deactivated after the users were read, so that Okta answers 404
// for the factors. The user is requested by id: a deleted user is dropped, and a
// deactivated one has no factors.
func TestUserVanishesBeforeTheFactorsAreRead(t *testing.T) {
	for status, want := range map[string][]string{
		"":              {"deleted 00u2", "not_listed opf-00u2-00u2"},
		"DEPROVISIONED": {"deactivated 00u2", "not_listed opf-00u2-00u2"},
	} {
		f, a := newFactorsFixture(t)
		f.publish()
		a.before = func(list string) {
			if list != "factors/00u1" {
				return
			}
			delete(a.lists, "factors/00u2")
			if delete(a.objects["users"], "00u2"); status != "" {
				a.set("users", "00u2", strings.Replace(fmt.Sprintf(`{"id":"00u2","status":%q,"lastUpdated":"2026-01-01T00:00:00.000Z"}`, status), "01-01", "01-02", 1))
			}
		}
		s := f.publish()
		if got := changesOf(t, s); !slices.Equal(got, want) {
			t.Errorf("user with the status %q: changes = %q, want %q", status, got, want)
		}
		if got := edges(t, s, snapshot.Factors); got != "00u1-opf-00u1 00u3-opf-00u3" {
			t.Errorf("user with the status %q: factors = %s", status, got)
		}
	}
}

// Okta answers 404 for the factors of an active user: the list is read once more, and
// then the run fails.
func TestFactorsOfAnActiveUserAreMissing(t *testing.T) {
	f, a := newFactorsFixture(t)
	list, missing := a.lists["factors/00u2"], 1
	a.before = func(name string) {
		if a.lists["factors/00u2"] = list; name == "factors/00u2" && missing > 0 {
			missing--
			delete(a.lists, name)
		}
	}
	if got := edges(t, f.publish(), snapshot.Factors); got != "00u1-opf-00u1 00u2-opf-00u2 00u3-opf-00u3" {
		t.Errorf("factors = %s", got)
	}
	missing = 2
	if _, err := f.reconcile(""); err == nil || err.Error() != `read factors: okta: user "00u2" exists, but its list of factors doesn't` {
		t.Errorf("error = %v", err)
	}
}

// A policy hides all factors: no guard stops the read.
func TestAllFactorsAreHidden(t *testing.T) {
	f, a := newFactorsFixture(t)
	f.publish()
	for _, user := range []string{"00u1", "00u2", "00u3"} {
		a.factors(user)
	}
	if c := f.publish().Manifest.Resources["factors"]; c.Total != 0 || c.Removed != 3 || c.Kinds["not_listed"] != 3 {
		t.Errorf("factors = %+v, want 3 not_listed", c)
	}
}

// An API token is revoked only if Okta answers 404 for its id. Its use is no change.
func TestAPITokens(t *testing.T) {
	a := newAccess()
	a.user("00u1", "ACTIVE")
	token := func(id, used string) {
		a.set("api_tokens", id, fmt.Sprintf(`{"id":%q,"name":"Script","userId":"00u1","network":{"connection":"ANYWHERE"},"token":"s3cret","expiresAt":%q,"lastUpdated":%q}`, id, used, used))
	}
	token("00T1", "2026-01-01T00:00:00.000Z")
	token("00T2", "2026-01-01T00:00:00.000Z")
	f := newFixture(t)
	f.r = reconcile.New(reconcile.Config{Store: f.store, Source: a, Org: storetest.Acme})
	f.export.APITokens = new(reconcile.Resource)
	f.export.APITokens.SetDefaults("api_tokens")
	f.publish()
	token("00T1", "2026-01-02T00:00:00.000Z")
	token("00T3", "2026-01-02T00:00:00.000Z")
	delete(a.objects["api_tokens"], "00T2")
	s := f.publish()
	if got, want := changesOf(t, s), []string{"revoked 00T2", "created 00T3"}; !slices.Equal(got, want) {
		t.Errorf("changes = %q, want %q", got, want)
	}
	for record := range snapshot.Records(must(s.Records(snapshot.APITokens))) {
		if text := string(record); strings.Contains(text, "s3cret") || strings.Contains(text, "expiresAt") {
			t.Errorf("API token = %s", text)
		}
	}
}

// The factors of many users take little longer than the windows of the rate limit that
// their requests need. The bucket is that of the list of users.
func TestFactorsUnderOktasLimits(t *testing.T) {
	const users = 20_000
	synctest.Test(t, func(t *testing.T) {
		cfg := sandbox.Config{Users: users, CachePages: true, Latency: 50 * time.Millisecond, TokenLife: 24 * time.Hour}
		app := newApp(t, cfg)
		const share = 0.8
		client, err := oktaclient.New(oktaclient.Config{OrgURL: app.org.URL(), HTTPClient: &http.Client{Transport: app}, RateLimitShare: share, Concurrency: 4})
		if err != nil {
			t.Fatal(err)
		}
		f := newFixture(t)
		f.export.Timeout, f.export.Factors = 24*time.Hour, new(reconcile.Resource)
		f.export.Factors.SetDefaults("factors")
		began := time.Now()
		plan, err := reconcile.New(reconcile.Config{Spool: t.TempDir(), Source: client}).Plan(t.Context(), f.export)
		if err != nil {
			t.Fatal(err)
		}
		defer plan.Close()
		took := time.Since(began)
		allowed := int(share * float64(sandbox.WorkforceLimits()["/api/v1/users"]/2))
		requests := plan.Buckets()["users"]
		bound := time.Duration((requests-1)/allowed) * time.Minute
		if requests < users*95/100 || took > bound*105/100 {
			t.Errorf("%d requests took %v, want at least %d, and at most 1.05 of %v", requests, took, users*95/100, bound)
		}
		if n := app.org.Stats().RateLimited; n > 0 {
			t.Errorf("%d requests were rejected", n)
		}
	})
}

// must returns v. It panics if err isn't nil.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
