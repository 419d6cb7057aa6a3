package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/render"
)

func (a *app) showCommand() *cobra.Command {
	var at, format string
	var nearest bool
	cmd := &cobra.Command{
		Use:   "show EXPORT[@SNAPSHOT] [RESOURCE]",
		Short: "Print the records of a snapshot",
		Long: `Prints the records of a resource of a snapshot, such as users or group_members,
sorted by id. The default is the newest snapshot, and its first resource.

Name a snapshot by its folder, by a date (the last snapshot of that day or before,
in the export's time zone), or by @-1 for the snapshot before the newest.`,
		Example: `  oktasync show all-users
  oktasync show all-users@-1 --format csv
  oktasync show workforce groups
  oktasync show all-users --at 2026-06-30 --format json`,
		Args: args(1, 2, "EXPORT[@SNAPSHOT] [RESOURCE]"),
	}
	cmd.Flags().StringVar(&at, "at", "", "the last snapshot of `DATE` or before")
	nearestFlag(cmd, &nearest)
	cmd.Flags().StringVar(&format, "format", "ndjson", "ndjson, csv or json")
	return a.reads(cmd, func(r *reader, args []string) error {
		export, name, named := strings.Cut(args[0], "@")
		if named && at != "" {
			return errors.New("EXPORT@SNAPSHOT and --at both name a snapshot; use one of them")
		}
		if named && strings.HasPrefix(name, "-") {
			name = "@" + name
		}
		s, err := a.snapshotAt(r, export, name+at, nearest)
		if err != nil {
			return err
		}
		pruned, err := r.PrunedFor(s, name+at, r.zone(export))
		if err != nil {
			return err
		}
		if len(pruned) > 0 {
			fmt.Fprintf(a.stderr, "oktasync: note: this is %s; retention has pruned %s of that time, %s\n",
				s.Name(), term.Plural(len(pruned), "newer snapshot"), report.Span(pruned))
		}
		if !s.Manifest.Read.Settled {
			fmt.Fprintf(a.stderr, "oktasync: note: %s is not settled: %s\n", s.Name(), report.Unsettled)
		}
		if why := report.Unreconciled(s.Manifest.Control); why != "" {
			fmt.Fprintf(a.stderr, "oktasync: note: %s is not reconciled: %s\n", s.Name(), why)
		}
		if why := report.Unavailable(s.Manifest.Resources); why != "" {
			fmt.Fprintf(a.stderr, "oktasync: note: %s is without %s\n", s.Name(), term.Safe(why))
		}
		return a.show(s, s.Manifest.Declared, optional(args, 1), format)
	})
}

// nearestFlag adds --nearest to a command that accepts dates.
func nearestFlag(cmd *cobra.Command, nearest *bool) {
	cmd.Flags().BoolVar(nearest, "nearest", false, "accept a snapshot that is older than the date by more than one interval of the schedule")
}

// source is a snapshot or a quarantined read.
type source interface {
	Name() string
	Recorded() []*snapshot.Resource
	Records(*snapshot.Resource) (diff.Reader, error)
	Proofs(*snapshot.Resource) (diff.Proofs, error)
}

// resourceNamed returns the resource of s with this name, or its first one if name
// is "".
func resourceNamed(s source, name string) (*snapshot.Resource, error) {
	recorded := s.Recorded()
	var names []string
	for _, r := range recorded {
		if r.Name == name || name == "" {
			return r, nil
		}
		names = append(names, r.Name)
	}
	if snapshot.ResourceNamed(name) != nil {
		return nil, fmt.Errorf("%s doesn't record %s, only %s", s.Name(), name, term.List(names))
	}
	return nil, fmt.Errorf("unknown resource %s; %s", term.Word(name), term.Suggestion(name, names))
}

// show prints the records of a resource of s.
func (a *app) show(s source, declared snapshot.Declaration, name, format string) error {
	r, err := resourceNamed(s, name)
	if err != nil {
		return err
	}
	var columns *render.Columns
	open := s.Records
	switch format {
	case "ndjson", "json":
	case "csv":
		if columns, err = csvColumns(s, r, declared); err != nil {
			return err
		}
		open = func(r *snapshot.Resource) (diff.Reader, error) { return snapshot.NamedRecords(s, r) }
	default:
		return fmt.Errorf("--format %s: must be ndjson, csv or json", term.Word(format))
	}
	records, err := open(r)
	if err != nil {
		return err
	}
	defer records.Close()
	w := bufio.NewWriter(a.stdout)
	all := snapshot.Records(records)
	switch format {
	case "ndjson":
		err = render.WriteNDJSON(w, all)
	case "json":
		err = render.WriteJSON(w, all)
	case "csv":
		err = render.WriteCSV(w, all, columns)
	}
	if err != nil {
		return err
	}
	return w.Flush()
}

// csvColumns returns the columns of the records of s, all of which it reads.
func csvColumns(s source, r *snapshot.Resource, declared snapshot.Declaration) (*render.Columns, error) {
	records, err := s.Records(r)
	if err != nil {
		return nil, err
	}
	defer records.Close()
	return render.LearnColumns(snapshot.Records(records), r.Schema(), declared.Resources[r.Name].Attributes)
}
