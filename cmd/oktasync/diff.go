package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/render"
)

func (a *app) diffCommand() *cobra.Command {
	var detailed, nearest bool
	cmd := &cobra.Command{
		Use:   "diff EXPORT [FROM] [TO] [RESOURCE...]",
		Short: "Show who joined, moved and left between two snapshots",
		Long: `Compares two snapshots of an export: the newest two by default, or FROM with the
newest. Name a snapshot by its folder, by a date (the last snapshot of that day or
before, in the export's time zone), or by @-1 for the snapshot before the newest.

The time of each change is Okta's: when the user was activated or created, when the
status changed, or when the record was last updated.

With --detailed-exitcode, the exit status is 2 if there are changes.`,
		Example: `  oktasync diff all-users
  oktasync diff all-users 2026-03-31 2026-06-30 --json
  oktasync diff all-users @-7 --format csv > week.csv`,
		Args: args(1, 4, "EXPORT [FROM] [TO] [RESOURCE...]"),
	}
	store := storeFlag(cmd)
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit status 2 for changes")
	nearestFlag(cmd, &nearest)
	format := diffFormatFlags(cmd)
	allFlag(cmd, &format.all)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := format.check(); err != nil {
			return err
		}
		r, err := a.openReader(*store)
		if err != nil {
			return err
		}
		d, err := a.newDifference(r, args, nearest)
		if err != nil {
			return err
		}
		between, err := r.PrunedBetween(args[0], d.from.Name(), d.to.Name())
		if err != nil {
			return err
		}
		if len(between) > 0 {
			fmt.Fprintf(a.stderr, "oktasync: note: retention has pruned %s between them, %s: changes that were reversed in between are not visible\n",
				term.Plural(len(between), "snapshot"), report.Span(between))
		}
		changes, err := a.printDifference(d, format, r.zone(args[0]))
		if err != nil {
			return err
		}
		if detailed && changes > 0 {
			return exitError{exitChanges}
		}
		return nil
	}
	return cmd
}

// diffFormat is the output format of a difference.
type diffFormat struct {
	name   string
	asJSON bool
	all    bool // all changes on a terminal
}

func diffFormatFlags(cmd *cobra.Command) *diffFormat {
	f := new(diffFormat)
	cmd.Flags().StringVar(&f.name, "format", "text", "text, json or csv")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "same as --format json")
	return f
}

func (f *diffFormat) check() error {
	switch {
	case f.name != "text" && f.name != "json" && f.name != "csv":
		return fmt.Errorf("--format %s: must be text, json or csv", term.Word(f.name))
	case f.asJSON && f.name == "csv":
		return errors.New("--json and --format csv are two formats; use one of them")
	case f.asJSON:
		f.name = "json"
	}
	return nil
}

// printDifference returns the number of changes.
func (a *app) printDifference(d *difference, f *diffFormat, zone *time.Location) (int, error) {
	if len(d.skipped) > 0 {
		fmt.Fprintf(a.stderr, "oktasync: note: %s not compared: only one of the two snapshots records them\n", strings.Join(d.skipped, " and "))
	}
	switch f.name {
	case "json":
		return d.printJSON(a.stdout)
	case "csv":
		return d.printCSV(a.stdout)
	}
	return d.print(changeList{w: a.stdout, zone: zone, limit: a.limit(f.all)})
}

// difference describes the changes between two states of an export.
type difference struct {
	export    string
	from      *snapshot.Snapshot
	to        source
	resources []comparison
	skipped   []string // resources that only one of the states records
}

// comparison is how a resource of both states is compared.
type comparison struct {
	resource *snapshot.Resource
	rules    diff.Rules
}

