package main

import (
	"errors"
	"fmt"
	"io"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

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
