package e2e

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// pageChecks returns what is wrong with a page for whoever reads it.
//
//go:embed testdata/page.js
var pageChecks string

// screens are what people look at the page with.
var screens = []struct {
	name          string
	width, height int
}{{"desktop", 1280, 800}, {"phone", 390, 844}, {"small", 360, 640}}

// sound checks the page as it stands at every size and in both colour schemes.
func (b *browser) sound(url, name string) {
	b.t.Helper()
	for i, screen := range screens {
		for j, scheme := range []string{"light", "dark"} {
			if i != j && !long() { // desktop in light, phone in dark
				continue
			}
			b.screen(screen.width, screen.height, scheme)
			b.open(url)
			b.picture(fmt.Sprintf("%s-%s-%s", name, screen.name, scheme))
			var problems []string
			b.eval(pageChecks, &problems)
			for _, problem := range problems {
				b.t.Errorf("%s, %s, %s: %s", name, screen.name, scheme, problem)
			}
		}
	}
	b.screen(screens[0].width, screens[0].height, "light")
}

// The page in a browser, while all is fresh, an export fails, is held back and
// recovers.
func TestPageInABrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := newTestSite(t, sandbox.Config{Users: 1200, Seed: 91})
	d := s.startWith(t, s.daemonConfig(everySecond+"    retry: {most: 0}\n    snapshot: on_change\n"+
		"  - name: active-staff\n    time_zone: Europe/Berlin\n    schedule: \"0 6 * * *\"\n    users: {include_deprovisioned: false, search: 'profile.department eq \"Sales\"'}\n"))
	d.wait("snapshot published")
	s.org.Join(3)
	d.wait("snapshot published")
	page := d.url + "/"
	b.screen(1280, 800, "light")
	b.shows(page, "All 2 exports are fresh")
	shown := b.text()
	for _, text := range []string{"1,203 users", "3 joined", "all-users=2:", "all users, deprovisioned included",
		"0 6 * * * in Europe/Berlin", "expires", "agrees with ours", "Users over the last", "between 1,200 and 1,203"} {
		if !strings.Contains(shown, text) {
			t.Errorf("the page does not show %q:\n%s", text, shown)
		}
	}
	if strings.Contains(shown, "Sales") {
		t.Error("the page shows the search, which may name people")
	}
	b.sound(page, "fresh")

	s.org.Inject(sandbox.Fault{Forever: true, Status: 403, Code: "E0000006"})
	b.shows(page, "1 of 2 exports needs attention")
	if shown := b.text(); !strings.Contains(shown, "all-users is failing since") || !strings.Contains(shown, "E0000006") {
		t.Errorf("the page does not say what fails:\n%s", shown)
	}
	b.sound(page, "failing")

	s.org.ClearFaults()
	s.org.Wipe()
	b.shows(page, "In quarantine")
	if shown := b.text(); !strings.Contains(shown, "oktasync quarantine diff all-users@2") || !strings.Contains(shown, "all-users is quarantined since") {
		t.Errorf("the page does not say how to look at it:\n%s", shown)
	}
	b.sound(page, "quarantined")

	s.org.Restore()
	b.shows(page, "All 2 exports are fresh")
	b.sound(page, "recovered")
	b.clean(d.url)
	d.stop(syscall.SIGTERM)
}

// /api/v1/status has what the page shows, and neither a secret nor a user.
func TestStatusAsJSON(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 50, Seed: 92})
	d := s.start(t, everySecond)
	d.wait("snapshot published")
	s.org.Move(1)
	d.wait("snapshot published")
	var got struct {
		Fresh   bool
		Org     string
		Exports []struct {
			Export, State string
			Newest        struct {
				Users, Sequence int
				ManifestSHA256  string `json:"manifest_sha256"`
			}
			Runs []struct {
				Outcome string
				Users   int
			}
			Next, LastSuccess *string
		}
		Okta struct {
			TokenExpiry string `json:"token_expiry"`
			RateLimits  []struct {
				Bucket      string
				Used, Share int
			} `json:"rate_limits"`
		}
	}
	status, body := get(t, d.url+"/api/v1/status")
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK {
		t.Fatalf("status %d, %v\n%s", status, err, body)
	}
	if len(got.Exports) != 1 || !got.Fresh || got.Org != s.server.URL || got.Okta.TokenExpiry == "" || len(got.Okta.RateLimits) == 0 {
		t.Fatalf("/api/v1/status = %s", body)
	}
	if e := got.Exports[0]; e.Newest.Users != 50 || e.Newest.Sequence < 2 || len(e.Newest.ManifestSHA256) != 64 ||
		len(e.Runs) < 2 || e.Runs[0].Users != 50 || e.Runs[0].Outcome != "published" {
		t.Errorf("/api/v1/status = %s", body)
	}
	_, page := get(t, d.url+"/")
	secret := regexp.MustCompile(`\w@\w+\.\w|eyJ|PRIVATE`) // an address, a token, a key
	for _, where := range []string{body, page} {
		if m := secret.FindString(where); m != "" {
			t.Errorf("%q is shown:\n%s", m, where)
		}
	}
	d.stop(syscall.SIGTERM)
}
