package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/daemon"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

func (a *app) listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list [EXPORT]",
		Short:   "List the snapshots",
		Example: "  oktasync list\n  oktasync list all-users --json",
		Args:    args(0, 1, "EXPORT"),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the manifests as one JSON document")
	return a.reads(cmd, func(r *reader, args []string) error {
		names, err := r.exports(args)
		if err != nil {
			return err
		}
		manifests, noted := []snapshot.Manifest{}, false
		for _, name := range names {
			found := daemon.Survey(r.Store, name)
			for _, text := range found.Damage {
				fmt.Fprintf(a.stderr, "oktasync: note: %s\n", term.Safe(text))
			}
			if n := found.Pruned; n > 0 {
				fmt.Fprintf(a.stderr, "oktasync: note: %s: %s not listed; the manifests are in %s/%s\n",
					name, term.Plural(n, "pruned snapshot"), name, snapshot.PrunedDir)
			}
			noted = noted || len(found.Damage) > 0 || found.Pruned > 0
			for _, s := range found.Snapshots {
				manifests = append(manifests, s.Manifest)
			}
		}
		if asJSON {
			return writeJSON(a.stdout, manifests)
		}
		switch {
		case len(manifests) > 0:
			return a.printList(manifests)
		case !noted:
			fmt.Fprintln(a.stderr, "no snapshots yet")
		}
		return nil
	})
}

func (a *app) printList(manifests []snapshot.Manifest) error {
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "EXPORT\tSEQUENCE\tSNAPSHOT\tRECORDS\tCHANGES")
	for _, m := range manifests {
		records := report.Records(m.Resources)
		if !m.Read.Settled {
			records += ", not settled"
		}
		if report.Unreconciled(m.Control) != "" {
			records += ", not reconciled"
		}
		if n := m.Resources[snapshot.GroupMembers.Name].Carried; n > 0 {
			records += fmt.Sprintf(", %d carried", n)
		}
		for _, r := range m.Unavailable() {
			records += ", " + r.Name + " unavailable"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", m.Export, m.Sequence, m.Snapshot, records, report.ShortChanges(m.Resources, m.Previous == nil))
	}
	return t.Flush()
}
