// Package reconcile runs one reconcile of one export: it reads the declared
// resources from an org, compares them with the newest snapshot, checks the
// difference with a guard, and publishes a snapshot.
//
// The commands plan and apply and the daemon call it. Start reading at
// [Reconciler.Reconcile], then [Reconciler.Plan].
//
// A [Source] returns records in any order. They are reduced to the declared attributes,
// and sorted in unnamed temporary files. One merge of two sorted streams compares them
// with the newest snapshot. Memory grows by about 200 bytes for each group and app, but not
// with users, members and assignments.
//
// The files: config.go (the input), read.go (the order of reads), scope.go (the read of
// the resources of one OAuth scope), children.go (lists of each group and app),
// incremental.go (lists that are not read again), settle.go (changes during the read),
// removal.go (proof of removal), control.go (Okta's counts), compare.go, spool.go,
// guard.go, draft.go (what is published), transcript.go (the requests).
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// Outcome is how a reconcile ended. It is set once, by Reconcile. Log, journal,
// metrics, notifications, status and exit status derive from it.
type Outcome string

const (
	Published   Outcome = "published"   // there is a new snapshot
	Unchanged   Outcome = "unchanged"   // with on_change: there is nothing to record
	Quarantined Outcome = "quarantined" // the guard stopped the read
	Failed      Outcome = "failed"
	Cancelled   Outcome = "cancelled"
)

// Result describes a reconcile. Its Plan is closed: counts are valid, but changes
// can no longer be read.
type Result struct {
	Outcome  Outcome
	Plan     *Plan              // nil if the read failed
	Snapshot *snapshot.Snapshot // the new one, if published
	Head     snapshot.Head      // of the export, if published
	Pruned   []string           // the snapshots that retention removed afterwards
	Elapsed  time.Duration
}

// QuarantinedError means that the guard stopped a read.
type QuarantinedError struct {
	Export  string
	Name    string   // of the quarantined read
	Reasons []string // of the guard, one clause each
}

func (e *QuarantinedError) Error() string { return "quarantined: " + joinReasons(e.Reasons) }

// A TimeoutError means that a read took longer than the export's timeout.
type TimeoutError struct{ Timeout time.Duration }

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("the read took longer than the export's timeout of %s", e.Timeout)
}

// Plan reads the org and compares it with the newest snapshot. It writes only
// unnamed temporary files, and needs no lock. If the read takes longer than the
// export's timeout, the error is a [*TimeoutError].
func (r *Reconciler) Plan(ctx context.Context, export Export) (*Plan, error) {
	previous, err := r.latest(export.Name)
	if err != nil {
		return nil, fmt.Errorf("open newest snapshot: %w", err)
	}
	return r.plan(ctx, export, previous, false)
}

// Reconcile reads what export declares, compares it with the newest snapshot,
// checks it with the guard, publishes a snapshot, and prunes old ones. The newest
// snapshot changes only if it publishes. The journal records each outcome, with
// the cause of a failure. The result is also valid with an error.
//
// If it publishes and then can't prune, the outcome is Published, and the error is
// that of the prune.
//
// A read that the guard stops is stored in quarantine, and the error is a
// [*QuarantinedError]. If run has an override, the read is published instead, and
// the manifest records the reasons of the guard. A second reconcile of the same
// export fails with a [*snapshot.LockedError].
func (r *Reconciler) Reconcile(ctx context.Context, export Export, run snapshot.Run) (result Result, err error) {
	start := time.Now()
	defer func() {
		result.Outcome = outcomeOf(ctx, result, err)
		result.Elapsed = time.Since(start)
	}()
	defer recoverPanic(&err)
	w, err := r.cfg.Store.Writer(ctx, export.Name, snapshot.ThisProcess(run.Trigger))
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()

	if err := w.Journal(snapshot.Event{Event: snapshot.EventStarted, User: run.User}); err != nil {
		return Result{}, err
	}
	checked := *r
	checked.cfg.Store = w.Reader()
	result, err = checked.reconcile(ctx, w, export, run)
	if err == nil {
		result.Pruned, err = prune(ctx, w, export.Retention())
	}
	var journalErr error
	switch outcome := outcomeOf(ctx, result, err); {
	case outcome == Failed, outcome == Published && err != nil:
		journalErr = w.Journal(snapshot.Event{Event: snapshot.EventFailed, Error: err.Error()})
	case outcome == Cancelled:
		journalErr = w.Journal(snapshot.Event{Event: snapshot.EventCancelled})
	}
	if journalErr != nil {
		err = fmt.Errorf("%w (not journaled: %w)", err, journalErr)
	}
	if result.Snapshot != nil {
		result.Head = w.Head()
	}
	return result, err
}

