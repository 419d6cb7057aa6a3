package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

func (a *app) quarantineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine list|show|diff|release|drop",
		Short: "Show, release or drop quarantined reads",
		Long: `If the guard stops a read, the read is quarantined: the store keeps it apart from the
snapshots. For each export, the store keeps the newest three reads, and those of the
last 14 days. Check such a read, and release it if it is correct. All commands work
while the daemon runs.

Name a read by its folder. Without @READ, show, diff and release use the newest read
that the journal names and that was neither released nor dropped. If it is missing or
has changed, they fail.`,
		Example: `  oktasync quarantine list
  oktasync quarantine diff all-users
  oktasync quarantine release all-users --reason "CHG-1042: contractors removed"`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.quarantineListCommand(), a.quarantineShowCommand(), a.quarantineDiffCommand(),
		a.quarantineReleaseCommand(), a.quarantineDropCommand())
	return cmd
}

const quarantinedArg = "EXPORT[@READ]"

// quarantined returns the read with the name EXPORT[@READ].
func (r *reader) quarantined(arg string) (*snapshot.QuarantinedRead, error) {
	export, name, _ := strings.Cut(arg, "@")
	if _, err := r.exports([]string{export}); err != nil {
		return nil, err
	}
	return r.FindQuarantined(export, name)
}

func (a *app) quarantineListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list [EXPORT]",
		Short:   "List the quarantined reads",
		Example: "  oktasync quarantine list",
		Args:    args(0, 1, "EXPORT"),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return a.reads(cmd, func(r *reader, args []string) error {
		names, err := r.exports(args)
		if err != nil {
			return err
		}
		reads := []*snapshot.QuarantinedRead{}
		for _, name := range names {
			list, err := r.Quarantined(name)
			if err != nil {
				return err
			}
			reads = append(reads, list...)
		}
		if asJSON {
			return writeJSON(a.stdout, reads)
		}
		if len(reads) == 0 {
			fmt.Fprintln(a.stderr, "no read is quarantined")
			return nil
		}
		return printQuarantined(a.stdout, reads)
	})
}

func printQuarantined(w io.Writer, reads []*snapshot.QuarantinedRead) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "EXPORT\tREAD\tRECORDS\tCHANGES\tREASON")
	for _, r := range reads {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.Export, r.Name(), report.Records(r.Resources), report.ShortChanges(r.Resources, r.Previous == nil), term.Safe(r.Reason))
	}
	return t.Flush()
}

func (a *app) quarantineShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show " + quarantinedArg + " [RESOURCE]",
		Short:   "Print the records of a quarantined read",
		Example: "  oktasync quarantine show all-users --format csv",
		Args:    args(1, 2, quarantinedArg+" [RESOURCE]"),
	}
	options := listingFlags(cmd)
	return a.reads(cmd, func(r *reader, args []string) error {
		read, err := r.quarantined(args[0])
		if err != nil {
			return err
		}
		options.Now = read.Read.Started.Time
		return a.show(read, read.Declared, optional(args, 1), options)
	})
}

func (a *app) quarantineDiffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "diff " + quarantinedArg,
		Short:   "Show the changes of a quarantined read",
		Example: "  oktasync quarantine diff all-users",
		Args:    args(1, 1, quarantinedArg),
	}
	format := formatFlags(cmd)
	allFlag(cmd, &format.all)
	return a.reads(cmd, func(r *reader, args []string) error {
		read, err := r.quarantined(args[0])
		if err != nil {
			return err
		}
		newest, err := r.snapshot(read.Export, "")
		if err != nil {
			return err
		}
		if p := read.Previous; p == nil || p.Snapshot != newest.Name() {
			fmt.Fprintf(a.stderr, "oktasync: note: %s is newer than this read, so it can't be released\n", newest.Name())
		}
		d, err := compare(read.Export, newest, read, read.Declared, nil)
		if err != nil {
			return err
		}
		if err := d.addProofsOf(read); err != nil {
			return err
		}
		_, err = a.printDifference(d, format, r.zone(read.Export))
		return err
	})
}

