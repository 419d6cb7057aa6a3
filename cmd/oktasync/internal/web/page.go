package web

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"oktasync/cmd/oktasync/internal/term"
)

// assets are the files of the status page. It has no script, and loads nothing from
// other hosts.
//
//go:embed assets
var assets embed.FS

// pageTemplate parses the templates at the first request, because other commands don't
// need them.
var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"at": newMoment, "number": term.Grouped, "bytes": term.Bytes, "plural": term.Plural, "trend": newTrend, "capital": capital, "statuses": statusBar,
		"list": func(words []string) string { return strings.Join(words, ", ") }, "lower": strings.ToLower, "hyphens": func(s string) string { return strings.ReplaceAll(s, " ", "-") },
		"card":  func(e Export, now Time) card { return card{e, now} },
		"host":  func(url string) string { return strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://") },
		"codes": func(text string) []string { return strings.Split(text, "`") },
		"odd":   func(i int) bool { return i%2 == 1 },
		"percent": func(part, of int) int {
			if of <= 0 {
				return 0
			}
			return min(100*part/of, 100)
		},
		"reverse": func(runs []Run) []Run {
			runs = slices.Clone(runs)
			slices.Reverse(runs)
			return runs
		},
	}).ParseFS(assets, "assets/*.html"))
})

// view is the argument of the templates of the two pages.
type view struct {
	Status
	Export *Export // of the page of one export
}

// html answers with the status page.
func (p *pages) html(w http.ResponseWriter, _ *http.Request) {
	p.render(w, "status.html", view{Status: p.source.Status(pageAge)})
}

// export answers with the page of one export.
func (p *pages) export(w http.ResponseWriter, r *http.Request) {
	status := p.source.Status(pageAge)
	i := slices.IndexFunc(status.Exports, func(e Export) bool { return e.Export == r.PathValue("export") })
	if i < 0 {
		http.Error(w, "the configuration doesn't declare this export", http.StatusNotFound)
		return
	}
	p.render(w, "export.html", view{status, &status.Exports[i]})
}

func (p *pages) render(w http.ResponseWriter, name string, data view) {
	var page bytes.Buffer // so that an error doesn't leave half a page
	if err := pageTemplate().ExecuteTemplate(&page, name, data); err != nil {
		p.log.Error("status page not rendered", "err", err)
		http.Error(w, "the page can't be rendered; the log contains the error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Refresh", "60") // seconds
	w.Write(page.Bytes())
}

// json answers with the data of the status page.
func (p *pages) json(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(p.source.Status(pageAge)); err != nil {
		p.log.Debug("status not sent", "err", err)
	}
}

// asset answers with a file of the page.
func asset(name, contentType string) http.HandlerFunc {
	data, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err)
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Write(data)
	}
}

// card is the argument of the template of an export.
type card struct {
	Export Export
	Now    Time
}

// moment is a time as the page shows it.
type moment struct{ Machine, Text, Relative string }

// newMoment returns t, a Time or a *Time, in a time zone and relative to now.
func newMoment(t any, zone string, now Time) moment {
	var at time.Time
	switch t := t.(type) {
	case Time:
		at = t.Time
	case *Time:
		at = t.Time
	}
	return moment{at.UTC().Format(time.RFC3339), at.In(location(zone)).Format("2 Jan 2006, 15:04:05 MST"), relative(at.Sub(now.Time))}
}

// relative returns "in 5 min" or "3 h ago".
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

// segment is a part of a bar that is 100 wide.
type segment struct {
	Word        string
	Count       int
	Left, Width float64
}

// userStatuses are Okta's statuses of users, in the order in which an account usually has
// them. See https://developer.okta.com/docs/concepts/user-lifecycle/. In metrics, the label
// of any other status is "other".
var userStatuses = []string{"STAGED", "PROVISIONED", "ACTIVE", "RECOVERY", "PASSWORD_EXPIRED", "LOCKED_OUT", "SUSPENDED", "DEPROVISIONED"}

// statusBar returns a bar of the counts by status. Unknown statuses are the last.
func statusBar(byStatus map[string]int) []segment {
	rank := func(status string) int {
		if i := slices.Index(userStatuses, status); i >= 0 {
			return i
		}
		return len(userStatuses)
	}
	words := slices.SortedFunc(maps.Keys(byStatus), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	total := 0
	for _, n := range byStatus {
		total += n
	}
	var bar []segment
	left := 0.0
	for _, word := range words {
		if n := byStatus[word]; n > 0 {
			width := 100 * float64(n) / float64(total)
			bar = append(bar, segment{word, n, left, width})
			left += width
		}
	}
	return bar
}

// pageAge is how old the status of the page and of its JSON may be, so that many
// requests cost no more than one each second.
const pageAge = time.Second

// pages are the endpoints that need the source.
type pages struct {
	source Source
	log    *slog.Logger
}

// fresh answers 503 if an export is not up to date. Like the metrics, it reads the
// current journals, so it includes the results of `apply`.
func (p *pages) fresh(w http.ResponseWriter, _ *http.Request) {
	status := p.source.Status(0)
	if status.UpToDate {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, e := range status.Exports {
		if e.State != stateUpToDate {
			io.WriteString(w, e.problem())
		}
	}
}