func prune(ctx context.Context, w *snapshot.Writer, retention snapshot.Retention) (pruned []string, err error) {
	defer recoverPanic(&err)
	return w.Prune(ctx, retention)
}

// outcomeOf returns the outcome of a reconcile.
func outcomeOf(ctx context.Context, result Result, err error) Outcome {
	_, quarantined := errors.AsType[*QuarantinedError](err)
	switch {
	case quarantined:
		return Quarantined
	case result.Snapshot != nil: // also if it couldn't prune
		return Published
	case err != nil && errors.Is(context.Cause(ctx), context.Canceled):
		return Cancelled
	case err != nil:
		return Failed
	}
	return Unchanged
}

// reconcile runs the steps between the journal's started and its last event.
func (r *Reconciler) reconcile(ctx context.Context, w *snapshot.Writer, export Export, run snapshot.Run) (result Result, err error) {
	defer recoverPanic(&err)

	plan, err := r.plan(ctx, export, w.Latest(), run.Override != nil)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, plan.Close()) }()
	result.Plan = plan

	if len(plan.Stopped) > 0 && run.Override == nil {
		return result, r.quarantine(ctx, w, plan, run)
	}
	if export.Snapshot == OnChange && !plan.Changed() && !plan.Renewed() {
		return result, w.Journal(snapshot.Event{Event: snapshot.EventUnchanged, Snapshot: plan.Previous.Name()})
	}
	if run.Override != nil {
		run.Override = overridden(*run.Override, plan.Stopped)
	}
	draft, err := plan.draft(ctx, r.cfg, run)
	if err != nil {
		return result, err
	}
	result.Snapshot, err = w.Publish(ctx, draft)
	return result, err
}

// overridden returns the override for the manifest: nil if the guard didn't stop
// the read.
func overridden(o snapshot.Override, reasons []string) *snapshot.Override {
	if len(reasons) == 0 {
		return nil
	}
	o.Guard = joinReasons(reasons)
	return &o
}

// plan is Plan with the newest snapshot, or nil if there is none. With override, it
// also proves removals if the guard stops the read.
func (r *Reconciler) plan(ctx context.Context, export Export, previous *snapshot.Snapshot, override bool) (plan *Plan, err error) {
	if export.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, export.Timeout, &TimeoutError{export.Timeout})
		defer cancel()
	}
	p := &Plan{Export: export, override: override, requests: transcript{began: time.Now()}, progress: progress{export: export.Name, report: r.cfg.Progress}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if err := p.open(r, previous); err != nil {
		return nil, err
	}
	p.progress.expect = p.expectedBuckets()
	if err := p.read(ctx, r); err != nil {
		return nil, err
	}
	for _, rp := range p.Resources {
		if rp.Unavailable == nil {
			p.Stopped = append(p.Stopped, rp.stops()...)
		}
	}
	return p, nil
}

// open decides how each resource is compared with the newest snapshot, or with the last
// one in which it was available.
func (p *Plan) open(r *Reconciler, previous *snapshot.Snapshot) (err error) {
	p.Previous = previous
	declaration := p.Export.Declaration()
	if previous != nil {
		p.DeclarationChanged = !previous.Manifest.Declared.Equal(declaration)
		p.Missing = missing(previous)
	}
	for _, declared := range p.Export.Resources() {
		rp := &ResourcePlan{Declared: declared}
		if previous != nil {
			if rp.previous, err = r.cfg.Store.BaseOf(previous, declared.Resource); err != nil {
				return fmt.Errorf("open the last snapshot with %s: %w", declared.Resource.Name, err)
			}
		}
		rp.rules, rp.Base = snapshot.RulesAfter(declared.Resource, rp.previous, declaration)
		rp.rules.Proofs = make(diff.Proofs)
		for _, parent := range p.Resources {
			if parent.Declared.Resource == declared.Resource.Parent {
				rp.parent, rp.rules.Proofs = parent, parent.rules.Proofs
				parent.children = append(parent.children, rp)
			}
		}
		p.Resources = append(p.Resources, rp)
	}
	return nil
}

func (r *Reconciler) latest(export string) (*snapshot.Snapshot, error) {
	if r.cfg.Store == nil {
		return nil, nil
	}
	latest, err := r.cfg.Store.Latest(export)
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return nil, nil
	}
	return latest, err
}

// quarantine stores a read that the guard stopped apart from the snapshots.
func (r *Reconciler) quarantine(ctx context.Context, w *snapshot.Writer, plan *Plan, run snapshot.Run) error {
	draft, err := plan.draft(ctx, r.cfg, run)
	if err != nil {
		return err
	}
	name, err := w.Quarantine(ctx, draft, joinReasons(plan.Stopped))
	if err != nil {
		return fmt.Errorf("quarantine read: %w", err)
	}
	return &QuarantinedError{Export: plan.Export.Name, Name: name, Reasons: plan.Stopped}
}
