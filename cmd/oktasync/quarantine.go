package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

func (a *app) quarantineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine list|show|diff|release|drop",
		Short: "Look at readings that a guard held back, release or drop them",
		Long: `A reading that a guard holds back is kept apart from the snapshots, the newest
three of each export. Look at it, and release it if it is right: the snapshot is
made from the data held, and says who released it and why. All of this works
while the daemon runs. A reading is named by its folder; the newest is meant
where none is named.`,
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

const readingArg = "EXPORT[@READING]"

// reading finds what EXPORT[@READING] names.
func (r *reader) reading(arg string) (*snapshot.Reading, error) {
	export, name, _ := strings.Cut(arg, "@")
	if _, err := r.exports([]string{export}); err != nil {
		return nil, err
	}
	return r.FindReading(export, name)
}

func (a *app) quarantineListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list [EXPORT]",
		Short:   "List the readings that are held back",
		Example: "  oktasync quarantine list",
		Args:    args(0, 1, "EXPORT"),
	}
	store := storeFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		r, err := a.openReader(*store)
		if err != nil {
			return err
		}
		names, err := r.exports(args)
		if err != nil {
			return err
		}
		readings := []*snapshot.Reading{}
		for _, name := range names {
			list, err := r.Quarantined(name)
			if err != nil {
				return err
			}
			readings = append(readings, list...)
		}
		if asJSON {
			return writeJSON(a.stdout, readings)
		}
		if len(readings) == 0 {
			fmt.Fprintln(a.stderr, "nothing is in quarantine")
			return nil
		}
		return printReadings(a.stdout, readings)
	}
	return cmd
}

func printReadings(w io.Writer, readings []*snapshot.Reading) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "EXPORT\tREADING\tUSERS\tCHANGES\tHELD BACK BECAUSE")
	for _, r := range readings {
		u := r.Resources.Users
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\n", r.Export, r.Name(), u.Total, report.ShortChanges(u), term.Safe(r.Reason))
	}
	return t.Flush()
}

func (a *app) quarantineShowCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "show " + readingArg,
		Short:   "Print the users of a reading that is held back",
		Example: "  oktasync quarantine show all-users --format csv",
		Args:    args(1, 1, readingArg),
	}
	store := storeFlag(cmd)
	cmd.Flags().StringVar(&format, "format", "ndjson", "ndjson, csv or json")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		r, err := a.openReader(*store)
		if err != nil {
			return err
		}
		reading, err := r.reading(args[0])
		if err != nil {
			return err
		}
		return a.show(reading, reading.Declared, format)
	}
	return cmd
}

func (a *app) quarantineDiffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "diff " + readingArg,
		Short:   "Show what a reading that is held back would change",
		Example: "  oktasync quarantine diff all-users",
		Args:    args(1, 1, readingArg),
	}
	store := storeFlag(cmd)
	format := diffFormatFlags(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := format.check(); err != nil {
			return err
		}
		r, err := a.openReader(*store)
		if err != nil {
			return err
		}
		reading, err := r.reading(args[0])
		if err != nil {
			return err
		}
		newest, err := r.snapshot(reading.Export, "")
		if err != nil {
			return err
		}
		if p := reading.Previous; p == nil || p.Snapshot != newest.Name() {
			fmt.Fprintf(a.stderr, "oktasync: note: %s is newer than this reading, so it can't be released\n", newest.Name())
		}
		d, err := compare(reading.Export, newest, newest.Manifest.Declared, reading, reading.Declared)
		if err != nil {
			return err
		}
		return a.printDifference(d, format, r.zone(reading.Export))
	}
	return cmd
}

func (a *app) quarantineReleaseCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "release " + readingArg,
		Short: "Publish a reading that is held back",
		Long: `Makes a snapshot from the data held, without reading Okta again. Manifest and
journal say who released it, and why. It is refused once there is a newer
snapshot.`,
		Example: `  oktasync quarantine release all-users --reason "CHG-1042: contractors removed"`,
		Args:    args(1, 1, readingArg),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, as `TEXT` for manifest and journal")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if reason = strings.TrimSpace(reason); reason == "" {
			return errors.New("release takes --reason TEXT: the manifest records who overrode the guard, and why")
		}
		if err := checkReason(reason); err != nil {
			return err
		}
		return a.writeQuarantine(args[0], func(cfg *config.Config, w *snapshot.Writer, reading *snapshot.Reading) error {
			by := snapshot.Override{User: org.Run(cfg, "").User, Reason: reason}
			return a.release(cmd.Context(), w, reading, by)
		})
	}
	return cmd
}

