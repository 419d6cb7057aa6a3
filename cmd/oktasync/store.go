package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/daemon"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// load loads the configuration and returns the logger of a command. Commands print
// their results, so that the log has only warnings, unless --log-level or the
// configuration sets another level.
func (a *app) load() (*config.Config, *slog.Logger, error) {
	cfg, level, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	if a.logLevel == "" && level == slog.LevelInfo {
		level = slog.LevelWarn
	}
	return cfg, a.commandLogger(level, cfg.Log.Format), nil
}

// config loads the configuration and returns its log level.
func (a *app) config() (*config.Config, slog.Level, error) {
	cfg, err := config.Load(config.Options{File: a.configFile, EnvFile: a.envFile, Getenv: a.getenv})
	if err != nil {
		return nil, 0, err
	}
	level, err := logLevel(cmp.Or(a.logLevel, cfg.Log.Level))
	return cfg, level, err
}

// reader is a store for reading, with the configuration of its exports. With --store,
// it has no configuration, and all time zones are UTC.
type reader struct {
	*snapshot.Store
	cfg *config.Config // nil with --store
}

// reads makes cmd a command that reads a store: the store of --store, or that of the
// configuration.
func (a *app) reads(cmd *cobra.Command, do func(r *reader, args []string) error) *cobra.Command {
	dir := cmd.Flags().String("store", "", "read the store in `DIR`, without a configuration")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		r, err := a.openReader(*dir)
		if err != nil {
			return err
		}
		return do(r, args)
	}
	return cmd
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
	case errors.Is(err, snapshot.ErrNoStore) && r.cfg == nil && isSnapshot(dir):
		return nil, fmt.Errorf("--store %s: is the folder of one snapshot, which only verify accepts", dir)
	case errors.Is(err, snapshot.ErrNoStore) && r.cfg == nil:
		return nil, fmt.Errorf("--store %s: there is no store (a folder with a file oktasync.json)", dir)
	case errors.Is(err, snapshot.ErrNoStore):
		return nil, fmt.Errorf("%s: there is no store yet; `oktasync apply` creates it", dir)
	}
	r.Store = store
	return r, err
}

// openWritable opens the store of the configuration for writing to an export, which
// the configuration declares or the store has. user is the user to record.
func (a *app) openWritable(export string) (r *reader, user string, err error) {
	cfg, _, err := a.load()
	if err != nil {
		return nil, "", err
	}
	store, err := org.OpenStore(cfg, nil)
	if err != nil {
		return nil, "", err
	}
	r = &reader{Store: store, cfg: cfg}
	_, err = r.exports([]string{export})
	return r, org.Run(cfg, "").User, err
}

