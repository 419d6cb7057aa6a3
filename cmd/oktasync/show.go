package main

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/listing"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

func (a *app) showCommand() *cobra.Command {
	var at string
	var nearest bool
	cmd := &cobra.Command{
		Use:   "show EXPORT[@SNAPSHOT] [RESOURCE]",
		Short: "Print the records of a snapshot",
		Long: `Prints the records of one resource of a snapshot, such as users or group_members,
sorted by id. The default is the newest snapshot, and its first resource.

Name a snapshot by its folder, by a date (the last snapshot up to the end of that day,
in the export's time zone), or by @-1 for the snapshot before the newest.

--filter selects records by an expression in Okta's filter language, such as
status eq "ACTIVE" and lastLogin lt now-90d. The operators are eq, ne, gt, ge, lt, le,
co, sw, pr, and, or, not. In a time such as now-90d, now is the start of the snapshot's
read. An expression about members or assignments can also use login, group_name and
app_label.`,
		Example: `  oktasync show all-users
  oktasync show all-users@-1 --format csv
  oktasync show workforce groups
  oktasync show all-users --at 2026-06-30 --format json
  oktasync show all-users --filter 'status eq "ACTIVE" and lastLogin lt now-90d'
  oktasync show all-users --filter 'profile.title co "manager"' --columns profile.login,profile.title`,
		Args: args(1, 2, "EXPORT[@SNAPSHOT] [RESOURCE]"),
	}
	cmd.Flags().StringVar(&at, "at", "", "use the last snapshot up to `DATE` (default the newest)")
	nearestFlag(cmd, &nearest)
	options := listingFlags(cmd)
	return a.reads(cmd, func(r *reader, args []string) error {
		export, name := cutSnapshot(args[0])
		if name != "" && at != "" {
			return errors.New("EXPORT@SNAPSHOT and --at both name a snapshot; use one of them")
		}
		s, err := a.snapshotAt(r, export, name+at, nearest)
		if err != nil {
			return err
		}
		if err := a.noteState(r, s, name+at); err != nil {
			return err
		}
		options.Now = s.Manifest.Read.Started.Time
		return a.show(s, s.Manifest.Declared, optional(args, 1), options)
	})
}

// noteState prints the limits of s. asked is the name or the date that selected it.
func (a *app) noteState(r *reader, s *snapshot.Snapshot, asked string) error {
	pruned, err := r.PrunedFor(s, asked, r.zone(s.Manifest.Export))
	if err != nil {
		return err
	}
	if len(pruned) > 0 {
		fmt.Fprintf(a.stderr, "oktasync: note: this is %s; of that time, %s\n", s.Name(), r.prunedText(s.Manifest.Export, "newer snapshot", pruned))
	}
	if !s.Manifest.Read.Settled {
		fmt.Fprintf(a.stderr, "oktasync: note: %s is not settled: %s\n", s.Name(), report.Unsettled)
	}
	if why := report.Unreconciled(s.Manifest.Control); why != "" {
		fmt.Fprintf(a.stderr, "oktasync: note: %s is not reconciled: %s\n", s.Name(), why)
	}
	if carried := report.Carried(s.Manifest.Resources, r.zone(s.Manifest.Export)); carried != "" {
		fmt.Fprintf(a.stderr, "oktasync: note: %s carries %s\n", s.Name(), carried)
	}
	if why := report.Unavailable(s.Manifest.Resources); why != "" {
		fmt.Fprintf(a.stderr, "oktasync: note: %s is without %s\n", s.Name(), term.Safe(why))
	}
	return nil
}

// prunedText describes pruned snapshots, and who or what pruned them according to the
// journal: "1 snapshot was pruned by retention, 20261123T060000Z".
func (r *reader) prunedText(export, noun string, names []string) string {
	var causes []string
	left := slices.Clone(names)
	for e, err := range r.Events(export) {
		i := slices.Index(left, e.Snapshot)
		if err != nil || e.Event != snapshot.EventPruned || i < 0 {
			continue // an error is the last one, and verify reports it
		}
		left = slices.Delete(left, i, i+1)
		cause := "by retention"
		if e.Reason != snapshot.ReasonRetention {
			cause = "by " + term.Safe(e.User) + " (" + term.Safe(e.Reason) + ")"
		}
		if !slices.Contains(causes, cause) {
			causes = append(causes, cause)
		}
	}
	if len(left) > 0 {
		causes = append(causes, "without a covered line of the journal")
	}
	were := "were"
	if len(names) == 1 {
		were = "was"
	}
	return fmt.Sprintf("%s %s pruned %s, %s", term.Plural(len(names), noun), were, strings.Join(causes, " and "), report.Span(names))
}

// nearestFlag adds --nearest to a command that accepts dates.
func nearestFlag(cmd *cobra.Command, nearest *bool) {
	cmd.Flags().BoolVar(nearest, "nearest", false, "accept a snapshot that is older than the date by more than one interval of the schedule")
}

// listingOptions are the flags of a command that prints records.
type listingOptions struct {
	listing.Options
	all bool // all rows of a table on a terminal
}

func listingFlags(cmd *cobra.Command) *listingOptions {
	o := new(listingOptions)
	cmd.Flags().StringVar(&o.Format, "format", "ndjson", "ndjson, csv, json or table; with --columns, the default is table")
	cmd.Flags().StringVar(&o.Filter, "filter", "", "only the records that match the `EXPRESSION`")
	cmd.Flags().StringSliceVar(&o.Columns, "columns", nil, "columns of csv and table, as `PATHS` such as profile.login,status")
	allFlag(cmd, &o.all)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("columns") && len(o.Columns) == 0 {
			return &usageError{"--columns is empty", cmd.CommandPath()}
		}
		if len(o.Columns) > 0 && !cmd.Flags().Changed("format") {
			o.Format = "table"
		}
		return o.Check()
	}
	return o
}

// show prints the records of a resource of s.
func (a *app) show(s source, declared snapshot.Declaration, name string, o *listingOptions) error {
	r, err := resourceNamed(s, name)
	if err != nil {
		return err
	}
	o.Limit = a.limit(o.all)
	l, err := listing.New(s, r, declared, o.Options)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(a.stdout)
	if err := l.Print(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, note := range l.Notes() {
		fmt.Fprintf(a.stderr, "oktasync: note: %s\n", note)
	}
	return nil
}
