package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

func (a *app) planCommand() *cobra.Command {
	var detailed, asJSON, all bool
	cmd := &cobra.Command{
		Use:   "plan [EXPORT...]",
		Short: "Read Okta and print what apply would change",
		Long: `Reads the resources of each named export, or of all exports, and prints the changes
that apply would publish. It publishes nothing and leaves nothing on disk.

With --detailed-exitcode, the exit status is 2 if there are changes, and 3 if the
guard would stop the read.`,
		Example: `  oktasync plan
  oktasync plan all-users --detailed-exitcode`,
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.plan(cmd.Context(), names, detailed, asJSON, all)
		},
	}
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit status 2 for changes, 3 if the guard would stop the read")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	allFlag(cmd, &all)
	a.quietFlag(cmd)
	return cmd
}

func (a *app) plan(ctx context.Context, names []string, detailed, asJSON, all bool) error {
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
		} else if err := printPlan(changeList{w: a.stdout, limit: a.limit(all)}, plan, due); err != nil {
			return err
		}
		outcomes.changed = outcomes.changed || plan.Changed()
		outcomes.quarantined = outcomes.quarantined || len(plan.Stopped) > 0
		if err := plan.Close(); err != nil {
			return err
		}
	}
	if asJSON {
		if err := writeJSON(a.stdout, plans); err != nil {
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
	if store == nil || len(p.Stopped) > 0 {
		return nil, nil
	}
	var next time.Time
	if p.Changed() || p.Export.Snapshot == reconcile.Always {
		next = p.Read.OktaTime(p.Read.Started)
	}
	return store.Due(p.Export.Name, p.Export.Retention(), next)
}

// planDocument is the output of `plan --json`.
type planDocument struct {
	Export    string                  `json:"export"`
	Changed   bool                    `json:"changed"`
	Previous  string                  `json:"previous"` // "" before the first snapshot
	Resources map[string]planResource `json:"resources"`
	Requests  map[string]int          `json:"requests"` // by rate-limit bucket
	Settled   bool                    `json:"settled"`
	Control   *snapshot.Control       `json:"control"` // null: not compared
	Declared  bool                    `json:"declaration_changed"`
	Missing   []string                `json:"missing"`
	Guard     []string                `json:"guard"` // why the guard would stop the read
	Prune     []string                `json:"prune"` // snapshots that retention would remove
	Changes   []resourceChange        `json:"changes"`
}

type planResource struct {
	Base     string            `json:"base"`
	Reason   string            `json:"unavailable,omitempty"` // why it could not be read
	Total    int               `json:"total"`
	Carried  int               `json:"carried,omitzero"` // of these: not read, because they are unchanged
	ByStatus map[string]int    `json:"by_status"`
	Added    int               `json:"added"`
	Modified int               `json:"modified"`
	Removed  int               `json:"removed"`
	Kinds    map[diff.Kind]int `json:"kinds"`
}

func newPlanDocument(p *reconcile.Plan) (planDocument, error) {
	doc := planDocument{
		Export: p.Export.Name, Changed: p.Changed(), Resources: make(map[string]planResource),
		Requests: p.Buckets(), Settled: p.Read.Settled, Control: p.Control, Declared: p.DeclarationChanged, Missing: append([]string{}, p.Missing...), Guard: append([]string{}, p.Stopped...),
		Prune: []string{}, Changes: []resourceChange{},
	}
	if p.Previous != nil {
		doc.Previous = p.Previous.Name()
	}
	for _, r := range p.Resources {
		resource := planResource{
			Base: r.Base, Total: r.Counts.Total, Carried: r.Carried, ByStatus: r.ByStatus,
			Added: r.Counts.Added, Modified: r.Counts.Changed, Removed: r.Counts.Removed, Kinds: map[diff.Kind]int{},
		}
		if r.Unavailable != nil {
			resource.Reason = r.Unavailable.Reason
		}
		maps.Copy(resource.Kinds, r.Counts.Kinds)
		doc.Resources[r.Declared.Resource.Name] = resource
	}
	err := p.Changes(func(r *snapshot.Resource, c *diff.Change) error {
		doc.Changes = append(doc.Changes, resourceChange{r.Name, c})
		return nil
	})
	return doc, err
}

// printPlan prints a plan with its changes in list.
func printPlan(list changeList, p *reconcile.Plan, due []string) error {
	w := list.w
	var totals []string
	for _, r := range p.Resources {
		if u := r.Unavailable; u != nil {
			fmt.Fprintf(w, "%s: %s are not available: %s\n", p.Export.Name, u.Resource, term.Safe(u.Reason))
			continue
		}
		total := r.Declared.Resource.Plural(r.Counts.Total)
		totals = append(totals, total)
		if r.ByStatus != nil {
			total = fmt.Sprintf("%s read: %s", total, term.Safe(report.Statuses(r.ByStatus)))
		} else if r.Carried > 0 {
			total = fmt.Sprintf("%s: %d read, %d carried", total, r.Counts.Total-r.Carried, r.Carried)
		} else {
			total += " read"
		}
		fmt.Fprintf(w, "%s: %s\n", p.Export.Name, total)
	}
	if buckets := p.Buckets(); len(p.Export.EstimateRequests(nil)) > 1 {
		fmt.Fprintf(w, "%s: %s by rate-limit bucket: %s\n", p.Export.Name, term.Plural(sumOf(buckets), "request"), bucketsText(buckets, nil))
	}
	if saved := p.SavedRequests(); saved > 0 {
		fmt.Fprintf(w, "%s: the members of unchanged groups were not read: about %s saved\n", p.Export.Name, term.Plural(saved, "request"))
	}
	if !p.Read.Settled {
		fmt.Fprintf(w, "%s: not settled: %s\n", p.Export.Name, report.Unsettled)
	}
	if why := report.Unreconciled(p.Control); why != "" {
		fmt.Fprintf(w, "%s: not reconciled: %s\n", p.Export.Name, why)
	}
	if p.Previous == nil {
		fmt.Fprintf(w, "\nPlan: the first snapshot, of %s.\n", term.List(totals))
	} else if err := printPlanChanges(list, p); err != nil {
		return err
	}
	if len(due) > 0 {
		fmt.Fprintf(w, "Prune: %s, %s.\n", term.Plural(len(due), "snapshot"), report.Span(due))
	}
	for _, reason := range p.Stopped {
		fmt.Fprintf(w, "Guard: %s; apply would quarantine this read.\n", reason)
	}
	return nil
}

// printPlanChanges prints the changes since the newest snapshot.
func printPlanChanges(list changeList, p *reconcile.Plan) (err error) {
	w := list.w
	compared := false
	for _, r := range p.Resources {
		compared = compared || r.Base == snapshot.BasePrevious
	}
	if !compared {
		fmt.Fprintf(w, "\nPlan: %s.\n", planSentence(p))
		return nil
	}
	fmt.Fprintf(w, "compared with %s\n\n", p.Previous.Name())
	if list.names, err = edgeNames(p.Changes, list.limit, p, p.Previous); err != nil {
		return err
	}
	if err := p.Changes(list.add); err != nil {
		return err
	}
	list.end()
	if list.count > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "Plan: %s.\n", planSentence(p))
	return nil
}

