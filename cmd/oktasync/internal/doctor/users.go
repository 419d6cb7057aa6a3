package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth"
	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

const (
	pageSize        = 200
	maxCountedPages = 5  // pages; beyond, people are counted by --people or the newest snapshot
	sampleSize      = 20 // people of a snapshot who are looked for
	apiTimeout      = 30 * time.Second
)

// A userPage is the answer to one request for users. Nothing is tried again: a
// doctor tells of a limit, and does not wait for it.
type userPage struct {
	status    int
	code      string // Okta's, or OAuth's
	requestID string
	header    http.Header
	users     []struct{ ID string }
	next      string // "": the list's end
	err       error
	cause     string // the check that this is the failure of; "": none
}

// resource returns the resource that the checks read: the first declared one,
// which is users unless no export declares them.
func (x *checker) resource() reconcile.Declared {
	var first *reconcile.Declared
	for _, export := range x.cfg.Exports {
		for _, d := range export.Resources() {
			if d.Resource == snapshot.Users {
				return d
			}
			if first == nil {
				first = &d
			}
		}
	}
	return *first // a valid export declares a resource
}

// firstPage requests the first page of the resource, once for all checks.
func (x *checker) firstPage(ctx context.Context) *userPage {
	if x.firstUsers == nil {
		x.firstUsers = x.page(ctx, x.cfg.Okta.OrgURL+fmt.Sprintf("%s?limit=%d", x.resource().Read.Path, pageSize))
	}
	return x.firstUsers
}

func (x *checker) page(ctx context.Context, address string) *userPage {
	p := new(userPage)
	p.err = p.get(ctx, x.requestToken(ctx).auth, org.UserAgent(x.Tool), address)
	p.cause = p.failedCheck()
	return p
}

func (p *userPage) get(ctx context.Context, auth *dpopauth.Transport, userAgent, address string) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	resp, err := auth.RoundTrip(req)
	if err != nil {
		var e *dpopauth.Error
		if errors.As(err, &e) {
			p.status, p.code, p.requestID = e.Status, e.Code, e.RequestID
		}
		return err
	}
	body, err := readAll(resp)
	p.status, p.header, p.requestID = resp.StatusCode, resp.Header, clean(resp.Header.Get("X-Okta-Request-Id"))
	if err != nil {
		return errors.New("the answer broke off")
	}
	if resp.StatusCode != http.StatusOK {
		p.code = oktaclient.ErrorCode(resp, body)
		return nil
	}
	if json.Unmarshal(body, &p.users) != nil {
		return errors.New("the answer is no list of users")
	}
	p.next, err = oktaclient.NextPage(resp)
	return err
}

func (p *userPage) failedCheck() string {
	switch {
	case p.code == "insufficient_scope":
		return causeScopes
	case p.code == "E0000006":
		return causeRole
	case p.code == "access_denied" || p.status == http.StatusForbidden && p.code == "":
		return causeZone
	case p.status == http.StatusTooManyRequests:
		return causeLimit
	case p.err != nil || p.status != http.StatusOK:
		return causeAPI
	}
	return ""
}

// answer is what came, in a few words.
func (p *userPage) answer() string {
	if p.err != nil {
		return p.err.Error()
	}
	text := fmt.Sprintf("status %d %s", p.status, p.code)
	if p.requestID != "" {
		text += " (request " + p.requestID + ")"
	}
	return text
}

func checkAPI(ctx context.Context, x *checker) Finding {
	p := x.firstPage(ctx)
	if p.cause != causeAPI {
		return ok("%s answers", x.resource().Read.Path)
	}
	where, remedy := onHost, x.Hint(p.err)
	if p.status >= http.StatusInternalServerError || p.err == nil && p.status == http.StatusOK {
		where, remedy = "", oktaTrouble
	} else if remedy == "" {
		remedy = "see what stands between this machine and the org: something else than Okta's API answers"
	}
	return failed(where, remedy, "GET %s: %s", x.resource().Read.Path, p.answer())
}

