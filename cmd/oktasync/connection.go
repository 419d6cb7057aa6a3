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

// connection contains what plan and apply need: the configuration, the selected
// exports and their org.
type connection struct {
	app     *app
	cfg     *config.Config
	log     *slog.Logger
	exports []reconcile.Export
	org     *org.Org
}

// connect loads the configuration and the keys, and selects the exports with the
// given names; all if there are none. It sends no request.
func (a *app) connect(names []string) (*connection, error) {
	cfg, log, err := a.load()
	if err != nil {
		return nil, err
	}
	exports, err := cfg.Select(names)
	if err != nil {
		return nil, err
	}
	o, err := org.Connect(cfg, toolVersion(), log)
	return &connection{a, cfg, log, exports, o}, err
}

// reconciler returns a reconciler of the org and a store, which may be nil for
// plans. It shows the progress on a terminal until stop is called.
func (c *connection) reconciler(store *snapshot.Store) (re *reconcile.Reconciler, stop func()) {
	report, stop := c.app.showReconciles(c.org)
	c.org.MembershipLag = c.app.membershipLag
	return c.org.Reconciler(c.cfg, store, c.log, report), stop
}

// outcomes determines the exit status of several exports: 1 comes before 3, 2 and
// 0, in this order.
type outcomes struct{ failed, quarantined, changed bool }

// add adds the outcome of one export, and prints its error.
func (o *outcomes) add(a *app, export string, err error) {
	if err == nil {
		return
	}
	if _, ok := errors.AsType[*reconcile.QuarantinedError](err); ok {
		o.quarantined = true
	} else {
		o.failed = true
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("cancelled; the newest snapshot has not changed")
	}
	a.printError(fmt.Errorf("%s: %w", export, err))
}

func (o *outcomes) err() error {
	switch {
	case o.failed:
		return exitError{exitFailed}
	case o.quarantined:
		return exitError{exitQuarantined}
	case o.changed:
		return exitError{exitChanges}
	}
	return nil
}
