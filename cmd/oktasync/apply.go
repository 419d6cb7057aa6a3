package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

func (a *app) applyCommand() *cobra.Command {
	var (
		publishAnyway bool
		reason        string
		asJSON        bool
	)
	cmd := &cobra.Command{
		Use:   "apply [EXPORT...]",
		Short: "Reconcile once: read Okta and publish snapshots",
		Long: `Reads the users of each export (all of them where none is named), compares them
with the newest snapshot, and publishes a new one. It ends with a block of facts
worth keeping with the snapshot. Nothing in Okta is changed.

A reading that a guard holds back is kept in quarantine, the newest snapshot
stays, and the exit status is 3. --publish-anyway publishes it all the same;
manifest and journal say who did so, and why.`,
		Example: `  oktasync apply
  oktasync apply all-users --publish-anyway --reason "CHG-1042: contractors removed"`,
		RunE: func(cmd *cobra.Command, names []string) error {
			reason = strings.TrimSpace(reason)
			if err := checkReason(reason); err != nil {
				return err
			}
			if publishAnyway != (reason != "") {
				return errors.New("--publish-anyway and --reason TEXT go together: the manifest records who overrode the guard, and why")
			}
			return a.apply(cmd.Context(), names, reason, asJSON)
		},
	}
	cmd.Flags().BoolVar(&publishAnyway, "publish-anyway", false, "publish what a guard would hold back")
	cmd.Flags().StringVar(&reason, "reason", "", "why, as `TEXT` for manifest and journal")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the manifests as one JSON document")
	a.quietFlag(cmd)
	return cmd
}

// checkReason refuses a reason that would make more than a line of whatever shows
// it.
func checkReason(reason string) error {
	if strings.ContainsFunc(reason, unicode.IsControl) {
		return errors.New("--reason: must be one line")
	}
	return nil
}

func (a *app) apply(ctx context.Context, names []string, reason string, asJSON bool) error {
	cfg, log, err := a.load()
	if err != nil {
		return err
	}
	exports, err := cfg.selectExports(names)
	if err != nil {
		return err
	}
	o, err := connect(cfg, log)
	if err != nil {
		return err
	}
	store, err := openStore(cfg, nil)
	if err != nil {
		return err
	}
	facts := runFacts(cfg, "apply")
	if reason != "" {
		facts.Override = &snapshot.Override{User: facts.User, Reason: reason}
	}
	tell, stop := a.showReconciles(o)
	defer stop()
	reconciler := o.reconciler(cfg, store, log, tell)
	var outcomes outcomes
	manifests := []snapshot.Manifest{}
	for _, export := range exports {
		if ctx.Err() != nil {
			outcomes.add(a, export.Name, ctx.Err())
			continue
		}
		result, err := reconciler.Reconcile(ctx, export, facts)
		outcomes.add(a, export.Name, err)
		if err := a.nameHeld(store, export, err); err != nil {
			log.Warn("people not named", "export", export.Name, "err", err)
		}
		if err == nil && result.Snapshot != nil {
			manifests = append(manifests, result.Snapshot.Manifest)
		}
		if err == nil && !asJSON {
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

// outcomes joins the exit statuses of several exports: 1 beats 3 beats 2 beats 0.
type outcomes struct{ failed, held, changed bool }

// add takes how one export ended, and prints the error where there is one.
func (o *outcomes) add(a *app, export string, err error) {
	if err == nil {
		return
	}
	if held := (*reconcile.HeldError)(nil); errors.As(err, &held) {
		o.held = true
	} else {
		o.failed = true
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("cancelled; the newest snapshot is as it was")
	}
	a.printError(fmt.Errorf("%s: %w", export, err))
}

func (o *outcomes) err() error {
	switch {
	case o.failed:
		return exitError{exitFailed}
	case o.held:
		return exitError{exitHeld}
	case o.changed:
		return exitError{exitChanges}
	}
	return nil
}