// perMinute is how many requests a minute the share leaves.
func (x *checker) perMinute(p *userPage) (requests int, limit int, known bool) {
	limit, _, _, known = oktaclient.RateLimitOf(p.header)
	return max(1, int(float64(limit)*x.cfg.Okta.RateLimitShare)), limit, known
}

func checkRateLimit(ctx context.Context, x *checker) Finding {
	const page = "Reports > Rate limits shows who uses the limit; raise the app's share there (Application rate limits), or read at another hour"
	p := x.firstPage(ctx)
	requests, limit, known := x.perMinute(p)
	_, remaining, reset, _ := oktaclient.RateLimitOf(p.header)
	switch {
	case p.cause == causeLimit && limit == 0:
		return failed(inOkta, page, "too many requests of others are in flight")
	case p.cause == causeLimit:
		return failed(inOkta, page, "none of %d requests a minute is left until %s", limit, reset.UTC().Format(time.TimeOnly+" UTC"))
	case !known:
		return warning(onHost, "see what takes the headers X-Rate-Limit-* out of answers", "the answer does not tell a limit")
	}
	share := fmt.Sprintf("%d requests a minute to %s; okta.rate_limit_share %v leaves %d", limit, x.resource().Read.Path, x.cfg.Okta.RateLimitShare, requests)
	if remaining < requests/2 {
		return warning(inOkta, page, "%s, but only %d are left until %s: others use the same limit", share, remaining, reset.UTC().Format(time.TimeOnly+" UTC"))
	}
	return ok("%s", share)
}

// A userCount is how many people the app sees.
type userCount struct {
	n     int
	whole bool // these are all
}

// count follows the list for a few pages.
func (x *checker) count(ctx context.Context) (userCount, *userPage) {
	p := x.firstPage(ctx)
	c := userCount{n: len(p.users)}
	requests, _, _ := x.perMinute(p)
	for pages := 1; p.next != "" && pages < min(maxCountedPages, requests); pages++ {
		if p = x.page(ctx, p.next); p.cause != "" {
			return c, p
		}
		c.n += len(p.users)
	}
	c.whole = p.next == ""
	return c, p
}

// checkRole sees whom the app sees. Okta says nothing where it leaves people out,
// so that it takes another source to tell: people of the newest snapshot, or
// what --people says.
func checkRole(ctx context.Context, x *checker) Finding {
	const give = "the app > Admin roles > Edit assignments: Read-only Administrator, for all, and no other role"
	p := x.firstPage(ctx)
	switch {
	case p.cause == causeRole:
		return failed(inOkta, give, "the app has no admin role: %s", p.answer())
	case len(p.users) == 0 && p.next == "":
		return failed(inOkta, give, "the app sees nobody: Okta answered with status 200 and an empty list, as to an app without an admin role")
	}
	var last *userPage
	if x.users, last = x.count(ctx); last.cause != "" {
		return failed("", oktaTrouble, "the list broke off after %s: %s", x.resource().Resource.Plural(x.users.n), last.answer())
	}
	seen := fmt.Sprintf("the app sees %s", x.resource().Resource.Plural(x.users.n))
	if !x.users.whole {
		seen = fmt.Sprintf("the app sees at least %d %s", x.users.n, x.resource().Resource.Name)
	}
	if x.resource().Resource != snapshot.Users {
		return ok("%s", seen)
	}
	if x.users.whole && x.users.n*10 < x.Users*9 { // the console may count who is deactivated
		return failed(inOkta, give, "%s of %d: its role is limited to some", seen, x.Users)
	}
	sample, name := x.sample()
	if len(sample) == 0 {
		return ok("%s that are not deprovisioned; that these are all, no answer of Okta's shows (--people N compares)", seen)
	}
	found, err := x.find(ctx, sample)
	switch missing := len(sample) - found; {
	case err != "":
		return failed("", oktaTrouble, "people of snapshot %s could not be looked for: %s", name, err)
	case missing*5 > len(sample): // more than deletions make likely
		return failed(inOkta, give, "%s, but not %d of %d people of snapshot %s: its role is limited to some", seen, missing, len(sample), name)
	}
	return ok("%s, and %d of %d people of snapshot %s", seen, found, len(sample), name)
}

