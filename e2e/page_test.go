package e2e

import (
	_ "embed"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// pageChecks is a script that returns the layout and accessibility problems of a
// page.
//
//go:embed testdata/page.js
var pageChecks string

// chartChecks is a script that returns the problems of the charts of a page: axes, and
// colors.
//
//go:embed testdata/charts.js
var chartChecks string

// screens are the sizes of windows.
var screens = []struct {
	name          string
	width, height int
}{{"desktop", 1280, 800}, {"phone", 390, 844}, {"small", 360, 640}}

// checkLayout checks the current page at every size and in both color schemes.
func (b *browser) checkLayout(url, name string) {
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

// The status page in a browser, while all exports are up to date, one fails, one is
// quarantined, and all have recovered.
func TestPageInABrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := newSite(t, sandbox.Config{Users: 1200, Seed: 91})
	d := s.start(t, everySecond+"    retry: {most: 0}\n    snapshot: on_change\n"+
		"  - name: active-staff\n    time_zone: Europe/Berlin\n    schedule: \"0 6 * * *\"\n    users: {include_deprovisioned: false, search: 'profile.department eq \"Sales\"'}\n")
	d.wait("snapshot published")
	s.org.Join(3)
	d.wait("snapshot published")
	page := d.url + "/"
	b.screen(1280, 800, "light")
	b.shows(page, "All 2 exports are up to date")
	b.wantTexts("1,203", "3 joined", "expires", "agrees with this host's", "Users, last ", "1,200 to 1,203, now 1,203")
	b.checkLayout(page, "up-to-date")
	b.open(page + "exports/active-staff")
	b.wantTexts("0 6 * * * in Europe/Berlin", "a search that isn't shown here", "No snapshot yet")
	if strings.Contains(b.text(), "Sales") {
		t.Error("the page shows the search, which may contain names")
	}
	b.shows(page+"exports/all-users", "all-users=")
	b.wantTexts("all users, deprovisioned included", "published", "The last ")
	b.checkLayout(page+"exports/all-users", "export")

	s.org.Inject(sandbox.Fault{Forever: true, Status: 403, Code: "E0000006"})
	b.shows(page, "1 of 2 exports needs attention")
	b.wantTexts("all-users is failing since")
	s.org.ClearFaults()
	s.org.Wipe()
	b.shows(page, "all-users is quarantined since")
	s.org.Restore()
	b.shows(page, "All 2 exports are up to date")
	b.checkConsole(d.url)
	d.stop(syscall.SIGTERM)
}

// everyResource declares all resources except factors and API tokens, which need a
// role that the test's app doesn't have.
const everyResource = allResources + "    role_assignments: {}\n    factors: {}\n"

// The status page of three exports: one that fails, one with all resources, and one that
// is quarantined.
func TestPageOfThreeExports(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	s := newSite(t, sandbox.Config{Users: 1200, Seed: 91}, "okta.users.read", "okta.groups.read", "okta.apps.read", "okta.roles.read")
	rules := "    snapshot: on_change\n    retry: {most: 0}\n"
	config := everyHour + rules + "  - name: workforce\n" + everyHour + everyResource + "  - name: groups-only\n" + everySecond + rules + "    groups: {}\n"
	d := s.start(t, config)
	page := d.url + "/"
	for range 3 {
		d.wait("snapshot published")
	}
	for range 5 {
		s.org.Join(5)
		s.org.Move(3)
		s.org.Deactivate(2)
		s.must(t, 0, "apply", "all-users", "workforce")
	}
	s.org.Wipe()
	s.must(t, 3, "apply", "all-users")
	s.org.Restore()
	s.org.Inject(sandbox.Fault{Path: "/api/v1/groups", Forever: true, Status: 403, Code: "E0000006"})
	b.screen(1280, 800, "light")
	b.shows(page, "2 of 3 exports need attention")
	b.shows(page, "groups-only is failing since")
	b.wantTexts(
		"Cause read groups: okta: 403 E0000006", "Remedy reading groups needs the scope okta.groups.read", "Command oktasync doctor",
		"Cause 0 users read", "Remedy check the changes", "Command oktasync quarantine diff all-users",
		"UTC", "2,000", "1,000", "group_members", "app_users", "role_assignments", "factors", "5 joined")
	b.checkLayout(page, "three-exports")
	for _, scheme := range []string{"light", "dark"} {
		b.screen(390, 844, scheme)
		b.open(page)
		var height int
		b.eval("document.documentElement.scrollHeight", &height)
		if height > 4*844 {
			t.Errorf("on a phone, the page is %d pixels high, want at most 4 screens of 844", height)
		}
		var problems []string
		b.eval(chartChecks, &problems)
		for _, problem := range problems {
			t.Errorf("%s: %s", scheme, problem)
		}
	}
	b.checkConsole(d.url)
	d.stop(syscall.SIGTERM)
}

// wantTexts fails the test if the page doesn't show one of the texts.
func (b *browser) wantTexts(texts ...string) {
	b.t.Helper()
	shown := b.text()
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			b.t.Errorf("the page doesn't show %q:\n%s", text, shown)
		}
	}
}
