package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

// runs says how the reconciles that are given ended, and how many users there
// were then. It is called with the views' lock held.
func (s *service) runs(export string, ends []snapshot.Event) []runOverview {
	folder := filepath.Join(s.store.Dir(), export)
	before, now := s.views.totals[folder], make(map[string]int)
	runs := make([]runOverview, len(ends))
	for i, end := range ends {
		runs[i] = runOverview{Ended: end.Time, Outcome: end.Event, Snapshot: end.Snapshot}
		if end.Event != snapshot.EventPublished && end.Event != snapshot.EventUnchanged {
			continue
		}
		total, known := before[end.Snapshot]
		if !known {
			m, err := s.store.Manifest(export, end.Snapshot)
			if err != nil {
				continue // damaged; verify says so
			}
			total = m.Resources.Users.Total
		}
		now[end.Snapshot], runs[i].Users = total, &total
	}
	if s.views.totals == nil {
		s.views.totals = make(map[string]map[string]int)
	}
	s.views.totals[folder] = now // what is older is forgotten
	return runs
}

// trend is a drawing of runs: a line of how many users there were over a mark
// for each run, oldest at the left. It is trendWidth wide.
type trend struct {
	Line, Area string // what a path's d takes; "" with fewer than two counts
	Marks      []trendMark
	Low, High  int
	Text       string // the same for whoever can't see it
}

type trendMark struct {
	X                float64
	Outcome, Caption string
}

const (
	trendRuns   = 30
	trendStep   = 10 // of a run's place
	trendWidth  = trendRuns * trendStep
	trendHeight = 60
	trendMargin = 4 // above and below the line
)

// trendOf draws runs. The newest stands at the right, however few there are.
func trendOf(runs []runOverview) trend {
	var t trend
	var counts []int
	outcomes := make(map[string]int)
	first := trendRuns - len(runs)
	for i, run := range runs {
		x := float64((first + i) * trendStep)
		caption := run.Outcome + " " + run.Ended.UTC().Format("2006-01-02 15:04:05Z")
		if run.Users != nil {
			caption += ", " + term.Grouped(*run.Users) + " users"
			counts = append(counts, *run.Users)
		}
		t.Marks = append(t.Marks, trendMark{x, run.Outcome, caption})
		outcomes[run.Outcome]++
	}
	if len(counts) == 0 {
		return t
	}
	t.Low, t.High = slices.Min(counts), slices.Max(counts)
	t.Text = fmt.Sprintf("Users over the last %s: between %s and %s, now %s.",
		term.Plural(len(runs), "run"), term.Grouped(t.Low), term.Grouped(t.High), term.Grouped(counts[len(counts)-1]))
	for _, bad := range []string{snapshot.EventFailed, snapshot.EventQuarantined, snapshot.EventCancelled} {
		if n := outcomes[bad]; n > 0 {
			t.Text += fmt.Sprintf(" %d %s.", n, bad)
		}
	}
	if len(counts) > 1 {
		t.draw(runs, first)
	}
	return t
}

// draw joins the counts, over the runs that had none.
func (t *trend) draw(runs []runOverview, first int) {
	var line strings.Builder
	var from, to float64
	for i, run := range runs {
		if run.Users == nil {
			continue
		}
		y := float64(trendHeight) / 2
		if t.High > t.Low {
			y = trendMargin + (trendHeight-2*trendMargin)*float64(t.High-*run.Users)/float64(t.High-t.Low)
		}
		to = (float64(first+i) + 0.5) * trendStep
		command := "L"
		if line.Len() == 0 {
			command, from = "M", to
		}
		fmt.Fprintf(&line, "%s%g %.1f", command, to, y)
	}
	t.Line = line.String()
	t.Area = fmt.Sprintf("%sL%g %dL%g %dZ", t.Line, to, trendHeight, from, trendHeight)
}
