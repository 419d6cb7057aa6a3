package web

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestRelative(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "just now", -900 * time.Millisecond: "just now", 59 * time.Second: "in 59 s",
		-90 * time.Second: "1 min ago", 3*time.Hour + time.Minute: "in 3 h", -49 * time.Hour: "2 days ago"} {
		if got := relative(d); got != want {
			t.Errorf("relative(%s) = %s, want %s", d, got, want)
		}
	}
}

// The vertical axis begins at zero, and the horizontal one is linear in time. A run
// without a count has a mark, but no point on the line.
func TestTrend(t *testing.T) {
	run := func(outcome string, hour, users int) Run {
		r := Run{Outcome: outcome, Ended: At(time.Date(2026, 11, 23, hour, 0, 0, 0, time.UTC))}
		if users >= 0 {
			r.Records = &users
		}
		return r
	}
	const published, failed = "published", "failed"
	for _, test := range []struct {
		name            string
		runs            []Run
		line, axes, top string
		text            string
	}{
		{"none", nil, "", "", "", ""},
		{"one", []Run{run(published, 6, 5)}, "M297.0 16.7h0.1", " to 23 Nov, 07:00:00", "6", "Users, last 1 run: 5 to 5, now 5"},
		{"only failures", []Run{run(failed, 6, -1), run(failed, 7, -1)}, "", "23 Nov, 07:00 to 23 Nov, 08:00", "", "No run has published a snapshot yet."},
		{"no records", []Run{run(published, 6, 0)}, "M297.0 100.0h0.1", " to 23 Nov, 07:00:00", "2", "Users, last 1 run: 0 to 0, now 0"},
		{"a gap", []Run{run(published, 6, 1000), run(failed, 7, -1), run(published, 9, 1500)}, "M3.0 50.0L297.0 25.0h0.1", "23 Nov, 07:00 to 23 Nov, 10:00", "2,000",
			"Users, last 3 runs: 1,000 to 1,500, now 1,500"},
	} {
		got := newTrend("users", "Europe/Berlin", test.runs)
		axes, top := "", ""
		if len(got.Marks) > 0 {
			axes = got.From + " to " + got.To
		}
		if len(got.Ticks) > 0 {
			top = got.Ticks[0]
		}
		if got.Line != test.line || got.Text != test.text || axes != test.axes || top != test.top || len(got.Marks) != len(test.runs) {
			t.Errorf("%s: %+v, want %+v", test.name, got, test)
		}
		if n := len(got.Marks); n > 0 && got.Marks[n-1].X != trendWidth-markWidth {
			t.Errorf("%s: the newest mark is at %g", test.name, got.Marks[n-1].X)
		}
	}
}

// The page escapes markup in errors.
func TestPageEscapes(t *testing.T) {
	o := Status{Exports: []Export{{Export: "staff", State: "failing", Reason: `<script>alert("x")</script>`}}}
	var page strings.Builder
	if err := pageTemplate().ExecuteTemplate(&page, "status.html", o); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page.String(), "The export needs attention") || strings.Contains(page.String(), "<script>") {
		t.Errorf("page = %s", &page)
	}
}

// Only users have a bar of their statuses.
func TestPageShowsTheStatusesOfUsers(t *testing.T) {
	newest := &Newest{Records: []Records{
		{Resource: "users", Total: 3, ByStatus: map[string]int{"SUSPENDED": 3}},
		{Resource: "apps", Total: 2, ByStatus: map[string]int{"INACTIVE": 2}},
		{Resource: "role_assignments", Total: 1, ByStatus: map[string]int{"SUPER_ADMIN": 1}},
	}}
	var page strings.Builder
	if err := pageTemplate().ExecuteTemplate(&page, "status.html", Status{Exports: []Export{{Export: "staff", State: "up to date", Newest: newest}}}); err != nil {
		t.Fatal(err)
	}
	if text := page.String(); strings.Count(text, "Users by status") != 1 || !strings.Contains(text, "<span>SUSPENDED</span>") {
		t.Errorf("page = %s", text)
	}
}

// docs/operating.md describes each state.
func TestEveryStateIsInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		if !strings.Contains(string(page), "\n| `"+s+"` | ") {
			t.Errorf("docs/operating.md has no row for the state %s", s)
		}
	}
}
