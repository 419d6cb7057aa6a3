package e2e

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// An export of users sends only requests for users: in the first read, in a read after a
// deletion, and in a read with several requests in flight.
func TestRequestsOfAnExportOfUsers(t *testing.T) {
	t.Parallel()
	list := []string{
		"POST /oauth2/v1/token",
		"POST /oauth2/v1/token", // with the nonce
		"GET /api/v1/users?limit=200",
		"GET /api/v1/users?…&limit=200",
		"GET /api/v1/users?…&limit=200",
		`GET /api/v1/users?limit=200&filter=status eq "DEPROVISIONED"`,
		`GET /api/v1/users?limit=200&filter=lastUpdated ge "…"`,
	}
	s := newSite(t, sandbox.Config{Users: 450, Seed: 137, Deprovisioned: 30})
	s.configure(t, "", "okta:\n", "okta:\n  concurrency: 1\n")
	s.wantRequests(t, list)
	s.org.Delete(1)
	s.wantRequests(t, append(slices.Clone(list), "GET /api/v1/users/…"))
	s.configure(t, "")
	s.wantRequests(t, append(slices.Clone(list[:2]),
		`GET /api/v1/users?limit=200&filter=lastUpdated ge "…"`,
		`GET /api/v1/users?limit=200&filter=lastUpdated ge "…"`, // to settle
		`GET /api/v1/users?limit=200&filter=lastUpdated ge "…" and lastUpdated lt "…"`,
		`GET /api/v1/users?limit=200&filter=lastUpdated ge "…" and lastUpdated lt "…"`))
}

// A response that dpopauth turns into an error has its status and request id in the
// transcript, and its class in the metrics.
func TestRejectedRequestIsRecorded(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 10, Seed: 138})
	d := s.start(t, everySecond+"    users: {}\n    apps: {optional: true}\n")
	d.wait("snapshot published")
	transcript := read(t, s.path("snapshots/all-users/latest/requests.ndjson"))
	rejected := regexp.MustCompile(`.*"path":"/api/v1/apps\?limit=200".*`).FindString(transcript)
	var line struct {
		Status    int
		RequestID string `json:"request_id"`
		Error     string
	}
	if err := json.Unmarshal([]byte(rejected), &line); err != nil || line.Status != 403 || line.RequestID == "" || line.Error != "authentication" {
		t.Errorf("line %q (%v): want status 403 and a request id in\n%s", rejected, err, transcript)
	}
	_, metrics := get(t, d.url+"/metrics")
	if !strings.Contains(metrics, `oktasync_requests_total{class="4xx",endpoint="api"}`) || strings.Contains(metrics, `{class="none",endpoint="api"}`) {
		t.Errorf("metrics = %s", metrics)
	}
}

var variable = regexp.MustCompile(`after=[^&]*|\d{4}-\d{2}-\d{2}T[\d:.]+Z|00u[^?]+`)

// wantRequests checks the requests of an apply. In want, … stands for a cursor, a time or
// an id.
func (s *site) wantRequests(t *testing.T, want []string) {
	t.Helper()
	s.must(t, 0, "apply")
	var got []string
	for line := range strings.Lines(read(t, s.path("snapshots/all-users/latest/requests.ndjson"))) {
		var r struct{ Method, Path string }
		check(t, json.Unmarshal([]byte(line), &r))
		path, err := url.PathUnescape(r.Path)
		check(t, err)
		got = append(got, r.Method+" "+variable.ReplaceAllString(path, "…"))
	}
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("requests = %s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
