// Package reconcile runs one reconcile of one export: it reads the declared
// resources from an org, compares them with the newest snapshot, checks the
// difference with a guard, and publishes a snapshot.
//
// The commands plan and apply and the daemon call it. Start with
// [Reconciler.Reconcile], then [Reconciler.Plan].
//
// Records arrive from a [Source] in any order, are reduced to the declared attributes,
// sorted in unnamed temporary files, and compared with the newest snapshot in one merge
// of two sorted streams. So memory doesn't grow with the users, members and
// assignments; it has about 200 bytes per group and app.
//
// The files: read.go (the order of reads), children.go (lists of each group and app),
// settle.go (changes during the read), removal.go (proof of removal), control.go (Okta's
// counts), compare.go, spool.go, guard.go, draft.go (what is published).
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
)

// Source reads the resources of an org. [oktaclient.Client] is one.
//
// Read passes every record that the query selects to the sink at least once, in
// any order, and every request that it made. Find does the same for the records
// with these ids. A record that Find does not pass does not exist. Both return
// an error unless the read is complete, after their retries; an [*UnavailableError] if
// the app can't read the resource. Calls of the sink
// are serialized, and none follows the return. Several reads may run at once.
type Source interface {
	Read(ctx context.Context, query oktaclient.Query, sink oktaclient.Sink) (oktaclient.ReadResult, error)
	Find(ctx context.Context, query oktaclient.Query, ids []string, sink oktaclient.Sink) (oktaclient.ReadResult, error)
}

// Config is shared by all reconciles of one org.
type Config struct {
	Store  *snapshot.Store // nil: there is none yet, and only Plan can be called
	Spool  string          // folder of temporary files if Store is nil
	Source Source
	Org    snapshot.Org    // each read adds the certificate
	Client snapshot.Client // the app that reads
	Tool   snapshot.Tool   // the program that reads
	Logger *slog.Logger    // nil: no log

	// MembershipLag is how late Okta can show a change of a group's members in its
	// lastMembershipUpdated. 0: 12 seconds. A negative lag is none, for tests.
	MembershipLag time.Duration

	// Progress, if not nil, receives the progress of each reconcile and plan, at
	// most once per page. Calls for one reconcile are serialized.
	Progress func(Progress)
}

// Reconciler publishes snapshots of what exports declare. Its methods are safe for
// concurrent use. The store allows one writer per export at a time.
type Reconciler struct {
	cfg Config
	log *slog.Logger
}

// New returns a Reconciler.
func New(cfg Config) *Reconciler {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cfg.MembershipLag = cmp.Or(cfg.MembershipLag, membershipLag)
	return &Reconciler{cfg: cfg, log: log}
}

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
	defer recoverPanic(&err)
	defer func() {
		result.Outcome = outcomeOf(ctx, result, err)
		result.Elapsed = time.Since(start)
	}()
	w, err := r.cfg.Store.Writer(ctx, export.Name, snapshot.ThisProcess(run.Trigger))
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()

	if err := w.Journal(snapshot.Event{Event: snapshot.EventStarted, User: run.User}); err != nil {
		return Result{}, err
	}
	result, err = r.reconcile(ctx, w, export, run)
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
	if export.Snapshot == OnChange && !plan.Changed() {
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

// recoverPanic turns a panic into an error, so that it ends one reconcile and not
// the daemon.
func recoverPanic(err *error) {
	if p := recover(); p != nil {
		*err = errors.Join(*err, oktaclient.PanicError(p))
	}
}
