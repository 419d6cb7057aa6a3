package daemon

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/web"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// Options are what the command line provides.
type Options struct {
	// Load loads the configuration, at the start and at each reload.
	Load func() (*config.Config, slog.Level, error)
	// NewLogger returns the logger for a log.format.
	NewLogger func(level slog.Leveler, format string) *slog.Logger
	// Hint returns what a person can do about an error, and "" if unknown.
	Hint func(error) string
	Tool snapshot.Tool
}

// daemon runs until the process ends.
type daemon struct {
	Options
	level      *slog.LevelVar
	log        *slog.Logger
	metrics    *web.Metrics
	scheduler  *scheduler.Scheduler
	started    time.Time
	histories  histories
	surveys    surveys
	witness    snapshot.Witness // of published snapshots
	failures   failures         // of reconciles
	unaccepted failures         // states that watch doesn't accept
	size       storeSize
	statuses   statuses
	rejected   atomic.Pointer[time.Time] // when the last reload failed; nil: it succeeded
	notified   notified
	current    atomic.Pointer[service]
	retiring   sync.WaitGroup // services that wait for their last reconciles
}

// service runs one configuration. A reload replaces it.
type service struct {
	*daemon
	cfg        *config.Config
	read       time.Time         // when cfg was loaded
	values     map[string]string // the values of cfg, to find what a reload changes
	org        *org.Org
	store      *snapshot.Store
	unlock     func() error // unlocks the store; the next service may take it over
	reconciler *reconcile.Reconciler
	jobs       []scheduler.Job
	schedules  map[string]scheduler.Schedule // by export; none for an export without a schedule
	since      map[string]time.Time          // by export: from when its schedule applies
	server     *web.Server                   // the next service may take it over
	access     *web.Access
	notifiers  []*notifier
	heartbeat  *notifier    // nil: none
	running    sync.RWMutex // read-locked by each job
}

// statuses caches the last status and the record counts of snapshots.
type statuses struct {
	mu      sync.Mutex
	service *service // of last
	last    web.Status
	made    time.Time
	totals  map[string]map[string]int // records by snapshot, by the path of the export
	roles   map[string]roleChange     // by the path of the export
}

// roleChange is when admin roles last changed, up to a snapshot.
type roleChange struct {
	snapshot string
	at       time.Time // zero: unknown
}

// notified contains what was notified of each export, by the path of the export.
type notified struct {
	mu        sync.Mutex
	states    map[string]State
	published map[string]string // the newest snapshot
}

// acquire returns the current service, which stays usable until the caller calls
// release. It handles a job that starts while a reload replaces the service.
func (d *daemon) acquire() (s *service, release func()) {
	for {
		s = d.current.Load()
		s.running.RLock()
		if s == d.current.Load() {
			return s, s.running.RUnlock
		}
		s.running.RUnlock()
	}
}

// allNotifiers returns the notifiers and the heartbeat.
func (s *service) allNotifiers() []*notifier {
	if s.heartbeat == nil {
		return s.notifiers
	}
	return append(slices.Clip(s.notifiers), s.heartbeat)
}
