package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
		Short: "Show the changes between two snapshots",
		Long: `Compares two snapshots of an export: the newest two by default, or FROM with the
newest. Name a snapshot by its folder, by a date (the last snapshot up to the end of
that day, in the export's time zone), or by @-7 for the seventh snapshot before the
newest. RESOURCE limits the output to the named resources, such as users.

The time of each change is Okta's: when the user was activated or created, when the
status changed, or when the record was last updated.

With --detailed-exitcode, the exit status is 2 if there are changes.`,
		Example: `  oktasync diff all-users
  oktasync diff all-users 2026-03-31 2026-06-30 --json
  oktasync diff all-users @-7 --format csv > changes.csv`,
		Args: args(1, 4, "EXPORT [FROM] [TO] [RESOURCE...]"),
	}
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit status 2 for changes")
	nearestFlag(cmd, &nearest)
	format := formatFlags(cmd)
	allFlag(cmd, &format.all)
	return a.reads(cmd, func(r *reader, args []string) error {
		d, err := a.newDifference(r, args, nearest)
		if err != nil {
			return err
		}
		between, err := r.PrunedBetween(args[0], d.from.Name(), d.to.Name())
		if err != nil {
			return err
		}
		if len(between) > 0 {
			fmt.Fprintf(a.stderr, "oktasync: note: between them, %s: changes that were reversed in between are not visible\n",
				r.prunedText(args[0], "snapshot", between))
		}
		changes, err := a.printDifference(d, format, r.zone(args[0]))
		if err != nil {
			return err
		}
		if detailed && changes > 0 {
			return exitError{exitChanges}
		}
		return nil
	})
}

// diffFormat is the output format of changes.
type diffFormat struct {
	name   string
	asJSON bool
	all    bool // all changes on a terminal
}

// formatFlags adds --format and --json to a command that prints changes.
func formatFlags(cmd *cobra.Command) *diffFormat {
	f := new(diffFormat)
	cmd.Flags().StringVar(&f.name, "format", "text", "text, json or csv")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "same as --format json")
	cmd.PreRunE = func(*cobra.Command, []string) error { return f.check() }
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
		fmt.Fprintf(a.stderr, "oktasync: note: %s not compared: only one of the two snapshots records them\n", term.List(d.skipped))
	}
	switch f.name {
	case "json":
		return d.printJSON(a.stdout)
	case "csv":
		return d.printCSV(a.stdout)
	}
	return d.print(changeList{w: a.stdout, zone: zone, limit: a.limit(f.all)})
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
	if empty.names, err = d.names(c, empty.limit); err != nil {
		return counts, err
	}
	if empty.people, err = d.leavers(c); err != nil {
		return counts, err
	}
	for _, heading := range headings(c.resource) {
		list := empty
		counts, err = d.each(c, func(change *diff.Change) error {
			if c.resource.Heading(change.Kind) != heading {
				return nil
			}
			if list.count == 0 {
				title := heading
				if heading == c.resource.Name {
					title = c.resource.Noun + "s"
				}
				fmt.Fprintf(list.w, "\n%s\n", strings.ToUpper(title[:1])+title[1:])
			}
			return list.add(c.resource, change)
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
const changesHeader = "group,kind,login,id,at,path,before,after\r\n"

// appendChangeRows appends a change as rows of CSV that begin with prefix: one for each
// path that differs, with its values. An added or removed record is one row with the whole
// record and no path. The login of an edge is the names of its ends.
func appendChangeRows(dst []byte, prefix string, names report.Names, r *snapshot.Resource, c *diff.Change) ([]byte, error) {
	label := c.Label()
	if r.Other != nil {
		label = names.Of(r, c)
	}
	cells := make([][]byte, 8)
	for i, value := range []string{r.Heading(c.Kind), string(c.Kind), label, c.ID(), c.At} {
		var err error
		if cells[i], err = json.Marshal(value); err != nil {
			return dst, err
		}
	}
	if len(c.Paths) == 0 {
		cells[6], cells[7] = withoutNull(c.Before), withoutNull(c.After)
		return render.AppendRow(append(dst, prefix...), cells...), nil
	}
	for _, path := range c.Paths {
		before, err := canonjson.FindPath(c.Before, path)
		if err != nil {
			return dst, err
		}
		after, err := canonjson.FindPath(c.After, path)
		if err != nil {
			return dst, err
		}
		if cells[5], err = json.Marshal(path); err != nil {
			return dst, err
		}
		cells[6], cells[7] = withoutNull(before), withoutNull(after)
		dst = render.AppendRow(append(dst, prefix...), cells...)
	}
	return dst, nil
}

// withoutNull returns value, or nil if it is null.
func withoutNull(value []byte) []byte {
	if canonjson.IsNull(value) {
		return nil
	}
	return value
}

// printCSV writes rows for each change, in the order of the headings. It returns
// the number of changes.
func (d *difference) printCSV(w io.Writer) (changes int, err error) {
	if _, err := io.WriteString(w, changesHeader); err != nil {
		return 0, err
	}
	var rows []byte
	for _, c := range d.resources {
		names, err := d.names(c, 0)
		if err != nil {
			return changes, err
		}
		for _, heading := range headings(c.resource) {
			_, err := d.each(c, func(change *diff.Change) (err error) {
				if c.resource.Heading(change.Kind) != heading {
					return nil
				}
				changes++
				if rows, err = appendChangeRows(rows[:0], "", names, c.resource, change); err == nil {
					_, err = w.Write(rows)
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

// eachChange calls visit for each change of the records of r in s whose line contains
// text, in any case.
func eachChange(s *snapshot.Snapshot, r *snapshot.Resource, text string, visit func(*diff.Change)) error {
	wanted := bytes.ToLower([]byte(text))
	contains := func(line []byte) bool { return bytes.Contains(bytes.ToLower(line), wanted) }
	for c, err := range s.EachChange(r, contains) {
		if err != nil {
			return err
		}
		visit(c)
	}
	return nil
}

// eachUser calls visit with the id and the login of each user of s.
func eachUser(s *snapshot.Snapshot, visit func(id, login string)) error {
	users, err := s.Records(snapshot.Users)
	if err != nil {
		return err
	}
	defer users.Close()
	for {
		u, err := users.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		login, err := canonjson.Text(u.JSON, snapshot.Users.Label.Path)
		if err != nil {
			return err
		}
		visit(string(u.Key), login)
	}
}

// userRecords reads the records of one user: the user, the edges to the user, or the
// user's factors and admin roles.
type userRecords struct {
	diff.Reader
	part int // of the key that is the id
	id   []byte
}

// recordsOf returns the records of a user in s.
func recordsOf(s *snapshot.Snapshot, r *snapshot.Resource, id string) (*userRecords, error) {
	records, err := s.Records(r)
	return &userRecords{records, r.UserPart(), []byte(id)}, err
}

func (u *userRecords) Next() (diff.Record, error) {
	for {
		record, err := u.Reader.Next()
		id := record.Key
		for range u.part {
			_, id, _ = bytes.Cut(id, []byte{0})
		}
		id, _, _ = bytes.Cut(id, []byte{0})
		if err != nil || bytes.Equal(id, u.id) {
			return record, err
		}
	}
}
