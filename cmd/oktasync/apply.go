package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

func (a *app) applyCommand() *cobra.Command {
	var (
		publishAnyway bool
		full          bool
		asJSON        bool
	)
	var reason *string
	cmd := &cobra.Command{
		Use:   "apply [EXPORT...]",
		Short: "Reconcile once: read Okta and publish snapshots",
		Long: `Reads the resources of each named export, or of all exports, compares them with the
newest snapshot, and publishes a new one. For each snapshot, it prints a summary for
a change ticket. It changes nothing in Okta.

If the guard stops a read, the read is quarantined, the newest snapshot stays, and
the exit status is 3. --publish-anyway publishes such a read; the manifest and the
journal record who published it, and why.

With refresh: incremental, the members of unchanged groups are carried over from the
newest snapshot. --full reads all of them.`,
		Example: `  oktasync apply
  oktasync apply all-users --publish-anyway --reason "CHG-1042: contractors removed"`,
		RunE: func(cmd *cobra.Command, names []string) error {
			switch {
			case publishAnyway && *reason == "":
				return errors.New("--publish-anyway needs --reason TEXT: the manifest records who overrode the guard, and why")
			case !publishAnyway && *reason != "":
				return errors.New("--reason needs --publish-anyway")
			}
			return a.apply(cmd.Context(), names, *reason, full, asJSON)
		},
	}
	cmd.Flags().BoolVar(&publishAnyway, "publish-anyway", false, "publish a read that the guard stops")
	reason = reasonFlag(cmd, "the manifest and the journal", "")
	cmd.Flags().BoolVar(&full, "full", false, "read the members of all groups, also with refresh: incremental")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the manifests as one JSON document")
	a.quietFlag(cmd)
	return cmd
}

func (a *app) apply(ctx context.Context, names []string, reason string, full, asJSON bool) error {
	r, err := a.connect(names)
	if err != nil {
		return err
	}
	store, err := org.OpenStore(r.cfg, nil)
	if err != nil {
		return err
	}
	facts := org.Run(r.cfg, "apply")
	if reason != "" {
		facts.Override = &snapshot.Override{User: facts.User, Reason: reason}
	}
	r.org.Full = full
	reconciler, stop := r.reconciler(store)
	defer stop()
	var outcomes outcomes
	manifests := []snapshot.Manifest{}
	for _, export := range r.exports {
		if ctx.Err() != nil {
			outcomes.add(a, export.Name, ctx.Err())
			continue
		}
		result, err := reconciler.Reconcile(ctx, export, facts)
		outcomes.add(a, export.Name, err)
		if err := a.printLeavers(store, export, err); err != nil {
			r.log.Warn("users not listed", "export", export.Name, "err", err)
		}
		if result.Snapshot != nil {
			manifests = append(manifests, result.Snapshot.Manifest)
		}
		if (err == nil || result.Outcome == reconcile.Published) && !asJSON {
			printResult(a.stdout, export, result)
		}
	}
	if asJSON {
		if err := writeJSON(a.stdout, manifests); err != nil {
			return err
		}
	}
	return outcomes.err()
}

// printResult prints the facts of one reconcile, for a change ticket or an audit.
func printResult(w io.Writer, export reconcile.Export, r reconcile.Result) {
	if r.Outcome == reconcile.Unchanged {
		fmt.Fprintf(w, "%s: no changes since %s; nothing published (snapshot: on_change)\n", export.Name, r.Plan.Previous.Name())
		if len(r.Pruned) > 0 {
			fmt.Fprintf(w, "  pruned %s, %s\n", term.Plural(len(r.Pruned), "snapshot"), report.Span(r.Pruned))
		}
		return
	}
	m := r.Snapshot.Manifest
	zone := export.Location()
	fmt.Fprintf(w, "%s: published %s\n", export.Name, m.Snapshot)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("org", "%s", m.Org.URL)
	row("client", "%s (scopes %s, %s)", m.Client.ClientID, term.Safe(strings.Join(m.Client.Scopes, " ")), tokenKind(m.Client.DPoP))
	row("query", "%s", term.Safe(report.Query(m.Declared)))
	for _, r := range m.Recorded() {
		counts := m.Resources[r.Name]
		if counts.ByStatus != nil {
			row(r.Name, "%d: %s", counts.Total, term.Safe(report.Statuses(counts.ByStatus)))
		} else {
			row(r.Name, "%d", counts.Total)
		}
	}
	row("changes", "%s", report.Changes(m.Resources, m.Previous == nil))
	row("started", "%s", m.Read.Started.In(zone).Format(timeLayout))
	row("finished", "%s", m.Read.Finished.In(zone).Format(timeLayout))
	if !m.Read.Settled {
		row("settled", "no: %s", report.Unsettled)
	}
	if why := report.Unreconciled(m.Control); why != "" {
		row("reconciled", "no: %s", why)
	}
	if carried := report.Carried(m.Resources, zone); carried != "" {
		row("carried", "%s", carried)
	}
	if why := report.Unavailable(m.Resources); why != "" {
		row("unavailable", "%s", why)
	}
	row("run by", "%s on %s", m.Run.User, m.Run.Host)
	if m.Run.Override != nil {
		row("override", "the guard was overridden by %s: %s", m.Run.Override.User, m.Run.Override.Reason)
	}
	row("sequence", "%d", m.Sequence)
	if m.SignedBy != nil {
		row("signed by", "%s", *m.SignedBy)
	}
	if err := r.Snapshot.TimestampError; err != nil {
		row("time stamp", "none: %s; the next stamp covers this snapshot too", term.Safe(err.Error()))
	}
	row("manifest", "sha256 %s", r.Snapshot.Digest)
	row("head", "%s", r.Head)
	row("folder", "%s", r.Snapshot.Dir())
	if len(r.Pruned) > 0 {
		row("pruned", "%s, %s", term.Plural(len(r.Pruned), "snapshot"), report.Span(r.Pruned))
	}
	t.Flush()
}

const timeLayout = "2006-01-02 15:04:05 -07:00 MST"

func tokenKind(dpop bool) string {
	if dpop {
		return "DPoP"
	}
	return "Bearer"
}
