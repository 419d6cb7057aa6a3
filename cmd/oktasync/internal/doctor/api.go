package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

const (
	pageSize   = 200
	maxPages   = 5  // counted per resource, without --people
	sampleSize = 20 // users of a snapshot that are requested by id
	apiTimeout = 30 * time.Second
)

// firstPages requests the first page of each declared resource, once for all checks. Of
// a resource with one list for each record of another, it requests the list of the first
// record.
func (x *checker) firstPages(ctx context.Context) []*page {
	if x.pages != nil {
		return x.pages
	}
	for _, d := range x.cfg.Declared() {
		path := d.Read.Path
		if parent := x.pageOf(d.Resource.Parent); parent != nil {
			if parent.first == "" {
				continue
			}
			path = strings.Replace(path, "{parent}", url.PathEscape(parent.first), 1)
		}
		x.pages = append(x.pages, x.page(ctx, d, path, ""))
	}
	return x.pages
}

// pageOf returns the first page of a resource, or nil.
func (x *checker) pageOf(r *snapshot.Resource) *page {
	for _, p := range x.pages {
		if p.declared.Resource == r {
			return p
		}
	}
	return nil
}

// failedPages returns the first pages whose error the check with the id cause reports.
// Pages of optional resources come last.
func (x *checker) failedPages(ctx context.Context, cause string) (failed []*page) {
	if x.requestToken(ctx).cause != "" {
		return nil
	}
	var optional []*page
	for _, p := range x.firstPages(ctx) {
		switch {
		case p.cause == cause && p.declared.Optional:
			optional = append(optional, p)
		case p.cause == cause:
			failed = append(failed, p)
		}
	}
	return append(failed, optional...)
}

// failedPage returns the first of failedPages, or nil.
func (x *checker) failedPage(ctx context.Context, cause string) *page {
	if pages := x.failedPages(ctx, cause); len(pages) > 0 {
		return pages[0]
	}
	return nil
}

// optional returns f, as a warning if the resource of p is optional.
func (p *page) optional(f Finding) Finding {
	if p.declared.Optional && f.Status == Failed {
		f.Status = Warning
	}
	return f
}

// page requests the first page of a list that filter selects. Unlike a read, it
// doesn't wait for a rate limit, so that doctor can report it.
func (x *checker) page(ctx context.Context, d reconcile.Declared, path, filter string) *page {
	p := &page{declared: d, path: path}
	if !d.Read.Unpaged {
		query := url.Values{"limit": {fmt.Sprint(pageSize)}}
		if filter != "" {
			query.Set("filter", filter)
		}
		path += "?" + query.Encode()
	}
	p.err = p.request(ctx, x, path)
	p.cause = apiCause(p.err)
	return p
}

func (p *page) request(ctx context.Context, x *checker, path string) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.cfg.Okta.OrgURL+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", org.UserAgent(x.Tool))
	resp, err := x.requestToken(ctx).auth.RoundTrip(req)
	if err != nil {
		return err
	}
	p.header = resp.Header
	failure := &oktaclient.Error{Path: req.URL.Path, RequestID: clean(resp.Header.Get("X-Okta-Request-Id"))}
	body, err := readAll(resp)
	switch {
	case err != nil:
		failure.Err = errors.New("the response was cut short")
	case resp.StatusCode != http.StatusOK:
		failure.Status, failure.Code = resp.StatusCode, oktaclient.ErrorCode(resp, body)
	default:
		failure.Err = p.parse(resp, body)
	}
	if failure.Err == nil && failure.Status == 0 {
		return nil
	}
	return failure
}

