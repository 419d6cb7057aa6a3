package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// allFlag adds --all to a command that prints changes.
func allFlag(cmd *cobra.Command, all *bool) {
	cmd.Flags().BoolVar(all, "all", false, "don't shorten the output on a terminal")
}

// resourceChange is a change of a record, with the name of its resource.
type resourceChange struct {
	Resource string `json:"resource"`
	*diff.Change
}

// changeList prints changes as text.
type changeList struct {
	w      io.Writer
	names  report.Names
	people report.People  // who left
	zone   *time.Location // of Okta's times; nil: the list has no times
	limit  int            // how many changes are printed; 0: all
	count  int
}

// shownOnTerminal is how many changes a list has on a terminal without --all.
const shownOnTerminal = 50

// limit returns the limit of a changeList.
func (a *app) limit(all bool) int {
	if all || !term.IsTerminal(a.stdout) {
		return 0
	}
	return shownOnTerminal
}

var opSigns = map[diff.Op]string{diff.OpAdded: "+", diff.OpChanged: "~", diff.OpRemoved: "-"}

func (l *changeList) add(r *snapshot.Resource, c *diff.Change) error {
	if l.count++; l.short() > 0 {
		return nil
	}
	fmt.Fprintf(l.w, "  %s %-11s  %s%s\n", opSigns[c.Op], c.Kind, term.Safe(l.names.Of(r, c)), l.at(c))
	if text := l.people[c.ID()]; text != "" && r.Heading(c.Kind) == snapshot.Leavers {
		fmt.Fprintf(l.w, "      %s\n", term.Safe(text))
	}
	for _, path := range c.Paths {
		fmt.Fprintf(l.w, "      %s: %s -> %s\n", term.Safe(path), term.Safe(report.ValueText(c.Before, path)), term.Safe(report.ValueText(c.After, path)))
	}
	return nil
}

// at returns the time that Okta gives for a change.
func (l *changeList) at(c *diff.Change) string {
	if l.zone == nil {
		return ""
	}
	at, err := time.Parse(time.RFC3339, c.At)
	if err != nil {
		return ""
	}
	return "  " + at.In(l.zone).Format(shortTime)
}

// short returns how many changes were not printed.
func (l *changeList) short() int {
	if l.limit == 0 {
		return 0
	}
	return max(l.count-l.limit, 0)
}

// end prints how many changes were not printed.
func (l *changeList) end() {
	if n := l.short(); n > 0 {
		fmt.Fprintf(l.w, "  … and %d more; --all prints them\n", n)
	}
}

// headings returns the headings of the changes of a resource, in their order.
func headings(r *snapshot.Resource) []string {
	var list []string
	for _, heading := range []string{snapshot.Administrators, snapshot.Leavers, snapshot.Joiners, snapshot.Movers, snapshot.Others, r.Name} {
		if slices.ContainsFunc(r.Kinds, func(k diff.Kind) bool { return r.Heading(k) == heading }) {
			list = append(list, heading)
		}
	}
	return list
}

// difference describes the changes between two states of an export.
type difference struct {
	export    string
	from      *snapshot.Snapshot
	to        source
	resources []comparison
	skipped   []string // resources that only one of the states records
}

// source is a snapshot or a quarantined read.
type source interface {
	snapshot.Source
	Name() string
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

// comparison is how a resource of both states is compared.
type comparison struct {
	resource *snapshot.Resource
	rules    diff.Rules
}

// newDifference returns the difference that the arguments EXPORT [FROM] [TO]
// [RESOURCE...] select.
func (a *app) newDifference(r *reader, args []string, nearest bool) (*difference, error) {
	if export, name := cutSnapshot(args[0]); name != "" {
		command := "oktasync diff"
		for _, arg := range append([]string{export, name}, args[1:]...) {
			command += " " + term.ShellWord(arg)
		}
		return nil, config.WithHint(fmt.Errorf("%s: diff accepts a snapshot only after the export", term.Word(args[0])), "`"+term.Safe(command)+"`")
	}
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
	if i := slices.IndexFunc(d.resources, func(c comparison) bool { return c.resource == snapshot.RoleAssignments }); i > 0 {
		roles := d.resources[i] // administrators come first
		d.resources = slices.Insert(slices.Delete(d.resources, i, i+1), 0, roles)
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

// names is edgeNames for the changes of a resource. The newer state comes first.
func (d *difference) names(c comparison, limit int) (report.Names, error) {
	if c.resource.Parent == nil && c.resource != snapshot.RoleAssignments {
		return nil, nil
	}
	only := *d
	only.resources = []comparison{c}
	return edgeNames(only.all, limit, d.to, d.from)
}

// edgeNames returns the names of the ends of the first changed edges, as many as a list
// with this limit has. Each name is from the first of the states that has it.
func edgeNames(changes func(visit func(*snapshot.Resource, *diff.Change) error) error, limit int, states ...snapshot.Source) (report.Names, error) {
	names, n := make(report.Names), 0
	err := changes(func(r *snapshot.Resource, c *diff.Change) error {
		if n++; limit == 0 || n <= limit {
			names.Add(r, c)
		}
		return nil
	})
	for _, s := range states {
		if err == nil {
			err = names.ReadFrom(s)
		}
	}
	return names, err
}

// leavers describes the users who left, as they were in the older snapshot.
func (d *difference) leavers(c comparison) (report.People, error) {
	if c.resource != snapshot.Users {
		return nil, nil
	}
	people := make(report.People)
	_, err := d.each(c, func(change *diff.Change) error {
		if c.resource.Heading(change.Kind) == snapshot.Leavers {
			people.Add(change.ID())
		}
		return nil
	})
	if err == nil {
		err = people.ReadFrom(d.from)
	}
	return people, err
}

func (d *difference) all(visit func(*snapshot.Resource, *diff.Change) error) error {
	for _, c := range d.resources {
		if _, err := d.each(c, func(change *diff.Change) error { return visit(c.resource, change) }); err != nil {
			return err
		}
	}
	return nil
}
