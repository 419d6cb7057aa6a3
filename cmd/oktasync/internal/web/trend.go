package web

import (
	"fmt"
	"slices"
	"strings"

	"oktasync/cmd/oktasync/internal/term"
)

// trend is a chart of runs, the oldest at the left: a line of the record counts above a
// mark for each run. It is trendWidth wide.
type trend struct {
	Line, Area string // the d attribute of a path; "" with fewer than two counts
	Marks      []trendMark
	Low, High  int
	Text       string // describes the chart for screen readers
}

type trendMark struct {
	X                float64
	Outcome, Caption string
}

const (
	trendRuns   = 30
	trendStep   = 10 // width of a run
	trendWidth  = trendRuns * trendStep
	trendHeight = 60
	trendMargin = 4 // above and below the line
)

// newTrend returns the chart of the records of a resource. The newest run is at the
// right edge.
func newTrend(resource string, runs []Run) trend {
	var t trend
	var counts []int
	outcomes := make(map[string]int)
	first := trendRuns - len(runs)
	for i, run := range runs {
		x := float64((first + i) * trendStep)
		caption := run.Outcome + " " + run.Ended.UTC().Format("2006-01-02 15:04:05Z")
		if run.Records != nil {
			caption += ", " + term.Grouped(*run.Records) + " " + resource
			counts = append(counts, *run.Records)
		}
		t.Marks = append(t.Marks, trendMark{x, run.Outcome, caption})
		outcomes[run.Outcome]++
	}
	if len(counts) == 0 {
		return t
	}
	t.Low, t.High = slices.Min(counts), slices.Max(counts)
	t.Text = fmt.Sprintf("%s over the last %s: between %s and %s, now %s.", capital(resource),
		term.Plural(len(runs), "run"), term.Grouped(t.Low), term.Grouped(t.High), term.Grouped(counts[len(counts)-1]))
	for _, bad := range []string{"failed", "quarantined", "cancelled"} {
		if n := outcomes[bad]; n > 0 {
			t.Text += fmt.Sprintf(" %d %s.", n, bad)
		}
	}
	if len(counts) > 1 {
		t.draw(runs, first)
	}
	return t
}

// draw draws the line and skips runs without a count.
func (t *trend) draw(runs []Run, first int) {
	var line strings.Builder
	var from, to float64
	for i, run := range runs {
		if run.Records == nil {
			continue
		}
		y := float64(trendHeight) / 2
		if t.High > t.Low {
			y = trendMargin + (trendHeight-2*trendMargin)*float64(t.High-*run.Records)/float64(t.High-t.Low)
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

// capital returns word with a capital first letter.
func capital(word string) string { return strings.ToUpper(word[:1]) + word[1:] }
