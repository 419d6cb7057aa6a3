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
	shown := b.text()
	for _, text := range []string{"1,203 users", "3 joined", "all-users=2:", "all users, deprovisioned included",
		"0 6 * * * in Europe/Berlin", "expires", "agrees with this host's", "Users over the last", "between 1,200 and 1,203"} {
		if !strings.Contains(shown, text) {
			t.Errorf("the page doesn't show %q:\n%s", text, shown)
		}
	}
	if strings.Contains(shown, "Sales") {
		t.Error("the page shows the search, which may contain names")
	}
	b.checkLayout(page, "up-to-date")

	s.org.Inject(sandbox.Fault{Forever: true, Status: 403, Code: "E0000006"})
	b.shows(page, "1 of 2 exports needs attention")
	if shown := b.text(); !strings.Contains(shown, "all-users is failing since") || !strings.Contains(shown, "E0000006") {
		t.Errorf("the page doesn't name the failure:\n%s", shown)
	}
	b.checkLayout(page, "failing")

	s.org.ClearFaults()
	s.org.Wipe()
	b.shows(page, "all-users is quarantined since")
	if shown := b.text(); !strings.Contains(shown, "oktasync quarantine diff all-users@2") || !strings.Contains(shown, " in quarantine") {
		t.Errorf("the page doesn't name the command:\n%s", shown)
	}
	b.checkLayout(page, "quarantined")

	s.org.Restore()
	b.shows(page, "All 2 exports are up to date")
	b.checkLayout(page, "recovered")
	b.checkConsole(d.url)
	d.stop(syscall.SIGTERM)
}