// parse counts the records of a response, and finds the next page.
func (p *page) parse(resp *http.Response, body []byte) (err error) {
	var records []struct{ ID string }
	if p.declared.Read.Strategy == oktaclient.Roles { // the list of administrators is in an object
		var object struct {
			Value json.RawMessage
			Links struct{ Next struct{ Href string } } `json:"_links"`
		}
		json.Unmarshal(body, &object) // otherwise, body is no list
		body, p.next = object.Value, object.Links.Next.Href
	}
	if json.Unmarshal(body, &records) != nil {
		return errors.New("the response is not a list of " + p.declared.Resource.Name)
	}
	p.records = len(records)
	if len(records) > 0 {
		p.first = records[0].ID
	}
	if p.declared.Read.Strategy != oktaclient.Roles {
		p.next, err = oktaclient.NextPage(resp)
	}
	return err
}

// apiCause returns the id of the check that reports the error of an API request.
func apiCause(err error) string {
	status, code := org.Response(err)
	switch {
	case err == nil:
		return ""
	case code == "insufficient_scope":
		return causeScopes
	case code == "E0000006":
		return causeRole
	case code == "access_denied" || status == http.StatusForbidden && code == "":
		return causeZone
	case status == http.StatusTooManyRequests:
		return causeLimit
	}
	return causeAPI
}

// checkAPI checks that the API answers for each declared resource.
func checkAPI(ctx context.Context, x *checker) Finding {
	if p := x.failedPage(ctx, causeAPI); p != nil {
		return p.optional(failedWith(p.err, otherResponder, "GET %s: %v", p.path, p.err))
	}
	var names []string
	for _, p := range x.answered(ctx) {
		names = append(names, p.declared.Resource.Name)
	}
	return ok("answers for %s", term.List(names))
}

// share returns the requests per minute that okta.rate_limit_share allows for a
// resource, at least 1. It returns 0 if the limit is unknown.
func (x *checker) share(p *page) int {
	limit, _, _, known := oktaclient.RateLimitOf(p.header)
	if !known {
		return 0
	}
	return max(1, int(float64(limit)*x.cfg.Okta.RateLimitShare))
}

// answered returns the first pages without an error.
func (x *checker) answered(ctx context.Context) []*page {
	return slices.DeleteFunc(slices.Clone(x.firstPages(ctx)), func(p *page) bool { return p.err != nil })
}

// bucketPages returns the first page of each rate-limit bucket.
func (x *checker) bucketPages(ctx context.Context) (pages []*page) {
	for _, p := range x.answered(ctx) {
		if !slices.ContainsFunc(pages, func(other *page) bool { return other.bucket() == p.bucket() }) {
			pages = append(pages, p)
		}
	}
	return pages
}

func (p *page) bucket() string { return p.declared.Read.Bucket() }

// checkRateLimit checks that other clients leave oktasync its share of the limits.
func checkRateLimit(ctx context.Context, x *checker) Finding {
	left := func(p *page) string {
		limit, remaining, reset, _ := oktaclient.RateLimitOf(p.header)
		return fmt.Sprintf("%d of %d requests per minute to %s are left until %s", remaining, limit, p.path, reset.UTC().Format(time.TimeOnly+" UTC"))
	}
	if p := x.failedPage(ctx, causeLimit); p != nil {
		if limit, _, _, _ := oktaclient.RateLimitOf(p.header); limit == 0 {
			return failed(org.InOkta, org.ChangeLimit, "other clients have too many requests in flight")
		}
		return failed(org.InOkta, org.ChangeLimit, "%s", left(p))
	}
	var shares []string
	for _, p := range x.bucketPages(ctx) {
		limit, remaining, _, known := oktaclient.RateLimitOf(p.header)
		switch {
		case !known:
			return warning(org.OnHost, "find out what removes the headers X-Rate-Limit-* from responses", "the response shows no rate limit")
		case remaining < x.share(p)/2:
			return warning(org.InOkta, org.ChangeLimit, "only %s: other clients use the same limit", left(p))
		}
		shares = append(shares, fmt.Sprintf("%d of %d requests per minute to %s", x.share(p), limit, p.path))
	}
	return ok("%s (okta.rate_limit_share %v)", strings.Join(shares, ", "), x.cfg.Okta.RateLimitShare)
}
