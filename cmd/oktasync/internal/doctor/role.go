package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

func (c count) text(r *snapshot.Resource) string {
	text := r.Plural(c.n)
	if r == snapshot.RoleAssignments { // Okta lists their holders
		text = term.Plural(c.n, "administrator")
	}
	if c.all {
		return text
	}
	return "at least " + text
}

// checkRole checks which users and other records the app sees. Okta's lists silently
// omit what the app's role doesn't cover, so the check compares users with --people
// and with the newest snapshot.
func checkRole(ctx context.Context, x *checker) Finding {
	refused := x.failedPages(ctx, causeRole)
	if len(refused) > 0 && !refused[0].declared.Optional && refused[0].declared.Permission == "" {
		return refusedRole(refused, "")
	}
	var parts []string
	x.counts = make(map[*snapshot.Resource]count)
	for _, p := range x.answered(ctx) {
		r := p.declared.Resource
		if r.Parent != nil {
			continue // there is one list for each parent
		}
		if p.records == 0 && p.next == "" && p.declared.Guard.Min > 0 {
			return failed(org.InOkta, org.AssignRole, "the app sees no %s: Okta returned status 200 and an empty list, as for an app without an admin role", r.Name)
		}
		c, err := x.count(ctx, p)
		if err != nil {
			return failedWith(err, org.Wait, "the list of %s ended after %s: %v", r.Name, r.Plural(c.n), err)
		}
		x.counts[r] = c
		parts = append(parts, c.text(r))
	}
	seen := "the app sees " + term.List(parts)
	f := ok("%s", seen)
	if p := x.pageOf(snapshot.Users); p != nil {
		f = x.checkUsers(ctx, p, x.counts[snapshot.Users], seen)
	}
	if len(refused) > 0 && f.Status == OK {
		return refusedRole(refused, seen+"; ")
	}
	if name := x.unreconciled(); name != "" && f.Status == OK {
		return warning(org.InOkta, org.AssignRole+", and read again", "%s; in snapshot %s, Okta counts other members than the app sees: the app's role is probably limited", seen, name)
	}
	return f
}

// refusedRole returns the finding for pages that the app's role doesn't allow. seen is
// what the role allows.
func refusedRole(refused []*page, seen string) Finding {
	var names []string
	var declared []reconcile.Declared
	for _, p := range refused {
		names, declared = append(names, p.declared.Resource.Name), append(declared, p.declared)
	}
	first := refused[0]
	return first.optional(failed(org.InOkta, org.AssignRoles(declared), seen+"the app has no admin role for %s: %v", term.List(names), first.err))
}

// unreconciled returns the name of a newest snapshot whose control totals differ, or
// "".
func (x *checker) unreconciled() string {
	store, err := org.OpenExisting(x.cfg)
	if store == nil || err != nil {
		return "" // checkStore reports it
	}
	for _, e := range x.cfg.Exports {
		if s, err := store.Latest(e.Name); err == nil && s.Manifest.Control != nil && !s.Manifest.Control.Reconciled {
			return e.Name + "@" + s.Name()
		}
	}
	return ""
}

// checkUsers checks that the app sees all users.
func (x *checker) checkUsers(ctx context.Context, p *page, c count, seen string) Finding {
	if missing := x.Users - c.n; c.all && missing*100 > x.Users { // users who joined or left meanwhile are fewer
		return failed(org.InOkta, org.AssignRole, "%s, but not %d of the %d people in the Admin Console: the app's role is limited", seen, missing, x.Users)
	}
	ids, name := x.sample()
	compared := ""
	if x.Users > 0 {
		compared = fmt.Sprintf("; the Admin Console shows %d", x.Users)
	} else if len(ids) == 0 {
		compared = "; Okta's responses can't prove that this is all, so compare with --people N"
	}
	if len(ids) == 0 {
		return ok("%s", seen+compared)
	}
	found := x.page(ctx, p.declared, p.path, oktaclient.IDFilter(ids))
	switch missing := len(ids) - found.records; {
	case found.err != nil:
		return failedWith(found.err, org.Wait, "users of snapshot %s can't be requested: %v", name, found.err)
	case missing*5 > len(ids): // deletions since the snapshot are fewer
		return failed(org.InOkta, org.AssignRole, "%s, but not %d of %d users of snapshot %s: the app's role is limited", seen, missing, len(ids), name)
	}
	return ok("%s, including %d of %d users of snapshot %s%s", seen, found.records, len(ids), name, compared)
}

