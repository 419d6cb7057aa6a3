package main

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

// web is what the status page is made of. There is no script, and nothing from
// elsewhere.
//
//go:embed web
var web embed.FS

// pageTemplate is parsed when it is first asked for, and not by every command at
// its start.
var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"at": moments, "number": term.Grouped, "bytes": term.Bytes, "plural": term.Plural, "trend": trendOf, "statuses": statuses,
		"kinds": kindCounts, "list": func(words []string) string { return strings.Join(words, ", ") }, "lower": strings.ToLower,
		"card": func(e exportOverview, now snapshot.Time) card { return card{e, now} },
		"host": func(url string) string { return strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://") },
		"percent": func(part, of int) int {
			if of <= 0 {
				return 0
			}
			return min(100*part/of, 100)
		},
		"reverse": func(runs []runOverview) []runOverview {
			runs = slices.Clone(runs)
			slices.Reverse(runs)
			return runs
		},
	}).ParseFS(web, "web/*.html"))
})

// page answers with the status page.
func (d *daemon) page(w http.ResponseWriter, _ *http.Request) {
	var page bytes.Buffer // so that an error is no half page
	if err := pageTemplate().ExecuteTemplate(&page, "status.html", d.current.Load().overview()); err != nil {
		d.log.Error("status page not made", "err", err)
		http.Error(w, "the page could not be made; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(page.Bytes())
}

// pageJSON answers with what the page is made from.
func (d *daemon) pageJSON(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := writeJSON(w, d.current.Load().overview()); err != nil {
		d.log.Debug("status not sent", "err", err)
	}
}

// part answers with a file of the page.
func part(name, contentType string) http.HandlerFunc {
	data, err := web.ReadFile("web/" + name)
	if err != nil {
		panic(err)
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Write(data)
	}
}

// Attention names the exports that are not fresh.
func (o overview) Attention() (names []string) {
	for _, e := range o.Exports {
		if e.State != stateFresh {
			names = append(names, e.Export)
		}
	}
	return names
}

// Headline is how all of it stands, in one line.
func (o overview) Headline() string {
	switch bad, all := len(o.Attention()), len(o.Exports); {
	case bad == 0 && all == 1:
		return "The export is fresh"
	case bad == 0:
		return fmt.Sprintf("All %d exports are fresh", all)
	case all == 1:
		return "The export needs attention"
	default:
		return fmt.Sprintf("%d of %d exports %s attention", bad, all, map[bool]string{true: "needs", false: "need"}[bad == 1])
	}
}

// Head is the newest snapshot as `verify --head` takes it.
func (e exportOverview) Head() string {
	return fmt.Sprintf("%s=%d:%s", e.Export, e.Newest.Sequence, e.Newest.ManifestSHA256)
}

// Clock says how the clocks stand to each other.
func (o oktaOverview) Clock() string {
	d := time.Duration(o.ClockOffsetSeconds * float64(time.Second)).Round(time.Second)
	switch {
	case d > 0:
		return term.Duration(d) + " ahead of ours"
	case d < 0:
		return term.Duration(-d) + " behind ours"
	}
	return "agrees with ours"
}

// card is an export as a template of its own takes it.
type card struct {
	Export exportOverview
	Now    snapshot.Time
}

// moment is a time as the page shows it.
type moment struct{ Machine, Text, Relative string }

// moments shows t in a zone, and how far it is from now.
func moments(t any, zone string, now snapshot.Time) moment {
	var at time.Time
	switch t := t.(type) {
	case snapshot.Time:
		at = t.Time
	case *snapshot.Time:
		at = t.Time
	}
	place, err := time.LoadLocation(zone)
	if err != nil {
		place = time.UTC
	}
	return moment{at.UTC().Format(time.RFC3339), at.In(place).Format("2 Jan 2006, 15:04:05 MST"), relative(at.Sub(now.Time))}
}

// relative is "in 5 min" or "3 h ago".
func relative(d time.Duration) string {
	size := max(d, -d)
	var text string
	switch {
	case size < time.Second:
		return "just now"
	case size < time.Minute:
		text = fmt.Sprintf("%d s", int(size.Seconds()))
	case size < time.Hour:
		text = fmt.Sprintf("%d min", int(size.Minutes()))
	case size < 48*time.Hour:
		text = fmt.Sprintf("%d h", int(size.Hours()))
	default:
		text = term.Plural(int(size.Hours()/24), "day")
	}
	if d > 0 {
		return "in " + text
	}
	return text + " ago"
}

// counted is a word with how often it occurs, and where its part of a bar of
// 100 begins and how long it is.
type counted struct {
	Word        string
	Count       int
	Left, Width float64
}

// statuses are counts by status, largest first.
func statuses(byStatus map[string]int) []counted {
	var list []counted
	total := 0
	for _, status := range slices.Sorted(maps.Keys(byStatus)) {
		if n := byStatus[status]; n > 0 {
			list = append(list, counted{Word: status, Count: n})
			total += n
		}
	}
	slices.SortStableFunc(list, func(a, b counted) int { return cmp.Compare(b.Count, a.Count) })
	left := 0.0
	for i := range list {
		list[i].Left, list[i].Width = left, 100*float64(list[i].Count)/float64(total)
		left += list[i].Width
	}
	return list
}

// kindCounts are the kinds of change that occurred, in the usual order.
func kindCounts(counts map[snapshot.Kind]int) (list []counted) {
	for _, kind := range kinds {
		if n := counts[kind]; n > 0 {
			list = append(list, counted{Word: string(kind), Count: n})
		}
	}
	return list
}
