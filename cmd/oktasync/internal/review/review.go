// Package review writes the population of an access review, and checks the decisions that
// people recorded about it.
//
// The commands report and review use it. Start reading at [Population] and [Check] (check.go).
// The files: sheets.go writes a sheet for each reviewer, spool.go keeps their rows in a
// temporary file, table.go reads CSV files with decisions, layout.go has the columns of
// such a file, reviewer.go finds the people who decided, and revoked.go finds the
// revoked items in later snapshots.
package review

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"net/url"
	"slices"
	"strings"

	"oktasync/cmd/oktasync/internal/document"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
	"oktasync/reconcile/snapshot/render"
)

// A Population is what a review is about: paths of a snapshot to apps or admin roles, each
// with a reviewer.
type Population struct {
	By    string            // the column of the paths whose value is the reviewer, such as manager
	Apps  access.Query      // the paths to apps
	Roles *access.RoleQuery // the paths to admin roles instead; nil: to apps
}

// Check returns an error if By isn't a column of the paths.
func (p *Population) Check() error {
	if facts := p.facts(); !slices.Contains(facts, p.By) {
		return fmt.Errorf("%q isn't a column of these rows; the columns are %s", p.By, strings.Join(facts, ", "))
	}
	return nil
}

// facts returns the columns of the paths.
func (p *Population) facts() []string {
	if p.Roles != nil {
		return access.RoleColumns()
	}
	return access.Columns()
}

// String returns the text of the column population. It is enough to select the same paths
// again.
func (p *Population) String() string {
	text := "apps by=" + p.By
	if p.Roles != nil {
		text = "roles by=" + p.By
	}
	for _, part := range p.parts() {
		if *part.value != "" {
			text += " " + part.name + "=" + url.QueryEscape(*part.value)
		}
	}
	return text
}

// A part is a value of the query of a population.
type part struct {
	name  string
	value *string
}

func (p *Population) parts() []part {
	if p.Roles != nil {
		return []part{{"role", &p.Roles.Role}, {"group", &p.Roles.Group}, {"user", &p.Roles.User}}
	}
	return []part{{"app", &p.Apps.App}, {"group", &p.Apps.Group}, {"user", &p.Apps.User}}
}

func parsePopulation(text string) (*Population, error) {
	words := strings.Split(text, " ")
	p := new(Population)
	if words[0] == "roles" {
		p.Roles = new(access.RoleQuery)
	}
	parts := append(p.parts(), part{"by", &p.By})
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		i := slices.IndexFunc(parts, func(part part) bool { return part.name == name })
		if i >= 0 {
			*parts[i].value, _ = url.QueryUnescape(value)
		}
	}
	if p.String() != text || p.Check() != nil {
		return nil, fmt.Errorf("the column %s has %s, which isn't the population of a review", populationColumn, short(text))
	}
	return p, nil
}

// The columns that a review adds to those of the paths.
const (
	keyColumn        = document.KeyColumn
	reviewerColumn   = "reviewer"
	decisionColumn   = "decision"
	commentColumn    = "comment"
	decidedAtColumn  = "decided_at"
	decidedByColumn  = "decided_by"
	snapshotColumn   = "snapshot"
	manifestColumn   = "manifest_sha256"
	populationColumn = "population"
)

// The decisions.
const (
	keep   = "keep"
	revoke = "revoke"
)

// columns returns the columns of a review without the key.
func (p *Population) columns() []string {
	return slices.Concat([]string{reviewerColumn}, p.facts(),
		[]string{decisionColumn, commentColumn, decidedAtColumn, decidedByColumn, snapshotColumn, manifestColumn, populationColumn})
}

// An item is a part of a population that one decision is about.
type item struct {
	key    string // identifies it in all snapshots
	user   string // the id of the subject; "": it is no user
	object string // the id of the app or group; "": it is a role
	names  []string
	row    interface{ Values() []string } // nil: the item has no facts
}