// write calls do while a command writes to an export.
func (r *reader) write(ctx context.Context, export, command string, do func(*snapshot.Writer) error) (err error) {
	w, err := r.Writer(ctx, export, snapshot.ThisProcess(command))
	if err != nil {
		return fmt.Errorf("%s %s: %w", command, export, err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return do(w)
}

// isSnapshot reports whether dir is the folder of a snapshot.
func isSnapshot(dir string) bool {
	return exists(filepath.Join(dir, snapshot.ManifestFile)) && !exists(filepath.Join(dir, snapshot.StoreFile))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

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

// exports checks names of exports. Without names, it returns all exports that the
// store has or the configuration declares.
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

// verifiable returns the named exports, or all exports of the store, and the declared
// exports that the store doesn't have.
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

// cutSnapshot splits EXPORT@SNAPSHOT, also for EXPORT@-1.
func cutSnapshot(arg string) (export, name string) {
	export, name, _ = strings.Cut(arg, "@")
	if strings.HasPrefix(name, "-") {
		name = "@" + name
	}
	return export, name
}

// snapshot finds a snapshot by folder, date or position.
func (r *reader) snapshot(export, name string) (*snapshot.Snapshot, error) {
	if _, err := r.exports([]string{export}); err != nil {
		return nil, err
	}
	s, err := r.Find(export, name, r.zone(export))
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		switch found := daemon.Survey(r.Store, export); {
		case len(found.Damage) > 0:
			return nil, &snapshot.MismatchError{Export: export, Problem: found.Damage[0]}
		case found.Pruned > 0:
			return nil, fmt.Errorf("%s has no snapshot: all were pruned; `oktasync apply %s` publishes one", export, export)
		}
		return nil, fmt.Errorf("%s has no snapshot yet; `oktasync apply %s` publishes one", export, export)
	}
	if bad := (*snapshot.BadNameError)(nil); errors.As(err, &bad) {
		if dateLike.MatchString(name) {
			return nil, fmt.Errorf("%s: there is no such date or time", term.Word(name))
		}
		if near := term.Nearest(name, r.snapshotNames(export)); near != "" {
			err = fmt.Errorf("%s has no snapshot %s; did you mean %s?", export, term.Word(name), near)
		}
	}
	return s, err
}

var dateLike = regexp.MustCompile(`^\d{4}-\d\d-\d\d`)

// snapshotAt is snapshot for a command that also accepts dates. It prints how long
// before the date the snapshot began. If that is more than one interval of the
// schedule before the date, snapshotAt returns an error unless nearest is set.
func (a *app) snapshotAt(r *reader, export, name string, nearest bool) (*snapshot.Snapshot, error) {
	s, err := r.snapshot(export, name)
	if err != nil {
		return nil, err
	}
	begin, end, what := dateOf(name, r.zone(export))
	if what == "" {
		return s, nil
	}
	if now := time.Now(); now.Before(end) {
		end, what = now, "now"
	}
	started := s.Manifest.Read.Started.Time
	before := report.Distance(max(end.Sub(started), 0)) + " before " + what
	if !nearest && begin.Sub(started) > r.interval(export, started) {
		return nil, config.WithHint(fmt.Errorf("%s has no snapshot of %s; the last one before is %s, %s", export, name, s.Name(), before),
			"--nearest accepts this snapshot")
	}
	fmt.Fprintf(a.stderr, "oktasync: note: %s began %s\n", s.Name(), before)
	return s, nil
}

// dateOf parses a date in zone, or a time. what is "" if name is neither.
func dateOf(name string, zone *time.Location) (begin, end time.Time, what string) {
	if day, err := time.ParseInLocation(time.DateOnly, name, zone); err == nil {
		return day, day.AddDate(0, 0, 1), "the end of " + name
	}
	if t, err := time.Parse(time.RFC3339, name); err == nil {
		return t, t, name
	}
	return begin, end, ""
}

// interval returns the interval of an export's schedule after t, and a day if it has
// no schedule.
func (r *reader) interval(export string, t time.Time) time.Duration {
	_, when := r.declared(export)
	if when == nil {
		return 24 * time.Hour
	}
	next := when.Next(t)
	return max(next.Sub(t), when.Next(next).Sub(next))
}

// snapshotNames returns the snapshots of an export that have a readable manifest.
func (r *reader) snapshotNames(export string) []string {
	list, _ := r.List(export)
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.Name()
	}
	return names
}

// declared returns the declaration and the schedule of an export, if there is a
// configuration.
func (r *reader) declared(name string) (reconcile.Export, scheduler.Schedule) {
	export := reconcile.Export{Name: name}
	if r.cfg == nil {
		return export, nil
	}
	for _, e := range r.cfg.Exports {
		if e.Name == name && e.Schedule != "" {
			if when, err := daemon.Schedule(e, r.Store); err == nil {
				return e, when
			}
		}
	}
	return export, nil
}

// checkOrder checks that a period begins with an older snapshot than it ends.
func checkOrder(from, to *snapshot.Snapshot) error {
	if from.Manifest.Sequence < to.Manifest.Sequence {
		return nil
	}
	return config.WithHint(fmt.Errorf("--from %s isn't older than %s", from.Name(), to.Name()),
		"--from DATE selects the state at the end of DATE; for the changes of one day, use the day before")
}
