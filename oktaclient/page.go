package oktaclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"unicode/utf8"
)

// page is what an answer holds. Its memory is used again for the next one.
type page struct {
	buf   []byte
	users []User
	next  *url.URL // nil: the last page
}

// parse takes a page of users from the answer to a request for at, if the whole
// of it is right. size is the number of users asked for.
func (p *page) parse(a *answer, at *url.URL, size int) (err error) {
	if err := checkJSON(a.resp.Header); err != nil {
		return err
	}
	if p.users, err = cutUsers(a.body, p.users[:0]); err != nil {
		return &rejection{class: "broken JSON", err: err}
	}
	if len(a.resp.Header.Values("Link")) == 0 && len(p.users) >= size {
		// Okta's lists always name themselves. Without that, a next link
		// may be missing too, and users with it.
		return &rejection{class: "broken Link", err: errors.New("a full page without a Link header")}
	}
	if p.next, err = nextPage(a.resp.Header, at); err != nil {
		return &rejection{class: "broken Link", err: err}
	}
	a.request.Rows = len(p.users)
	return nil
}

// parseUser takes a single user from an answer.
func parseUser(a *answer) (User, error) {
	if err := checkJSON(a.resp.Header); err != nil {
		return User{}, err
	}
	users, err := cutUsers(append(append([]byte{'['}, a.body...), ']'), nil)
	if err == nil && len(users) != 1 {
		err = errors.New("broken JSON")
	}
	if err != nil {
		return User{}, &rejection{class: "broken JSON", err: err}
	}
	a.request.Rows = 1
	return users[0], nil
}

// checkJSON refuses what the edge or a proxy answers in Okta's place.
func checkJSON(h http.Header) error {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if kind != "application/json" {
		return &rejection{class: "not JSON", err: fmt.Errorf("answer is not JSON but %q", word(kind))}
	}
	return nil
}

func cutUsers(body []byte, users []User) ([]User, error) {
	var raw []json.RawMessage
	if !utf8.Valid(body) {
		return nil, errors.New("broken JSON")
	}
	if err := json.Unmarshal(body, &raw); err != nil || raw == nil {
		return nil, errors.New("broken JSON")
	}
	for _, r := range raw {
		var u struct {
			ID          string `json:"id"`
			Status      string `json:"status"`
			LastUpdated string `json:"lastUpdated"`
		}
		if err := json.Unmarshal(r, &u); err != nil || u.ID == "" || u.Status == "" {
			return nil, errors.New("broken JSON")
		}
		users = append(users, User{u.ID, u.Status, u.LastUpdated, r})
	}
	return users, nil
}