// A population consists of items.
type population interface {
	String() string

	// items returns the items in s. objects, unless it is empty, contains the ids of the
	// wanted apps and groups. An item is valid until the following one.
	items(store *snapshot.Store, s *snapshot.Snapshot, objects []string) iter.Seq2[item, error]

	// check returns an error if s doesn't record the items.
	check(s *snapshot.Snapshot) error
}

// String names the item for people.
func (i *item) String() string { return joined(i.names) }

// joined returns the names that aren't empty.
func joined(names []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" }), ", ")
}

func (p *Population) items(store *snapshot.Store, s *snapshot.Snapshot, objects []string) iter.Seq2[item, error] {
	if p.Roles != nil {
		return each(access.Roles(store, s, *p.Roles), roleItem)
	}
	if len(objects) == 0 {
		return each(access.Paths(store, s, p.Apps), appItem)
	}
	return each(pathsTo(store, s, p.Apps, objects), appItem)
}

// maxQueries is the greatest number of apps that are read one by one. Each takes about as
// long as all apps together.
const maxQueries = 4

// pathsTo returns the paths in s that q selects to apps, which are sorted. The paths of a
// user to an app follow each other.
func pathsTo(store *snapshot.Store, s *snapshot.Snapshot, q access.Query, apps []string) iter.Seq2[*access.Row, error] {
	queries := apps
	if len(apps) > maxQueries {
		queries = []string{""}
	}
	return func(yield func(*access.Row, error) bool) {
		for _, q.App = range queries {
			for row, err := range access.Paths(store, s, q) {
				if err == nil {
					if _, wanted := slices.BinarySearch(apps, row.AppID); !wanted {
						continue
					}
				}
				if !yield(row, err) || err != nil {
					return
				}
			}
		}
	}
}

func (p *Population) check(s *snapshot.Snapshot) error {
	if p.Roles != nil {
		return access.CheckRoles(s)
	}
	return access.Check(s)
}

// each returns the items of rows.
func each[R any](rows iter.Seq2[R, error], itemOf func(R) item) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		for row, err := range rows {
			if err != nil {
				yield(item{}, err)
				return
			}
			if !yield(itemOf(row), nil) {
				return
			}
		}
	}
}

func appItem(r *access.Row) item {
	return item{
		key: strings.Join([]string{r.AppID, r.UserID, r.Via, r.GroupID}, ":"), user: r.UserID, object: r.AppID, row: r,
		names: []string{cmp.Or(r.Login, r.UserID), cmp.Or(r.AppLabel, r.AppID), r.Via, r.GroupName},
	}
}

func roleItem(r *access.RoleRow) item {
	return item{
		key:  strings.Join([]string{r.RoleType, r.RoleID, r.ResourceSetID, r.PrincipalType, r.UserID, r.GroupID, r.ClientID}, ":"),
		user: r.UserID, row: r,
		names: []string{cmp.Or(r.Login, r.Name, r.UserID, r.ClientID), cmp.Or(r.RoleLabel, r.RoleType), r.Via, r.GroupName},
	}
}

// cells returns the cells of an item in the order of columns.
func (p *Population) cells(i item, s *snapshot.Snapshot) []string {
	values := i.row.Values()
	reviewer := values[slices.Index(p.facts(), p.By)]
	return slices.Concat([]string{reviewer}, values, []string{"", "", "", "", s.Name(), s.Digest, p.String()})
}

// WriteCSV writes the population in s as one CSV file, in the order of the paths.
func (p *Population) WriteCSV(w io.Writer, store *snapshot.Store, s *snapshot.Snapshot) error {
	if _, err := io.WriteString(w, strings.Join(append([]string{keyColumn}, p.columns()...), ",")+"\r\n"); err != nil {
		return err
	}
	var line []byte
	for item, err := range p.items(store, s, nil) {
		if err != nil {
			return err
		}
		line = render.AppendTexts(line[:0], append([]string{item.key}, p.cells(item, s)...))
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// short returns a text in quotes, at most its first 100 characters.
func short(text string) string {
	if runes := []rune(text); len(runes) > 100 {
		text = string(runes[:100]) + "…"
	}
	return fmt.Sprintf("%q", text)
}
