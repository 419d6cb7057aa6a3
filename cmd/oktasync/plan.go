package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// maxShown is how many changes plan and diff print as text. --json prints all.
const maxShown = 50

func (a *app) planCommand() *cobra.Command {
	var detailed, asJSON bool
	cmd := &cobra.Command{
		Use:   "plan [EXPORT...]",
		Short: "Read Okta and print what apply would change",
		Long: `Reads the users of each named export, or of all exports, and prints the changes
that apply would publish. It publishes nothing and leaves nothing on disk.

With --detailed-exitcode, the exit status is 2 if there are changes, and 3 if the
guard would reject the read.`,
		Example: `  oktasync plan
  oktasync plan all-users --detailed-exitcode`,
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.plan(cmd.Context(), names, detailed, asJSON)
		},
	}
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit status 2 for changes, 3 if the guard would reject them")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	a.quietFlag(cmd)
	return cmd
}

func (a *app) plan(ctx context.Context, names []string, detailed, asJSON bool) error {
	r, err := a.connect(names)
	if err != nil {
		return err
	}
	store, err := org.OpenExisting(r.cfg)
	if err != nil {
		return err
	}
	reconciler, stop := r.reconciler(store)
	defer stop()
	var outcomes outcomes
	plans := []planDocument{}
	for _, export := range r.exports {
		plan, err := reconciler.Plan(ctx, export)
		if err != nil {
			outcomes.add(a, export.Name, err)
			continue
		}
		due, err := dueAfter(store, plan)
		if err != nil {
			return err
		}
		if asJSON {
			doc, err := newPlanDocument(plan)
			if err != nil {
				return err
			}
			doc.Prune = append(doc.Prune, due...)
			plans = append(plans, doc)
		} else if err := printPlan(a.stdout, plan, due); err != nil {
			return err
		}
		outcomes.changed = outcomes.changed || plan.Changed()
		outcomes.quarantined = outcomes.quarantined || len(plan.Held) > 0
		if err := plan.Close(); err != nil {
			return err
		}
	}
	if asJSON {
		if err := writeJSON(a.data(), plans); err != nil {
			return err
		}
	}
	if !detailed {
		outcomes.changed, outcomes.quarantined = false, false
	}
	return outcomes.err()
}

// dueAfter returns the snapshots that retention would prune after the plan is
// applied. A pruned snapshot is not a change.
func dueAfter(store *snapshot.Store, p *reconcile.Plan) ([]string, error) {
	if store == nil || len(p.Held) > 0 {
		return nil, nil
	}
	var next time.Time
	if p.Changed() || p.Export.Snapshot == reconcile.Always {
		next = p.Reading.OktaTime(p.Reading.Started)
	}
	return store.Due(p.Export.Name, p.Export.Retention(), next)
}

// planDocument is the shape of `plan --json`.
type planDocument struct {
	Export   string             `json:"export"`
	Changed  bool               `json:"changed"`
	Previous string             `json:"previous"` // "" before the first snapshot
	Base     string             `json:"base"`
	Users    int                `json:"users"`
	ByStatus map[string]int     `json:"by_status"`
	Added    int                `json:"added"`
	Modified int                `json:"modified"`
	Removed  int                `json:"removed"`
	Declared bool               `json:"declaration_changed"`
	Missing  []string           `json:"missing"`
	Held     []string           `json:"held"`
	Prune    []string           `json:"prune"` // snapshots that retention would prune
	Changes  []*snapshot.Change `json:"changes"`
}

func newPlanDocument(p *reconcile.Plan) (planDocument, error) {
	doc := planDocument{
		Export: p.Export.Name, Changed: p.Changed(), Base: p.Base,
		Users: p.Counts.Total, ByStatus: p.ByStatus,
		Added: p.Counts.Added, Modified: p.Counts.Changed, Removed: p.Counts.Removed,
		Declared: p.Declared, Missing: append([]string{}, p.Missing...), Held: append([]string{}, p.Held...),
		Prune: []string{}, Changes: []*snapshot.Change{},
	}
	if p.Previous != nil {
		doc.Previous = p.Previous.Name()
	}
	err := p.Changes(func(c *snapshot.Change) error {
		doc.Changes = append(doc.Changes, c)
		return nil
	})
	return doc, err
}

func printPlan(w io.Writer, p *reconcile.Plan, due []string) error {
	fmt.Fprintf(w, "%s: %d users read: %s\n", p.Export.Name, p.Counts.Total, report.Statuses(p.ByStatus))
	switch p.Base {
	case snapshot.BaseNone:
		fmt.Fprintf(w, "\nPlan: the first snapshot, of %d users.\n", p.Counts.Total)
	case snapshot.BaseReset:
		fmt.Fprintf(w, "\nPlan: a snapshot of %d users. The declaration selects other users than that of %s, so there is no comparison.\n",
			p.Counts.Total, p.Previous.Name())
	default:
		fmt.Fprintf(w, "compared with %s\n\n", p.Previous.Name())
		list := changeList{w: w}
		if err := p.Changes(list.add); err != nil {
			return err
		}
		list.end("oktasync plan --json")
		if list.count > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "Plan: %s.\n", planSentence(p))
	}
	if len(due) > 0 {
		fmt.Fprintf(w, "Prune: %s, %s.\n", term.Plural(len(due), "snapshot"), report.Span(due))
	}
	for _, reason := range p.Held {
		fmt.Fprintf(w, "Guard: %s; apply would quarantine this read.\n", reason)
	}
	if len(p.Held) > 0 && p.Base == snapshot.BasePrevious {
		return printSomeLeavers(w, "oktasync plan "+p.Export.Name+" --json", p.Changes)
	}
	return nil
}

// planSentence summarizes the changes that apply would publish.
func planSentence(p *reconcile.Plan) string {
	var parts []string
	if text := report.KindCounts(p.Counts.Kinds); text != "" {
		parts = append(parts, text)
	}
	if p.Declared {
		parts = append(parts, "the declaration has changed")
	}
	if len(p.Missing) > 0 {
		parts = append(parts, "the store lacks "+strings.Join(p.Missing, ", "))
	}
	if len(parts) > 0 {
		return strings.Join(parts, "; ")
	}
	if p.Export.Snapshot == reconcile.Always {
		return "no changes; apply would still publish a snapshot (snapshot: always)"
	}
	return "no changes"
}