// newDifference returns the difference that the arguments EXPORT [FROM] [TO]
// [RESOURCE...] select.
func (a *app) newDifference(r *reader, args []string, nearest bool) (*difference, error) {
	older, newer := "@-1", ""
	names, args := args[1:], args[:1]
	for len(names) > 0 && snapshot.ResourceNamed(names[0]) == nil && len(args) < 3 {
		args, names = append(slices.Clip(args), names[0]), names[1:]
	}
	if len(args) > 1 {
		older = args[1]
	}
	if len(args) > 2 {
		newer = args[2]
	}
	to, err := a.snapshotAt(r, args[0], newer, nearest)
	if err != nil {
		return nil, err
	}
	from, err := a.snapshotAt(r, args[0], older, nearest)
	if err != nil {
		if notFound := (*snapshot.NotFoundError)(nil); len(args) == 1 && errors.As(err, &notFound) {
			return nil, fmt.Errorf("%s has only one snapshot, %s; there is nothing to compare it with", args[0], to.Name())
		}
		return nil, err
	}
	switch {
	case from.Name() == to.Name():
		return nil, fmt.Errorf("FROM and TO are the same snapshot, %s; there is nothing to compare", to.Name())
	case from.Manifest.Sequence > to.Manifest.Sequence:
		return nil, fmt.Errorf("%s is newer than %s; give the older one first", from.Name(), to.Name())
	}
	d, err := compare(args[0], from, to, to.Manifest.Declared, names)
	if err != nil {
		return nil, err
	}
	return d, d.addProofs(r, to.Manifest.Sequence)
}

// addProofs adds the proofs of removals in all snapshots after from, up to the
// sequence last.
func (d *difference) addProofs(r *reader, last int) error {
	list, err := r.List(d.export)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Manifest.Sequence <= d.from.Manifest.Sequence || s.Manifest.Sequence > last {
			continue
		}
		if err := d.addProofsOf(s); err != nil {
			return err
		}
	}
	return nil
}

func (d *difference) addProofsOf(s source) error {
	for i := range d.resources {
		c := &d.resources[i]
		proofs, err := s.Proofs(c.resource)
		if err != nil {
			return err
		}
		if c.rules.Proofs == nil {
			c.rules.Proofs = proofs
		}
		maps.Copy(c.rules.Proofs, proofs)
	}
	return nil
}

// compare compares a snapshot with another state and its declaration. names selects
// resources; by default, all resources that both record are compared.
func compare(export string, from *snapshot.Snapshot, to source, toDeclared snapshot.Declaration, names []string) (*difference, error) {
	d := &difference{export: export, from: from, to: to}
	for _, name := range names {
		for _, s := range []source{from, to} {
			if _, err := resourceNamed(s, name); err != nil {
				return nil, err
			}
		}
	}
	for _, r := range from.Recorded() {
		if !slices.Contains(to.Recorded(), r) && len(names) == 0 {
			d.skipped = append(d.skipped, r.Name)
		}
	}
	for _, r := range to.Recorded() {
		if len(names) > 0 && !slices.Contains(names, r.Name) {
			continue
		}
		rules, base := snapshot.RulesFor(r, &from.Manifest, toDeclared)
		switch base {
		case snapshot.BaseReset:
			return nil, fmt.Errorf("%s and %s declare other %s (search, include_deprovisioned), so a comparison would report changes that didn't happen",
				from.Name(), to.Name(), r.Name)
		case snapshot.BasePrevious:
			d.resources = append(d.resources, comparison{r, rules})
		case snapshot.BaseNone:
			d.skipped = append(d.skipped, r.Name)
		}
	}
	if len(d.resources) == 0 {
		return nil, fmt.Errorf("%s and %s have no resource in common", from.Name(), to.Name())
	}
	return d, nil
}

// each calls visit for each change of a resource, in the order of keys.
func (d *difference) each(c comparison, visit func(*diff.Change) error) (diff.Counts, error) {
	before, err := d.from.Records(c.resource)
	if err != nil {
		return diff.Counts{}, err
	}
	defer before.Close()
	after, err := d.to.Records(c.resource)
	if err != nil {
		return diff.Counts{}, err
	}
	defer after.Close()
	return diff.Diff(before, after, c.rules, visit)
}

// all calls visit for each change of all resources.
func (d *difference) all(visit func(*snapshot.Resource, *diff.Change) error) error {
	for _, c := range d.resources {
		if _, err := d.each(c, func(change *diff.Change) error { return visit(c.resource, change) }); err != nil {
			return err
		}
	}
	return nil
}

// headings returns the headings of the changes of a resource, in their order.
func headings(r *snapshot.Resource) []string {
	var list []string
	for _, heading := range []string{snapshot.Joiners, snapshot.Movers, snapshot.Leavers, snapshot.Others, r.Name} {
		if slices.ContainsFunc(r.Kinds, func(k diff.Kind) bool { return r.Heading(k) == heading }) {
			list = append(list, heading)
		}
	}
	return list
}

