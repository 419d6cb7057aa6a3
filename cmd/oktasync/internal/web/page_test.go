package web

import (
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

// A run without a count has a mark, but no point on the line. If all counts are equal,
// the line is in the middle.
func TestTrend(t *testing.T) {
	run := func(outcome string, users int) Run {
		r := Run{Outcome: outcome, Ended: At(time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC))}
		if users >= 0 {
			r.Records = &users
		}
		return r
	}
	published, failed := "published", "failed"
	for _, test := range []struct {
		name string
		runs []Run
		line string
		text string
	}{
		{"none", nil, "", ""},
		{"one", []Run{run(published, 5)}, "", "Users over the last 1 run: between 5 and 5, now 5."},
		{"only failures", []Run{run(failed, -1), run(failed, -1)}, "", ""},
		{"the same", []Run{run(published, 7), run(published, 7)}, "M285 30.0L295 30.0", "Users over the last 2 runs: between 7 and 7, now 7."},
		{"a gap", []Run{run(published, 1000), run(failed, -1), run(published, 3000)}, "M275 56.0L295 4.0",
			"Users over the last 3 runs: between 1,000 and 3,000, now 3,000. 1 failed."},
	} {
		got := newTrend("users", test.runs)
		if got.Line != test.line || got.Text != test.text || len(got.Marks) != len(test.runs) {
			t.Errorf("%s: %q, %q and %d marks, want %q and %q", test.name, got.Line, got.Text, len(got.Marks), test.line, test.text)
		}
		if len(got.Marks) > 0 && got.Marks[len(got.Marks)-1].X != trendWidth-trendStep {
			t.Errorf("%s: the newest is at %g", test.name, got.Marks[len(got.Marks)-1].X)
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
