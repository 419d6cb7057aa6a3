package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

func (a *app) showCommand() *cobra.Command {
	var at, format string
	cmd := &cobra.Command{
		Use:   "show EXPORT[@SNAPSHOT]",
		Short: "Print the users of a snapshot",
		Long: `Prints the users of a snapshot, the newest one by default, sorted by id.

Name a snapshot by its folder, by a date (the last snapshot of that day or before,
in the export's time zone), or by @-1 for the snapshot before the newest.`,
		Example: `  oktasync show all-users
  oktasync show all-users@-1 --format csv
  oktasync show all-users --at 2026-06-30 --format json`,
		Args: args(1, 1, "EXPORT[@SNAPSHOT]"),
	}
	store := storeFlag(cmd)
	cmd.Flags().StringVar(&at, "at", "", "the last snapshot of `DATE` or before")
	cmd.Flags().StringVar(&format, "format", "ndjson", "ndjson, csv or json")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		export, name, named := strings.Cut(args[0], "@")
		if named && at != "" {
			return errors.New("EXPORT@SNAPSHOT and --at both name a snapshot; use one of them")
		}
		if named && strings.HasPrefix(name, "-") {
			name = "@" + name
		}
		r, err := a.openReader(*store)
		if err != nil {
			return err
		}
		s, err := r.snapshot(export, name+at)
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
		return a.show(s, s.Manifest.Declared, format)
	}
	return cmd
}

// userSource is a snapshot or a read in quarantine.
type userSource interface {
	Name() string
	Users() (snapshot.UserReader, error)
}

func (a *app) show(s userSource, declared snapshot.Declaration, format string) error {
	write, ok := map[string]func(*bufio.Writer, snapshot.UserReader) error{
		"ndjson": func(w *bufio.Writer, u snapshot.UserReader) error { return snapshot.WriteNDJSON(w, u) },
		"json":   func(w *bufio.Writer, u snapshot.UserReader) error { return snapshot.WriteJSON(w, u) },
		"csv": func(w *bufio.Writer, u snapshot.UserReader) error {
			columns, err := csvColumns(s, declared)
			if err != nil {
				return err
			}
			return snapshot.WriteCSV(w, u, columns)
		},
	}[format]
	if !ok {
		return fmt.Errorf("--format %s: must be ndjson, csv or json", term.Word(format))
	}
	users, err := s.Users()
	if err != nil {
		return err
	}
	defer users.Close()
	w := bufio.NewWriter(a.data())
	if err := write(w, users); err != nil {
		return err
	}
	return w.Flush()
}

// csvColumns returns the columns of the users of s. It makes one pass over them.
func csvColumns(s userSource, declared snapshot.Declaration) (*snapshot.Columns, error) {
	columns := snapshot.NewColumns(declared.Users.Attributes)
	err := eachUser(s, func(u snapshot.User) error { return columns.Add(u.JSON) })
	return columns, err
}

// eachUser calls visit for each user of s.
func eachUser(s userSource, visit func(snapshot.User) error) error {
	users, err := s.Users()
	if err != nil {
		return err
	}
	defer users.Close()
	for {
		u, err := users.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := visit(u); err != nil {
			return err
		}
	}
}