// print writes the changes under headings, each as a list like empty, with one pass
// per heading, so that memory doesn't grow with them. It returns the number of changes.
func (d *difference) print(empty changeList) (changes int, err error) {
	w := empty.w
	fmt.Fprintf(w, "%s: %s to %s\n", d.export, d.from.Name(), d.to.Name())
	var summary []string
	for _, c := range d.resources {
		counts, err := d.printResource(c, empty)
		if err != nil {
			return changes, err
		}
		n := counts.Added + counts.Changed + counts.Removed
		if changes += n; n > 0 {
			summary = append(summary, fmt.Sprintf("%s before, %d after: %s", c.resource.Plural(counts.Before), counts.Total, report.KindCounts(c.resource, counts.Kinds)))
		}
	}
	if changes == 0 {
		fmt.Fprintln(w, "no changes")
		return 0, nil
	}
	_, err = fmt.Fprintf(w, "\n%s\n", strings.Join(summary, "\n"))
	return changes, err
}

func (d *difference) printResource(c comparison, empty changeList) (counts diff.Counts, err error) {
	for _, heading := range headings(c.resource) {
		list := empty
		counts, err = d.each(c, func(change *diff.Change) error {
			if c.resource.Heading(change.Kind) != heading {
				return nil
			}
			if list.count == 0 {
				fmt.Fprintf(list.w, "\n%s\n", strings.ToUpper(heading[:1])+heading[1:])
			}
			return list.add(change)
		})
		if err != nil {
			return counts, err
		}
		list.end()
		if counts.Added+counts.Changed+counts.Removed == 0 {
			break // the other headings have no changes either
		}
	}
	return counts, nil
}

// changesHeader is the first row of changes as CSV.
const changesHeader = "group,kind,login,id,at,paths,before,after\r\n"

// appendChangeRow appends a change as a row of CSV. Paths, before and after are
// cells of JSON.
func appendChangeRow(dst []byte, r *snapshot.Resource, c *diff.Change) ([]byte, error) {
	cells := make([][]byte, 0, 8)
	for _, value := range []any{r.Heading(c.Kind), c.Kind, c.Label(), c.ID(), c.At, c.Paths} {
		b, err := json.Marshal(value)
		if err != nil {
			return dst, err
		}
		if string(b) == "[]" {
			b = nil
		}
		cells = append(cells, b)
	}
	for _, object := range [][]byte{c.Before, c.After} {
		if canonjson.IsNull(object) {
			object = nil
		}
		cells = append(cells, object)
	}
	return render.AppendRow(dst, cells...), nil
}

// printCSV writes a row for each change, in the order of the headings. It returns
// the number of changes.
func (d *difference) printCSV(w io.Writer) (changes int, err error) {
	if _, err := io.WriteString(w, changesHeader); err != nil {
		return 0, err
	}
	var row []byte
	for _, c := range d.resources {
		for _, heading := range headings(c.resource) {
			_, err := d.each(c, func(change *diff.Change) (err error) {
				if c.resource.Heading(change.Kind) != heading {
					return nil
				}
				changes++
				if row, err = appendChangeRow(row[:0], c.resource, change); err == nil {
					_, err = w.Write(row)
				}
				return err
			})
			if err != nil {
				return changes, err
			}
		}
	}
	return changes, nil
}

// printJSON writes one document with one change per line. It returns the number of
// changes.
func (d *difference) printJSON(w io.Writer) (changes int, err error) {
	fmt.Fprintf(w, "{\"export\":%q,\"from\":%q,\"to\":%q,\"changes\":[", d.export, d.from.Name(), d.to.Name())
	separator := "\n"
	var line []byte
	summary := make(map[string]any)
	for _, c := range d.resources {
		counts, err := d.each(c, func(change *diff.Change) (err error) {
			if line, err = change.LineWithTime(line[:0]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(w, "%s{\"resource\":%q,%s", separator, c.resource.Name, line[1:len(line)-1])
			separator = ",\n"
			return err
		})
		if err != nil {
			return changes, err
		}
		changes += counts.Added + counts.Changed + counts.Removed
		summary[c.resource.Name] = map[string]any{
			"before": counts.Before, "after": counts.Total,
			"added": counts.Added, "changed": counts.Changed, "removed": counts.Removed, "kinds": counts.Kinds,
		}
	}
	text, err := canonjson.Marshal(summary)
	if err != nil {
		return changes, err
	}
	_, err = fmt.Fprintf(w, "\n],\"counts\":%s}\n", text)
	return changes, err
}