// count counts the records of a resource from its first page on: all if they fit
// into a few pages, and users up to --people. Okta's list of users omits
// deprovisioned users, which the Admin Console counts.
func (x *checker) count(ctx context.Context, p *page) (count, error) {
	people := 0
	if p.declared.Resource == snapshot.Users {
		people = x.Users
	}
	c, err := x.follow(ctx, p, people)
	if err != nil || !c.all || c.n >= people {
		return c, err
	}
	deprovisioned := x.page(ctx, p.declared, p.path, `status eq "DEPROVISIONED"`)
	if deprovisioned.err != nil {
		return c, deprovisioned.err
	}
	more, err := x.follow(ctx, deprovisioned, people-c.n)
	return count{c.n + more.n, more.all}, err
}

// follow counts the records of a list until there are enough. It waits for rate
// limits, as a read does.
func (x *checker) follow(ctx context.Context, p *page, enough int) (count, error) {
	c := count{p.records, p.next == ""}
	client, err := oktaclient.New(oktaclient.Config{
		OrgURL: x.cfg.Okta.OrgURL, HTTPClient: &http.Client{Transport: x.requestToken(ctx).auth}, RateLimitShare: x.cfg.Okta.RateLimitShare,
		Logger: x.log, UserAgent: org.UserAgent(x.Tool),
	})
	if err != nil {
		return c, err
	}
	list := *p
	for pages := 1; !c.all && (pages < min(maxPages, x.share(p)) || c.n < enough); pages++ {
		resp, err := client.Get(ctx, list.next, nil)
		if err != nil {
			return c, err
		}
		body, err := readAll(resp)
		if err == nil {
			err = list.parse(resp, body)
		}
		if err != nil {
			return c, err
		}
		c.n += list.records
		c.all = list.next == ""
	}
	return c, nil
}

// sample returns the IDs of some users of the newest snapshot, and its name.
func (x *checker) sample() (ids []string, name string) {
	newest := x.newest(snapshot.Users)
	if newest == nil {
		return nil, ""
	}
	records, err := newest.Records(snapshot.Users)
	if err != nil {
		return nil, ""
	}
	defer records.Close()
	if ids, err = spread(records, recordsIn(newest, snapshot.Users)); err != nil {
		return nil, "" // verify reports the damage
	}
	return ids, newest.Name()
}

// spread returns the IDs of up to sampleSize of total users, at equal distances.
// The first users of a snapshot have the oldest accounts, and could all be
// members of one group.
func spread(users diff.Reader, total int) (ids []string, err error) {
	step := max(total/sampleSize, 1)
	for i := 0; len(ids) < sampleSize; i++ {
		u, err := users.Next()
		if errors.Is(err, io.EOF) {
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

// newest returns the one with the most records of r of the exports' newest
// snapshots, or nil.
func (x *checker) newest(r *snapshot.Resource) (newest *snapshot.Snapshot) {
	store, err := org.OpenExisting(x.cfg)
	if store == nil || err != nil {
		return nil
	}
	for _, e := range x.cfg.Exports {
		s, err := store.Latest(e.Name)
		if err == nil && (newest == nil || recordsIn(s, r) > recordsIn(newest, r)) {
			newest = s
		}
	}
	return newest
}

func recordsIn(s *snapshot.Snapshot, r *snapshot.Resource) int {
	return s.Manifest.Resources[r.Name].Total
}
