package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/term"
)

// trend is a chart of the record counts of runs over time, above a mark for each run.
// Its vertical axis begins at zero.
type trend struct {
	Line, Area string // the d attribute of a path; "" without a count
	Marks      []trendMark
	Ticks      []string // the labels of the vertical axis, from the top to zero
	From, To   string   // the labels of the horizontal axis; From is "" if all runs ended at one time
	Zone       string
	Outcomes   []Count
	Text       string // describes the chart for screen readers
}

type trendMark struct {
	X                float64
	Outcome, Caption string
}

// The size of the chart, in its own units.
const (
	trendWidth  = 300
	trendHeight = 100
	markWidth   = 6 // the width of a mark
)

// outcomes are the outcomes of a run, in the order of the legend.
var outcomes = []string{"published", "unchanged", "failed", "quarantined", "cancelled"}

// newTrend returns the chart of the records of a resource. The runs are ordered by
// time.
func newTrend(resource, zone string, runs []Run) trend {
	if len(runs) == 0 {
		return trend{}
	}
	place := location(zone)
	start, end := runs[0].Ended.Time, runs[len(runs)-1].Ended.Time
	t := trend{Zone: place.String(), To: dateLabel(end, end.Sub(start), place)}
	if start.Before(end) {
		t.From = dateLabel(start, end.Sub(start), place)
	}
	var counts []int
	number := make(map[string]int)
	for _, run := range runs {
		caption := run.Outcome + ", " + run.Ended.In(place).Format("2 Jan 2006, 15:04:05 MST")
		if run.Records != nil {
			caption += ", " + term.Grouped(*run.Records) + " " + resource
			counts = append(counts, *run.Records)
		}
		t.Marks = append(t.Marks, trendMark{position(run.Ended.Time, start, end), run.Outcome, caption})
		number[run.Outcome]++
	}
	for _, outcome := range outcomes {
		if n := number[outcome]; n > 0 {
			t.Outcomes = append(t.Outcomes, Count{outcome, n})
		}
	}
	if len(counts) == 0 {
		t.Text = "No run has published a snapshot yet."
		return t
	}
	low, high := slices.Min(counts), slices.Max(counts)
	t.Text = fmt.Sprintf("%s, last %s: %s to %s, now %s", capital(resource),
		term.Plural(len(runs), "run"), term.Grouped(low), term.Grouped(high), term.Grouped(counts[len(counts)-1]))
	top := roundUp(high)
	t.Ticks = []string{term.Grouped(top), term.Grouped(top / 2), "0"}
	t.draw(runs, start, end, top)
	return t
}

// draw draws the line and skips runs without a count.
func (t *trend) draw(runs []Run, start, end time.Time, top int) {
	var line strings.Builder
	var from, to float64
	command := "M"
	for _, run := range runs {
		if run.Records == nil {
			continue
		}
		to = position(run.Ended.Time, start, end) + markWidth/2
		if command == "M" {
			from = to
		}
		fmt.Fprintf(&line, "%s%.1f %.1f", command, to, trendHeight*(1-float64(*run.Records)/float64(top)))
		command = "L"
	}
	t.Line = line.String()
	t.Area = fmt.Sprintf("%sL%.1f %dL%.1f %dZ", t.Line, to, trendHeight, from, trendHeight)
	t.Line += "h0.1" // so that a single run is a dot
}

// position returns where the mark of a run begins: between 0 and trendWidth.
func position(at, start, end time.Time) float64 {
	if !start.Before(end) {
		return trendWidth - markWidth
	}
	return (trendWidth - markWidth) * float64(at.Sub(start)) / float64(end.Sub(start))
}

// roundUp returns the smallest of 2, 4, 6, 8, 10, 20, 40, 60, … that is at least n.
func roundUp(n int) int {
	for unit := 1; ; unit *= 10 {
		for digit := 2; digit <= 10; digit += 2 {
			if digit*unit >= n {
				return digit * unit
			}
		}
	}
}

// dateLabel returns a date, precise enough for an axis of a length.
func dateLabel(at time.Time, length time.Duration, place *time.Location) string {
	layout := "2 Jan, 15:04"
	switch {
	case length < 10*time.Minute:
		layout = "2 Jan, 15:04:05"
	case length > 14*24*time.Hour:
		layout = "2 Jan 2006"
	}
	return at.In(place).Format(layout)
}

// location returns a time zone, and UTC if it is unknown.
func location(zone string) *time.Location {
	place, err := time.LoadLocation(zone)
	if err != nil {
		return time.UTC
	}
	return place
}

// capital returns word with a capital first letter.
func capital(word string) string { return strings.ToUpper(word[:1]) + word[1:] }
