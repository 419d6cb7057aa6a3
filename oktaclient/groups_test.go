package oktaclient_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"oktasync/oktaclient"
)

func TestReadGroups(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		o := newOrg(95)
		o.of = oktaclient.Groups
		c := o.client(t, func(cfg *oktaclient.Config) { cfg.Concurrency = concurrency })
		s, result := o.read(t, c)
		if !result.Settled || result.Requests != 10+1 || len(s.outside) != 0 {
			t.Errorf("result = %+v, want ten pages and one settling pass", result)
		}
		for _, g := range s.users {
			if g.Status != "" || g.LastUpdated != updated || string(g.JSON) != o.record(g.ID) {
				t.Fatalf("group %s = %+v, %s", g.ID, g, g.JSON)
			}
		}
		for i, r := range s.requests {
			want := "/api/v1/groups?limit=10"
			if i == 10 {
				want += "&filter=lastUpdated%20ge%20"
			}
			if r.Resource != "groups" || !strings.HasPrefix(r.Path, strings.Split(want, "?")[0]) || i%10 == 0 && !strings.HasPrefix(r.Path, want) {
				t.Errorf("request %d = %+v, want %s", i, r, want)
			}
		}
		found := &sink{}
		result, err := c.Find(t.Context(), oktaclient.Query{Resource: oktaclient.Groups}, []string{"00u00003", "00g"}, found)
		if err != nil || !slices.Equal(found.ids(), []string{"00u00003"}) || result.Requests != 3 {
			t.Errorf("Find() found %v in %+v, %v; want one group", found.ids(), result, err)
		}
	}
}

func TestReadNeedsAResource(t *testing.T) {
	if _, err := newOrg(5).client(t, nil).Read(t.Context(), oktaclient.Query{}, &sink{}); err == nil {
		t.Error("Read() without a resource succeeded")
	}
}

// A user without a status is an error; a group has none.
func TestReadNeedsAStatus(t *testing.T) {
	o := newOrg(5)
	o.hook = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.Write([]byte(`[{"id":"00u1"}]`))
		return true
	}
	if _, err := readError(t, o.client(t, nil)); err.Class() != "broken JSON" {
		t.Errorf("error = %v, want one about the JSON", err)
	}
}