// sample returns the IDs of some users of the newest snapshot, and its name.
func (x *checker) sample() (ids []string, name string) {
	newest := x.newest()
	if newest == nil {
		return nil, ""
	}
	records, err := newest.Records(snapshot.Users)
	if err != nil {
		return nil, ""
	}
	defer records.Close()
	if ids, err = spread(records, usersIn(newest)); err != nil {
		return nil, "" // verify reports the damage
	}
	return ids, newest.Name()
}

// spread returns the IDs of up to sampled of total users, at equal distances.
// The first users of a snapshot have the oldest accounts, and could all be
// members of one group.
func spread(users diff.Reader, total int) (ids []string, err error) {
	step := max(total/sampleSize, 1)
	for i := 0; len(ids) < sampleSize; i++ {
		u, err := users.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if i%step == 0 {
			ids = append(ids, string(u.Key))
		}
	}
	return ids, nil
}

// newest is the largest of the exports' newest snapshots; nil: there is none.
func (x *checker) newest() (newest *snapshot.Snapshot) {
	store, err := org.OpenExisting(x.cfg)
	if store == nil || err != nil {
		return nil
	}
	for _, e := range x.cfg.Exports {
		s, err := store.Latest(e.Name)
		if err == nil && (newest == nil || usersIn(s) > usersIn(newest)) {
			newest = s
		}
	}
	return newest
}

// find counts those of ids whom the app sees.
func (x *checker) find(ctx context.Context, ids []string) (found int, problem string) {
	terms := make([]string, len(ids))
	for i, id := range ids {
		terms[i] = fmt.Sprintf("id eq %q", id)
	}
	query := url.Values{"filter": {strings.Join(terms, " or ")}, "limit": {fmt.Sprint(pageSize)}}
	p := x.page(ctx, x.cfg.Okta.OrgURL+x.resource().Read.Path+"?"+query.Encode())
	if p.cause != "" {
		return 0, p.answer()
	}
	return len(p.users), ""
}

// checkReading says how long a reading takes at the rate that the share leaves.
func checkReading(ctx context.Context, x *checker) Finding {
	requests, _, known := x.perMinute(x.firstPage(ctx))
	if !known {
		return skipped("no rate limit is known")
	}
	name := x.resource().Resource.Name
	n, of := x.users.n, name
	switch newest := x.newest(); {
	case x.Users > n && name == snapshot.Users.Name:
		n, of = x.Users, "people (--people)"
	case newest != nil && usersIn(newest) > n:
		n, of = usersIn(newest), "users of snapshot "+newest.Name()
	case !x.users.whole:
		of = name + ", of more,"
	}
	minutes := time.Duration((n/pageSize+requests)/requests) * time.Minute
	text := fmt.Sprintf("%d %s take up to %s at %d requests a minute", n, of, term.Duration(minutes), requests)
	for _, e := range x.cfg.Exports {
		if minutes > e.Timeout {
			return warning(inConfig, fmt.Sprintf("set the timeout of %s to twice that, or raise okta.rate_limit_share", e.Name),
				"%s, and %s times out after %s", text, e.Name, term.Duration(e.Timeout))
		}
	}
	if of == name+", of more," {
		text += "; --people N tells how long all of them take"
	}
	return ok("%s", text)
}

// usersIn returns the number of users in a snapshot.
func usersIn(s *snapshot.Snapshot) int { return s.Manifest.Resources[snapshot.Users.Name].Total }
