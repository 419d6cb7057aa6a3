// Package reconcile runs one reconcile of one export: it reads the org, compares
// what came with the newest snapshot, lets a guard look at the difference, and
// hands the reading to the store.
//
// Nothing here grows with the org. Users arrive from a [Source] in any order,
// are cut down to the declared attributes, go through an external merge sort in
// unnamed temporary files, and are compared with the newest snapshot in one
// merge of two sorted streams. So a plan leaves nothing behind, and a crash
// neither.
//
// The store changes in one place only, [snapshot.Writer.Publish], and only when
// the reading was complete and the guard found nothing.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
)

// Source reads the users of an org. [oktaclient.Client] is one.
//
// Read passes every record that the query selects to the sink at least once, in
// any order, and every request that it made. Find does the same for the records
// with these ids. A record that Find does not pass does not exist. Both return
// an error unless the read is complete, after their retries. Calls of the sink
// are serialized, and none follows the return. Several reads may run at once.
type Source interface {
	Read(ctx context.Context, query oktaclient.Query, sink oktaclient.Sink) (oktaclient.ReadResult, error)
	Find(ctx context.Context, query oktaclient.Query, ids []string, sink oktaclient.Sink) (oktaclient.ReadResult, error)
}

// Config is what the reconciles of one org have in common.
type Config struct {
	Store  *snapshot.Store // nil: there is none yet, and only Plan can be called
	Source Source
	Org    snapshot.Org    // who is read; what TLS showed is added by each reading
	Client snapshot.Client // as whom
	Tool   snapshot.Tool   // the program that reads
	Logger *slog.Logger    // nil: nothing is logged

	// Progress, if not nil, is told how far each reconcile and each plan is, as
	// often as once a page. It is called by one goroutine at a time of each.
	Progress func(Progress)
}

// Reconciler makes a store agree with what exports declare. Its methods may be
// called from several goroutines at once; the store lets one at a time write to
// an export.
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
	return &Reconciler{cfg: cfg, log: log}
}

// Outcome is how a reconcile ended that did not fail.
type Outcome string

const (
	Published   Outcome = "published"   // there is a new snapshot
	Unchanged   Outcome = "unchanged"   // on_change, and nothing had changed
	Quarantined Outcome = "quarantined" // a guard held the reading back
)

// Result tells what a reconcile found and did. Its Plan is closed: the counts
// are good, the changes can no longer be read.
type Result struct {
	Outcome  Outcome
	Plan     *Plan
	Snapshot *snapshot.Snapshot // the new one, when published
	Pruned   []string           // the snapshots that retention removed after that
	Elapsed  time.Duration
}

// HeldError says that a guard held a reading back.
type HeldError struct {
	Quarantined string   // the name under which the reading is kept
	Reasons     []string // what the guard found, a clause each
}

func (e *HeldError) Error() string { return "quarantined: " + joinReasons(e.Reasons) }

// Hint says what to look at first, and what to do if the reading is right.
func (e *HeldError) Hint() string {
	return "an app without an admin role sees nobody (`oktasync doctor` tells); `oktasync quarantine diff EXPORT` shows who it is about; " +
		"if that is right, `oktasync quarantine release EXPORT --reason TEXT`, or read anew with `oktasync apply --publish-anyway --reason TEXT`"
}

// Reconcile makes the store agree with what export declares: read and compare,
// guard, publish, prune, in that order. The newest snapshot changes only when it
// publishes. Each outcome stands in the journal, a failed one with its cause.
//
// A reading that a guard holds back is kept in quarantine and returned as a
// [*HeldError]. Where run has an override, the guard's word is noted in the
// manifest and the reading published. Only one reconcile of an export can be
// under way; a second one gets a [*snapshot.LockedError].
func (r *Reconciler) Reconcile(ctx context.Context, export Export, run snapshot.Run) (result Result, err error) {
	start := time.Now()
	w, err := r.cfg.Store.Writer(export.Name, snapshot.ThisProcess(run.Trigger))
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()

	if err := w.Journal(snapshot.Event{Event: snapshot.EventStarted, User: run.User}); err != nil {
		return Result{}, err
	}
	result, err = r.reconcile(ctx, w, export, run)
	if err == nil {
		result.Pruned, err = w.Prune(ctx, export.Retention())
	}
	result.Elapsed = time.Since(start)
	if err != nil && result.Outcome != Quarantined {
		err = errors.Join(err, w.Journal(ending(ctx, err)))
	}
	return result, err
}

// ending is the journal's line for a reconcile that came to nothing.
func ending(ctx context.Context, err error) snapshot.Event {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return snapshot.Event{Event: snapshot.EventCancelled}
	}
	return snapshot.Event{Event: snapshot.EventFailed, Error: err.Error()}
}

// reconcile is what happens between a journal's `started` and its ending.
func (r *Reconciler) reconcile(ctx context.Context, w *snapshot.Writer, export Export, run snapshot.Run) (result Result, err error) {
	defer recoverPanic(&err)

	if err := w.Damaged(); err != nil {
		return Result{}, fmt.Errorf("open newest snapshot: %w", err)
	}
	plan, err := r.Plan(ctx, export)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, plan.Close()) }()
	result.Plan = plan

	held := len(plan.Held) > 0
	if held && run.Override == nil {
		return r.quarantine(ctx, w, plan, run)
	}
	if export.Snapshot == OnChange && !plan.Changed() {
		result.Outcome = Unchanged
		return result, w.Journal(snapshot.Event{Event: snapshot.EventUnchanged, Snapshot: plan.Previous.Name()})
	}
	if run.Override != nil {
		run.Override = overridden(*run.Override, plan.Held)
	}
	draft, err := plan.draft(ctx, r.cfg, run)
	if err != nil {
		return result, err
	}
	if result.Snapshot, err = w.Publish(ctx, draft); err != nil {
		return result, err
	}
	result.Outcome = Published
	return result, nil
}

// overridden is what the manifest says of an override: nothing, where the guard
// had nothing to say.
func overridden(o snapshot.Override, held []string) *snapshot.Override {
	if len(held) == 0 {
		return nil
	}
	o.Guard = joinReasons(held)
	return &o
}

// quarantine keeps a reading that the guard held back, where `latest` and those
// who read it don't see it.
func (r *Reconciler) quarantine(ctx context.Context, w *snapshot.Writer, plan *Plan, run snapshot.Run) (Result, error) {
	draft, err := plan.draft(ctx, r.cfg, run)
	if err != nil {
		return Result{Plan: plan}, err
	}
	name, err := w.Quarantine(ctx, draft, joinReasons(plan.Held))
	if err != nil {
		return Result{Plan: plan}, fmt.Errorf("quarantine reading: %w", err)
	}
	return Result{Plan: plan, Outcome: Quarantined}, &HeldError{Quarantined: name, Reasons: plan.Held}
}

// recoverPanic turns a panic into an error, so that one bad reconcile ends as
// failed and not the daemon.
func recoverPanic(err *error) {
	if p := recover(); p != nil {
		*err = errors.Join(*err, PanicError(p))
	}
}

// PanicError describes what recover returned, called by the function that
// called recover: by its place in the source, and not by its value, which could
// hold a user's data. The runtime's own errors hold none.
func PanicError(p any) error {
	text := "panic"
	if e, ok := p.(runtime.Error); ok {
		text = e.Error()
	}
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)]) // past Callers, PanicError, and who recovers
	for more := true; more; {
		var frame runtime.Frame
		if frame, more = frames.Next(); !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Errorf("internal error: %s at %s:%d", text, frame.Function, frame.Line)
		}
	}
	return errors.New("internal error: " + text)
}
