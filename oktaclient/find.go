package oktaclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Find reads the records with these ids, which are missing from the result of a
// read of q. A read by id is current, while Okta's lists come from
// an index that lags. Okta's own 404 with the code E0000007 proves that a record
// doesn't exist, and Find passes nothing for it. Any other failure is an error,
// except that [Query.SkipForbidden] ignores status 403.
//
// A record read by id can differ from the same record in a list: a user has more
// links. So Find reads each existing record once more from a list, unless Okta can't
// filter the list by id. With a search, the list also decides whether the query
// selects the record.
func (c *Client) Find(ctx context.Context, q Query, ids []string, sink Sink) (ReadResult, error) {
	r, err := c.newRead(q, sink)
	if err != nil {
		return ReadResult{}, err
	}
	if s := q.Resource.Strategy; s == PerParent || s == Roles {
		return ReadResult{}, fmt.Errorf("%s have no ids of their own", q.Resource.Name)
	}
	existing, err := r.existing(ctx, ids)
	for len(existing) > 0 && err == nil && q.Resource.filterable {
		some := existing[:min(len(existing), idsPerList)]
		existing = existing[len(some):]
		_, err = (&list{r: r, listing: listOf(q, some)}).read(ctx)
	}
	return r.result(), err
}

// idsPerList is the most ids in one expression, so that Okta's Link headers,
// which repeat it, stay short.
const idsPerList = 20

// existing requests each record by id and returns the ids of those that exist.
func (r *read) existing(ctx context.Context, ids []string) ([]string, error) {
	var (
		mu    sync.Mutex
		found []string
	)
	g, limited := errgroup.WithContext(ctx)
	g.SetLimit(r.c.cfg.Concurrency)
	for _, id := range ids {
		if limited.Err() != nil {
			break
		}
		g.Go(func() (err error) {
			defer recoverPanic(&err)
			record, a, err := r.byID(limited, id)
			if e, ok := errors.AsType[*Error](err); ok && (e.missing() || e.Status == http.StatusForbidden && r.query.SkipForbidden) {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			found = append(found, id)
			mu.Unlock()
			return r.deliver(listing{outside: r.query.Search != ""}, []Record{record}, a)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return found, context.Cause(ctx)
}

func (r *read) byID(ctx context.Context, id string) (record Record, a *attempt, err error) {
	if id == "" || id == "." || id == ".." {
		return Record{}, nil, errors.New("empty id")
	}
	u, err := r.c.org.Parse(r.query.Resource.Path + "/" + url.PathEscape(id))
	if err != nil {
		return Record{}, nil, err
	}
	a, err = r.c.send(ctx, &call{url: u, record: r.report, accept: func(a *attempt) (err error) {
		if record, err = parseRecord(a, r.query.Resource.hasStatus); err == nil && record.ID != id {
			err = &rejection{class: "another record", err: errors.New("response has another id")}
		}
		a.request.RecordStatus = record.Status
		return err
	}})
	return record, a, err
}

// listOf returns the list of the records with these ids that q selects.
func listOf(q Query, ids []string) listing {
	any := IDFilter(ids)
	if q.Search != "" {
		return listing{search: "(" + q.Search + ") and (" + any + ")"}
	}
	return listing{filter: any}
}

// IDFilter returns the filter expression that selects records by id.
func IDFilter(ids []string) string {
	terms := make([]string, len(ids))
	for i, id := range ids {
		quoted, _ := json.Marshal(id) // a string has no encoding error
		terms[i] = "id eq " + string(quoted)
	}
	return strings.Join(terms, " or ")
}
