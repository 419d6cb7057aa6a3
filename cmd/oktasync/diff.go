package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

func (a *app) diffCommand() *cobra.Command {
	var detailed bool
	cmd := &cobra.Command{
		Use:   "diff EXPORT [FROM] [TO]",
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
		Args: args(1, 3, "EXPORT [FROM] [TO]"),
	}
	store := storeFlag(cmd)
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit status 2 for changes")
	format := diffFormatFlags(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := format.check(); err != nil {
			return err
		}
		r, err := a.openReader(*store)
		if err != nil {
			return err
		}
		d, err := newDifference(r, args)
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
		if err := a.printDifference(d, format, r.zone(args[0])); err != nil {
			return err
		}
		if detailed && d.changes > 0 {
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

func (a *app) printDifference(d *difference, f *diffFormat, zone *time.Location) error {
	switch f.name {
	case "json":
		return d.printJSON(a.data())
	case "csv":
		return d.printCSV(a.data())
	}
	return d.print(a.stdout, zone)
}

// difference is the difference between two states of an export.
type difference struct {
	export   string
	from, to userSource
	rules    snapshot.Rules
	changes  int
}

func newDifference(r *reader, args []string) (*difference, error) {
	older, newer := "@-1", ""
	if len(args) > 1 {
		older = args[1]
	}
	if len(args) > 2 {
		newer = args[2]
	}
	to, err := r.snapshot(args[0], newer)
	if err != nil {
		return nil, err
	}
	from, err := r.snapshot(args[0], older)
	if err != nil {
		if notFound := (*snapshot.NotFoundError)(nil); len(args) == 1 && errors.As(err, &notFound) {
			return nil, fmt.Errorf("%s has only one snapshot, %s; there is nothing to compare it with", args[0], to.Name())
		}
		return nil, err
	}
	if from.Manifest.Sequence > to.Manifest.Sequence {
		return nil, fmt.Errorf("%s is newer than %s; give the older one first", from.Name(), to.Name())
	}
	return compare(args[0], from, from.Manifest.Declared, to, to.Manifest.Declared)
}

// compare returns the difference between two states with their declarations.
func compare(export string, from userSource, fromDeclared snapshot.Declaration, to userSource, toDeclared snapshot.Declaration) (*difference, error) {
	rules, base := snapshot.RulesFor(&fromDeclared, toDeclared)
	if base == snapshot.BaseReset {
		return nil, fmt.Errorf("%s and %s declare other users (search, include_deprovisioned), so a comparison would report joiners and leavers that are neither",
			from.Name(), to.Name())
	}
	return &difference{export: export, from: from, to: to, rules: rules}, nil
}

// each calls visit for each change, in the order of user IDs.
func (d *difference) each(visit func(*snapshot.Change) error) (snapshot.Counts, error) {
	before, err := d.from.Users()
	if err != nil {
		return snapshot.Counts{}, err
	}
	defer before.Close()
	after, err := d.to.Users()
	if err != nil {
		return snapshot.Counts{}, err
	}
	defer after.Close()
	return snapshot.Diff(before, after, d.rules, func(c *snapshot.Change) error {
		d.changes++
		return visit(c)
	})
}

// groups are the headings of a diff, in their order.
var groups = []struct {
	group snapshot.Group
	title string
}{
	{snapshot.Joiners, "Joiners"}, {snapshot.Movers, "Movers"}, {snapshot.Leavers, "Leavers"}, {snapshot.Others, "Others"},
}

// print writes the changes under headings. It makes one pass for each heading, so
// that memory doesn't grow with the number of changes.
func (d *difference) print(w io.Writer, zone *time.Location) error {
	fmt.Fprintf(w, "%s: %s to %s\n", d.export, d.from.Name(), d.to.Name())
	var counts snapshot.Counts
	for _, g := range groups {
		list := changeList{w: w, zone: zone}
		titled := false
		d.changes = 0
		var err error
		counts, err = d.each(func(c *snapshot.Change) error {
			if c.Kind.Group() != g.group {
				return nil
			}
			if !titled {
				fmt.Fprintf(w, "\n%s\n", g.title)
				titled = true
			}
			return list.add(c)
		})
		if err != nil {
			return err
		}
		list.end("oktasync diff --json")
		if d.changes == 0 {
			break // other groups have none either
		}
	}
	if d.changes == 0 {
		fmt.Fprintln(w, "no changes")
		return nil
	}
	fmt.Fprintf(w, "\n%d users before, %d after: %s\n", counts.Before, counts.Total, report.KindCounts(counts.Kinds))
	return nil
}

// printCSV writes a row for each change, in the order of groups.
func (d *difference) printCSV(w io.Writer) error {
	if _, err := w.Write(snapshot.ChangesHeader()); err != nil {
		return err
	}
	var row []byte
	for _, g := range groups {
		d.changes = 0
		_, err := d.each(func(c *snapshot.Change) (err error) {
			if c.Kind.Group() != g.group {
				return nil
			}
			if row, err = c.Row(row[:0]); err == nil {
				_, err = w.Write(row)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// printJSON writes one JSON document, with one line for each change.
func (d *difference) printJSON(w io.Writer) error {
	fmt.Fprintf(w, "{\"export\":%q,\"from\":%q,\"to\":%q,\"changes\":[", d.export, d.from.Name(), d.to.Name())
	separator := "\n"
	var line []byte
	counts, err := d.each(func(c *snapshot.Change) error {
		var err error
		if line, err = c.TimedLine(line[:0]); err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s%s", separator, line[:len(line)-1])
		separator = ",\n"
		return err
	})
	if err != nil {
		return err
	}
	summary, err := snapshot.MarshalCanonical(map[string]any{
		"before": counts.Before, "after": counts.Total,
		"added": counts.Added, "changed": counts.Changed, "removed": counts.Removed, "kinds": counts.Kinds,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n],\"counts\":%s}\n", summary)
	return err
}
