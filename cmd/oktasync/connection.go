package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// A round is once over the exports that somebody asks plan or apply for.
type round struct {
	app     *app
	cfg     *config.Config
	log     *slog.Logger
	exports []reconcile.Export
	org     *org.Org
}

// newRound reads the configuration, and finds the exports named, all where none
// is, and the keys. Nothing is sent yet.
func (a *app) newRound(names []string) (*round, error) {
	cfg, log, err := a.load()
	if err != nil {
		return nil, err
	}
	exports, err := cfg.Select(names)
	if err != nil {
		return nil, err
	}
	o, err := org.Connect(cfg, toolVersion(), log)
	return &round{a, cfg, log, exports, o}, err
}

// reconciler joins the org to a store, which may be nil for plans. Whoever
// watches is shown how far it is until stop is called.
func (r *round) reconciler(store *snapshot.Store) (re *reconcile.Reconciler, stop func()) {
	tell, stop := r.app.showReconciles(r.org)
	return r.org.Reconciler(r.cfg, store, r.log, tell), stop
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