func (a *app) release(ctx context.Context, w *snapshot.Writer, reading *snapshot.Reading, by snapshot.Override) error {
	s, err := w.Release(ctx, reading.Name(), by, toolVersion())
	if err != nil {
		err = errors.Join(err, w.Journal(snapshot.Event{Event: snapshot.EventFailed, Error: err.Error()}))
	}
	if s != nil {
		u := s.Manifest.Resources.Users
		fmt.Fprintf(a.stdout, "%s: published %s, sequence %d, of %d users: %s\n", reading.Export, s.Name(), s.Manifest.Sequence, u.Total, report.Changes(u))
		fmt.Fprintf(a.stdout, "  released by %s: %s\n  manifest sha256 %s\n", by.User, term.Safe(by.Reason), s.Digest)
	}
	return err
}

func (a *app) quarantineDropCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "drop EXPORT@READING",
		Short:   "Remove a reading that is held back",
		Example: `  oktasync quarantine drop all-users@20261123T060000Z --reason "the app had lost its role"`,
		Args:    args(1, 1, "EXPORT@READING"),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, as `TEXT` for the journal")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if !strings.Contains(args[0], "@") {
			return fmt.Errorf("name the reading, as %s@READING; `oktasync quarantine list` has the names", args[0])
		}
		if err := checkReason(reason); err != nil {
			return err
		}
		return a.writeQuarantine(args[0], func(cfg *config.Config, w *snapshot.Writer, reading *snapshot.Reading) error {
			if err := w.Drop(reading.Name(), org.Run(cfg, "").User, reason); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s: dropped %s\n", reading.Export, reading.Name())
			return nil
		})
	}
	return cmd
}

// writeQuarantine finds a reading and does something to it under the lock of
// its export.
func (a *app) writeQuarantine(arg string, do func(*config.Config, *snapshot.Writer, *snapshot.Reading) error) (err error) {
	cfg, _, err := a.load()
	if err != nil {
		return err
	}
	store, err := org.OpenStore(cfg, nil)
	if err != nil {
		return err
	}
	reading, err := (&reader{Store: store, cfg: cfg}).reading(arg)
	if err != nil {
		return err
	}
	w, err := store.Writer(reading.Export, snapshot.ThisProcess("quarantine"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return do(cfg, w, reading)
}

// mostNamed is how many people a guard's verdict names.
const mostNamed = 10

// nameHeld names some of those whom a guard was about, to whoever waits for the
// command at a terminal. Elsewhere standard error ends up in a log or in a mail
// of cron, and there people have no place.
func (a *app) nameHeld(store *snapshot.Store, export reconcile.Export, err error) error {
	held := (*reconcile.HeldError)(nil)
	if !errors.As(err, &held) || !term.IsTerminal(a.stderr) {
		return nil
	}
	reading, err := store.FindReading(export.Name, held.Quarantined)
	if err != nil {
		return err
	}
	newest, err := store.Latest(export.Name)
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return nil // nobody to compare with
	}
	if err != nil {
		return err
	}
	if _, base := snapshot.RulesFor(&newest.Manifest.Declared, reading.Declared); base != snapshot.BasePrevious {
		return nil
	}
	d, err := compare(export.Name, newest, newest.Manifest.Declared, reading, reading.Declared)
	if err != nil {
		return err
	}
	return nameGone(a.stderr, fmt.Sprintf("oktasync quarantine diff %s@%s", export.Name, reading.Name()), func(visit func(*snapshot.Change) error) error {
		_, err := d.each(visit)
		return err
	})
}

// nameGone names some of those who are gone or deactivated among changes.
func nameGone(w io.Writer, command string, changes func(func(*snapshot.Change) error) error) error {
	n := 0
	err := changes(func(c *snapshot.Change) error {
		if c.Kind.Group() != snapshot.Leavers {
			return nil
		}
		if n++; n <= mostNamed {
			fmt.Fprintf(w, "  %s %-11s  %s\n", opSigns[c.Op], c.Kind, term.Safe(nameOf(c)))
		}
		return nil
	})
	if err == nil && n > 0 {
		fmt.Fprintf(w, "  %s; `%s` shows everything\n", moreText(n), command)
	}
	return err
}

// moreText says how many of n are not among the first that were named.
func moreText(n int) string {
	if n > mostNamed {
		return fmt.Sprintf("… and %d more", n-mostNamed)
	}
	return "these are all"
}
