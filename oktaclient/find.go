package oktaclient

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// User reads the user with the given id. Such a read is current, where lists
// come from an index that lags. A user that does not exist, or no longer, is
// an [*Error] with status 404. The user's JSON is the caller's to keep.
func (c *Client) User(ctx context.Context, id string) (User, error) {
	user, _, err := c.user(ctx, id, nil)
	return user, err
}

func (c *Client) user(ctx context.Context, id string, record func(*answer) error) (User, *answer, error) {
	if id == "" || id == "." || id == ".." {
		return User{}, nil, errors.New("no user id")
	}
	u, err := c.org.Parse(usersPath + "/" + url.PathEscape(id))
	if err != nil {
		return User{}, nil, err
	}
	var user User
	a, err := c.send(ctx, &call{url: u, record: record, accept: func(a *answer) (err error) {
		if user, err = parseUser(a); err == nil && user.ID != id {
			err = &rejection{class: "another user", err: errors.New("answer is about another user")}
		}
		return err
	}})
	return user, a, err
}

// Find looks for users whom a reading of q missed, by their ids. Only who is
// not found does not exist: a read by id is current, and its 404 with Okta's
// own code is the proof. Whoever exists is told to sink, as a User if q is of
// them and as Outside if not.
//
// An object read by id can differ from the same one in a list, which has fewer
// links for one. So whoever exists is read once more from a list, and it is the
// list too that tells whether a search finds them.
func (c *Client) Find(ctx context.Context, q Query, ids []string, sink Sink) (Reading, error) {
	r := c.newReading(q, sink)
	exist, err := r.exist(ctx, ids)
	for len(exist) > 0 && err == nil {
		some := exist[:min(len(exist), idsAtOnce)]
		exist = exist[len(some):]
		_, err = (&list{r: r, listing: listOf(q, some)}).read(ctx)
	}
	return r.sum(), err
}

// idsAtOnce is how many users one expression names, so that Okta's Link
// headers, which repeat it, stay short.
const idsAtOnce = 20

// exist asks for each user by id and returns the ids of those who exist.
func (r *reading) exist(ctx context.Context, ids []string) ([]string, error) {
	var (
		mu    sync.Mutex
		found []string
	)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.c.cfg.Concurrency)
	for _, id := range ids {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			user, a, err := r.c.user(ctx, id, r.record)
			if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound && e.Code == "E0000007" {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			found = append(found, id)
			mu.Unlock()
			return r.deliver([]User{user}, r.query.Search != "", a) // who fits a search, the list tells
		})
	}
	err := g.Wait()
	return found, err
}

// listOf is the list of those among the users with these ids whom q is of.
func listOf(q Query, ids []string) listing {
	var terms []string
	for _, id := range ids {
		quoted, _ := json.Marshal(id) // a string always can be
		terms = append(terms, "id eq "+string(quoted))
	}
	any := strings.Join(terms, " or ")
	if q.Search != "" {
		return listing{search: "(" + q.Search + ") and (" + any + ")"}
	}
	return listing{filter: any}
}