// resetCause returns why a resource isn't compared if its base is BaseReset, as a clause.
func resetCause(r *reconcile.ResourcePlan) string {
	if r.Previous().Erased() {
		return fmt.Sprintf("the records of %s were pruned", r.Previous().Name())
	}
	return fmt.Sprintf("%s was declared to select other %s", r.Previous().Name(), r.Declared.Resource.Name)
}

// planSentence sums up what apply would do for reasons of change.
func planSentence(p *reconcile.Plan) string {
	var parts []string
	for _, r := range p.Resources {
		resource := r.Declared.Resource
		text := report.KindCounts(resource, r.Counts.Kinds)
		switch {
		case r.Unavailable != nil:
			text = "not available"
		case r.Base == snapshot.BaseNone:
			text = fmt.Sprintf("%s, not compared: %s doesn't record them", resource.Plural(r.Counts.Total), p.Previous.Name())
		case r.Base == snapshot.BaseReset:
			text = fmt.Sprintf("%s, not compared: %s", resource.Plural(r.Counts.Total), resetCause(r))
		}
		if text != "" && len(p.Resources) > 1 {
			text = r.Declared.Resource.Name + ": " + text
		}
		if text != "" {
			parts = append(parts, text)
		}
	}
	if p.DeclarationChanged {
		parts = append(parts, "the declaration has changed")
	}
	if p.Export.Snapshot == reconcile.OnChange && p.Renewed() {
		parts = append(parts, "members that had not been read for long were read again")
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
