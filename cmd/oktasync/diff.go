package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

func (a *app) diffCommand() *cobra.Command {
	var detailed, nearest bool
	cmd := &cobra.Command{
		Use:   "diff EXPORT [FROM] [TO] [RESOURCE...]",
		Short: "Show the changes between two snapshots",
		Long: `Compares two snapshots of an export: the newest two by default, or FROM with the
newest. Name a snapshot by its folder, by a date (the last snapshot of that day or
before, in the export's time zone), or by @-1 for the snapshot before the newest.
RESOURCE limits the output to a resource, such as users or group_members.

The time of each change is Okta's: when the user was activated or created, when the
status changed, or when the record was last updated.

With --detailed-exitcode, the exit status is 2 if there are changes.`,
		Example: `  oktasync diff all-users
  oktasync diff all-users 2026-03-31 2026-06-30 --json
  oktasync diff all-users @-7 --format csv > week.csv`,
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
	})
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
	names, args := args[1:], args[:1]
	for len(names) > 0 && snapshot.ResourceNamed(names[0]) == nil && len(args) < 3 {
		args, names = append(slices.Clip(args), names[0]), names[1:]
	}
	to, err := a.snapshotAt(r, args[0], optional(args, 2), nearest)
	if err != nil {
		return nil, err
	}
	fromName := cmp.Or(optional(args, 1), "@-1")
	if p := to.Manifest.Previous; len(args) == 1 && p != nil {
		if _, err := r.Snapshot(args[0], p.Snapshot); err == nil {
			fromName = p.Snapshot // also if a newer snapshot was published meanwhile
		}
	}
	from, err := a.snapshotAt(r, args[0], fromName, nearest)
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
	closeParents, err := snapshot.OpenParents(d.to, c.resource, &c.rules)
	if err != nil {
		return diff.Counts{}, err
	}
	defer closeParents()
	return diff.Diff(before, after, c.rules, visit)
}

// names returns the names of the ends of the first changed edges, as many as a list
// with this limit has. They are those of the newer state, if it has them.
func (d *difference) names(c comparison, limit int) (report.Names, error) {
	if c.resource.Other == nil {
		return nil, nil
	}
	names, n := make(report.Names), 0
	_, err := d.each(c, func(change *diff.Change) error {
		if n++; limit == 0 || n <= limit {
			names.Add(c.resource, change)
		}
		return nil
	})
	for _, s := range []source{d.to, d.from} {
		if err == nil {
			err = names.ReadFrom(s)
		}
	}
	return names, err
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
