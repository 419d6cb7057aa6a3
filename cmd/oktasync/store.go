package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

// load reads the configuration and makes the logger for a command that somebody
// waits for: what happened it prints itself, so that of the log only warnings
// are left, unless more is asked for.
func (a *app) load() (*config.Config, *slog.Logger, error) {
	cfg, level, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	if a.logLevel == "" && level == slog.LevelInfo {
		level = slog.LevelWarn
	}
	return cfg, newLogger(a.stderr, level, cfg.Log.Format, a.colour(a.stderr)), nil
}

// config reads the configuration, and says what is to be logged.
func (a *app) config() (*config.Config, slog.Level, error) {
	cfg, err := config.Load(config.Options{File: a.configFile, EnvFile: a.envFile, Getenv: a.getenv})
	if err != nil {
		return nil, 0, err
	}
	level, err := logLevel(cmp.Or(a.logLevel, cfg.Log.Level))
	return cfg, level, err
}

func logLevel(name string) (level slog.Level, err error) {
	if level.UnmarshalText([]byte(name)) != nil {
		return 0, fmt.Errorf("--log-level %s: must be debug, info, warn or error", term.Word(name))
	}
	return level, nil
}

// reader is a store opened for looking, with what the configuration knows of
// its exports. Given --store there is no configuration, and every zone is UTC.
type reader struct {
	*snapshot.Store
	cfg *config.Config // nil with --store
}

// storeFlag adds the flag that stands in place of a configuration.
func storeFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("store", "", "look at the store in `DIR`, without a configuration")
}

func (a *app) openReader(dir string) (*reader, error) {
	r := &reader{}
	if dir == "" {
		cfg, err := config.Load(config.Options{File: a.configFile, EnvFile: a.envFile, Getenv: a.getenv, StoreOnly: true})
		if err != nil {
			return nil, err
		}
		r.cfg, dir = cfg, cfg.Store.Path
	}
	store, err := snapshot.Open(dir)
	switch {
	case errors.Is(err, snapshot.ErrNoStore) && r.cfg == nil:
		return nil, fmt.Errorf("--store %s: no store there (a store has a file oktasync.json)", dir)
	case errors.Is(err, snapshot.ErrNoStore):
		return nil, fmt.Errorf("%s: no store there yet; `oktasync apply` makes one", dir)
	}
	r.Store = store
	return r, err
}

// zone is where the dates of an export are read.
func (r *reader) zone(export string) *time.Location {
	if r.cfg != nil {
		for _, e := range r.cfg.Exports {
			if e.Name == export {
				return e.Location()
			}
		}
	}
	return time.UTC
}

// exports returns the exports named, or all that the store has, with those that
// are declared and have no snapshot yet.
func (r *reader) exports(names []string) ([]string, error) {
	known, err := r.Exports()
	if err != nil {
		return nil, err
	}
	if r.cfg != nil {
		for _, e := range r.cfg.Exports {
			if !slices.Contains(known, e.Name) {
				known = append(known, e.Name)
			}
		}
	}
	if len(names) == 0 {
		return known, nil
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown export %s; %s", term.Word(name), term.Suggestion(name, known))
		}
	}
	return names, nil
}

// verifiable returns the exports named, or all that the store has, and which of
// those declared it has nothing of.
func (r *reader) verifiable(names []string) (exports, absent []string, err error) {
	if len(names) > 0 {
		exports, err = r.exports(names)
		return exports, nil, err
	}
	if exports, err = r.Exports(); err != nil || r.cfg == nil {
		return exports, nil, err
	}
	for _, e := range r.cfg.Exports {
		if !slices.Contains(exports, e.Name) {
			absent = append(absent, e.Name)
		}
	}
	return exports, absent, nil
}

// snapshot finds a snapshot by the names that people use.
func (r *reader) snapshot(export, name string) (*snapshot.Snapshot, error) {
	if _, err := r.exports([]string{export}); err != nil {
		return nil, err
	}
	s, err := r.Find(export, name, r.zone(export))
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return nil, fmt.Errorf("%s has no snapshot yet; `oktasync apply %s` makes one", export, export)
	}
	if bad := (*snapshot.BadNameError)(nil); errors.As(err, &bad) {
		if near := term.Nearest(name, r.snapshotNames(export)); near != "" {
			err = fmt.Errorf("%s names no snapshot of %s; did you mean %s?", term.Word(name), export, near)
		}
	}
	return s, err
}

// snapshotNames are those of an export, as far as their manifests can be read.
func (r *reader) snapshotNames(export string) []string {
	list, _ := r.List(export)
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.Name()
	}
	return names
}