func (a *app) quarantineReleaseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release " + quarantinedArg,
		Short: "Publish a quarantined read",
		Long: `Publishes a snapshot from the stored data, without another read of Okta. The
manifest and the journal record who released the read, and why. A read that is older
than the newest snapshot can't be released.`,
		Example: `  oktasync quarantine release all-users --reason "CHG-1042: contractors removed"`,
		Args:    args(1, 1, quarantinedArg),
	}
	reason := reasonFlag(cmd, "the manifest and the journal", "release needs --reason TEXT: the manifest records who overrode the guard, and why")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.writeQuarantine(cmd.Context(), args[0], func(w *snapshot.Writer, user, _, name string) error {
			read, err := w.FindQuarantined(name)
			if err != nil {
				return err
			}
			return a.release(cmd.Context(), w, read, snapshot.Override{User: user, Reason: *reason})
		})
	}
	return cmd
}

func (a *app) release(ctx context.Context, w *snapshot.Writer, read *snapshot.QuarantinedRead, by snapshot.Override) error {
	s, err := w.Release(ctx, read.Name(), by, toolVersion())
	if err != nil {
		err = errors.Join(err, w.Journal(snapshot.Event{Event: snapshot.EventFailed, Error: err.Error()}))
	}
	if s != nil {
		fmt.Fprintf(a.stdout, "%s: published %s, sequence %d, of %s: %s\n", read.Export, s.Name(), s.Manifest.Sequence,
			report.Records(s.Manifest.Resources), report.Changes(s.Manifest.Resources, s.Manifest.Previous == nil))
		fmt.Fprintf(a.stdout, "  released by %s: %s\n  manifest sha256 %s\n", by.User, term.Safe(by.Reason), s.Digest)
		if users, recorded := s.Manifest.Resources[snapshot.Users.Name]; recorded && users.IsAvailable() && users.Total == 0 {
			fmt.Fprintf(a.stderr, "oktasync: warning: %s@%s has no users\n", read.Export, s.Name())
		}
	}
	return err
}

func (a *app) quarantineDropCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "drop EXPORT@READ",
		Short:   "Remove a quarantined read",
		Example: `  oktasync quarantine drop all-users@20261123T060000Z --reason "the app had lost its role"`,
		Args:    args(1, 1, "EXPORT@READ"),
	}
	reason := reasonFlag(cmd, "the journal", "")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, name, _ := strings.Cut(args[0], "@"); name == "" {
			return fmt.Errorf("name the read, as %s@READ; `oktasync quarantine list` lists the names", args[0])
		}
		return a.writeQuarantine(cmd.Context(), args[0], func(w *snapshot.Writer, user, export, name string) error {
			if err := w.Drop(name, user, *reason); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s: dropped %s\n", export, name)
			return nil
		})
	}
	return cmd
}

// writeQuarantine calls do with the user to record and the parts of EXPORT[@READ] while
// the export is locked.
func (a *app) writeQuarantine(ctx context.Context, arg string, do func(w *snapshot.Writer, user, export, name string) error) error {
	export, name, _ := strings.Cut(arg, "@")
	r, user, err := a.openWritable(export)
	if err != nil {
		return err
	}
	return r.write(ctx, export, "quarantine", func(w *snapshot.Writer) error { return do(w, user, export, name) })
}

// maxNamed is how many records printLeavers prints.
const maxNamed = 10

// printLeavers prints some records that a quarantined read removes or deactivates.
// It prints only to a terminal: elsewhere, standard error goes to a log or to
// cron's mail, and those must not have user data.
func (a *app) printLeavers(store *snapshot.Store, export reconcile.Export, err error) error {
	quarantined, ok := errors.AsType[*reconcile.QuarantinedError](err)
	if !ok || !term.IsTerminal(a.stderr) {
		return nil
	}
	read, err := store.FindQuarantined(export.Name, quarantined.Name)
	if err != nil {
		return err
	}
	newest, err := store.Latest(export.Name)
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return nil // nothing to compare with
	}
	if err != nil {
		return err
	}
	d, err := compare(export.Name, newest, read, read.Declared, nil)
	if err != nil {
		return nil // other records are declared, so there is nothing to compare
	}
	n := 0
	err = d.all(func(r *snapshot.Resource, c *diff.Change) error {
		if c.Op != diff.OpRemoved && r.Heading(c.Kind) != snapshot.Leavers {
			return nil
		}
		if n++; n <= maxNamed {
			fmt.Fprintf(a.stderr, "  %s %-11s  %s\n", opSigns[c.Op], c.Kind, term.Safe(report.Names(nil).Of(r, c)))
		}
		return nil
	})
	if n > maxNamed {
		fmt.Fprintf(a.stderr, "  … and %d more; `oktasync quarantine diff %s@%s --all` shows all changes\n", n-maxNamed, export.Name, read.Name())
	}
	return err
}
