package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"gopkg.in/yaml.v3"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// service is what one configuration makes of the daemon.
type service struct {
	*daemon
	cfg        *config.Config
	read       time.Time         // when cfg was
	keys       map[string]string // the configuration as flat gives it, to tell what a reload changes
	org        *org.Org
	store      *snapshot.Store
	unlock     func() error // gives the store up; the service that comes after may take it over
	reconciler *reconcile.Reconciler
	jobs       []scheduler.Job
	whens      map[string]scheduler.Schedule // by export; none for one without a schedule
	since      map[string]time.Time          // by export: from when on its schedule has counted here
	front      *front                        // what is served; taken over like unlock
	access     *webAccess                    // who may ask
	notify     []*teller
	heartbeat  *teller      // nil: none
	running    sync.RWMutex // held for reading by whatever runs under the service
}

// configure makes a service of cfg, from everything that cfg names: keys and
// certificates are read, the store is opened and locked, the address listened
// on. It is the same at the start and at a reload, where it takes from before
// only what belongs to the org or can't be had twice. After an error nothing is
// left of it.
func (d *daemon) configure(cfg *config.Config, before *service) (_ *service, err error) {
	s := &service{daemon: d, cfg: cfg, read: time.Now(), whens: make(map[string]scheduler.Schedule), since: make(map[string]time.Time)}
	defer func() {
		if err != nil {
			s.giveUp(before)
		}
	}()
	if s.keys, err = flat(cfg); err != nil {
		return nil, err
	}
	if s.org, err = org.Authenticate(cfg, toolVersion(), d.log); err != nil {
		return nil, err
	}
	s.org.CountRequests(d.metrics.request)
	s.org.KeyFiles = map[string]string{cfg.Name("okta.private_key_file"): cfg.Okta.PrivateKeyFile}
	if file := cfg.Okta.DPoP.PrivateKeyFile; file != "" {
		s.org.KeyFiles[cfg.Name("okta.dpop.private_key_file")] = file
	}
	if s.notify, s.heartbeat, err = d.tellers(cfg); err != nil {
		return nil, err
	}
	if _, err = org.AllowedSigners(cfg.Store.AllowedSignersFile); err != nil {
		return nil, err // now, and not when daemon.verify reads it
	}
	if s.store, err = org.OpenStore(cfg, &d.witness); err != nil {
		return nil, err
	}
	if before != nil && before.store.Dir() == s.store.Dir() {
		s.unlock = before.unlock
	} else if s.unlock, err = s.store.LockRun(snapshot.ThisProcess("run")); err != nil {
		return nil, err
	}
	if err = s.schedule(before); err != nil {
		return nil, err
	}
	web, err := config.LoadWeb(cfg.Daemon)
	if err != nil {
		return nil, err
	}
	s.access = newWebAccess(web)
	s.keys["daemon.web_config_file's certificate"] = web.Certificate
	if before != nil && before.cfg.Daemon.Listen == cfg.Daemon.Listen {
		s.front = before.front
	} else if s.front, err = d.listen(cfg.Daemon.Listen, s.access); err != nil {
		return nil, err
	}
	// Last, because from here on the org's governor keeps to the new share.
	var connected *org.Org
	if before != nil {
		connected = before.org
	}
	if err = s.org.Join(cfg, d.log, connected); err != nil {
		return nil, err
	}
	s.reconciler = s.org.Reconciler(cfg, s.store, d.log, nil)
	return s, nil
}

// lastMet is the last start that met its due time, as far as the scheduler
// should know. A reconcile that was cancelled, because the daemon was told to
// stop, has not: it is made up at the next start. One that was killed has: if it
// was what killed the process, making it up would do so again.
func lastMet(h snapshot.History) time.Time {
	switch {
	case h.LastEnd.Event != snapshot.EventCancelled || h.LastStarted.Time.After(h.LastEnd.Time.Time):
		return h.LastStarted.Time.Time
	case !h.LastDone.Time.IsZero():
		return h.LastDone.Time.Time
	}
	return h.Undone.Time.Add(-time.Second) // there was none before it
}

// lastFailed is when the last reconcile ended, if it failed, so that a retry
// that was pending when a daemon stopped is not lost until the next regular time.
func lastFailed(h snapshot.History) time.Time {
	if h.LastEnd.Event != snapshot.EventFailed || h.LastStarted.Time.After(h.LastEnd.Time.Time) {
		return time.Time{}
	}
	return h.LastEnd.Time.Time
}

// schedule makes a job of each export that has a schedule. When a job ran last
// is what the journal says, so that a missed run is made up.
func (s *service) schedule(before *service) error {
	for _, export := range s.cfg.Exports {
		if export.Schedule == "" {
			continue
		}
		when, err := scheduler.Parse(export.Schedule, export.Location())
		if err != nil {
			return fmt.Errorf("%s: schedule: %w", export.Name, err)
		}
		history, err := s.store.Journal(export.Name)
		if err != nil {
			return err
		}
		s.whens[export.Name] = when
		s.since[export.Name] = s.sinceWhen(export, before)
		s.jobs = append(s.jobs, scheduler.Job{
			Name:     export.Name,
			Schedule: when,
			Last:     lastMet(history),
			Failed:   lastFailed(history),
			Retry:    scheduler.Retry{Most: export.Retry.Most, FirstWait: export.Retry.FirstWait},
			Run:      func(ctx context.Context) error { return s.reconcileNow(ctx, export.Name) },
		})
	}
	if len(s.jobs) == 0 {
		s.log.Warn("no export has a schedule: the daemon has nothing to do")
	}
	if s.cfg.Daemon.Verify == "" {
		return nil
	}
	when, err := scheduler.Parse(s.cfg.Daemon.Verify, time.UTC)
	if err != nil {
		return fmt.Errorf("daemon.verify: %w", err)
	}
	last, _ := s.lastVerify()
	if last.IsZero() {
		last = time.Now() // the first one is due when the schedule says so, not at once
	}
	s.jobs = append(s.jobs, scheduler.Job{Name: verifyJob, Schedule: when, Last: last, Run: s.verifyNow})
	return nil
}

// hold returns the service in use, which gives nothing up before release is
// called. A job may be that of the service before, if it starts while a reload
// replaces it.
func (d *daemon) hold() (s *service, release func()) {
	for {
		s = d.current.Load()
		s.running.RLock()
		if s == d.current.Load() {
			return s, s.running.RUnlock
		}
		s.running.RUnlock()
	}
}

// reconcileNow reconciles an export as the service in use declares it, if it does.
func (d *daemon) reconcileNow(ctx context.Context, name string) error {
	s, release := d.hold()
	defer release()
	exports, err := s.cfg.Select([]string{name})
	if err != nil {
		return nil // it is gone
	}
	return s.reconcile(ctx, exports[0])
}

// verifyNow checks the store of the service in use.
func (d *daemon) verifyNow(ctx context.Context) error {
	s, release := d.hold()
	defer release()
	return s.verify(ctx)
}

// sinceWhen says from when on an export's due times count: from the reload
// that changed them, as its journal knows nothing of that.
func (s *service) sinceWhen(export reconcile.Export, before *service) time.Time {
	if before != nil {
		i := slices.IndexFunc(before.cfg.Exports, func(e reconcile.Export) bool { return e.Name == export.Name })
		if i >= 0 && before.cfg.Exports[i].Schedule == export.Schedule && before.cfg.Exports[i].TimeZone == export.TimeZone {
			return before.since[export.Name]
		}
	}
	return time.Now()
}

// use makes s the service, and sees the one before out: its reconciles finish
// as they began, and with the last one goes what s has not taken over.
func (d *daemon) use(s *service) {
	before := d.current.Swap(s)
	for _, export := range s.cfg.Exports {
		d.metrics.declared(export.Name)
	}
	if before == nil {
		at, problems := s.lastVerify() // before this daemon's first
		s.metrics.remembered(problems, at)
	}
	s.tellStates()
	for _, t := range s.allTellers() {
		t.start()
	}
	d.scheduler.Set(s.jobs...)
	if before == nil {
		s.front.start()
		return
	}
	if s.front != before.front {
		s.front.start()
		before.front.stop()
	}
	s.front.admit(s.access)
	d.retiring.Go(func() {
		before.running.Lock()
		defer before.running.Unlock()
		for _, export := range before.cfg.Exports {
			if _, err := s.cfg.Select([]string{export.Name}); err != nil {
				d.metrics.gone(export.Name)
			}
		}
		for _, t := range before.allTellers() {
			t.stop()
		}
		if err := before.giveUp(s); err != nil {
			d.log.Warn("store of the old configuration not given up", "err", err)
		}
	})
}

// giveUp gives up what s has and other, which may be nil, has not.
func (s *service) giveUp(other *service) error {
	if other == nil {
		other = &service{}
	}
	if s.front != other.front {
		s.front.stop() // where use has not done so
	}
	if s.org != nil && (other.org == nil || s.org.Auth != other.org.Auth) {
		s.org.Auth.CloseIdleConnections()
	}
	if s.unlock != nil && (other.store == nil || s.store.Dir() != other.store.Dir()) {
		return s.unlock()
	}
	return nil
}

// close ends the service when all its reconciles have ended.
func (s *service) close() error {
	for _, t := range s.allTellers() {
		t.stop()
	}
	return s.giveUp(nil)
}

// allTellers are those to be notified, and the heartbeat.
func (s *service) allTellers() []*teller {
	if s.heartbeat == nil {
		return s.notify
	}
	return append(slices.Clip(s.notify), s.heartbeat)
}

// reload reads everything again and uses it, whole or not at all.
func (d *daemon) reload() {
	d.tellSystemd(sd.SdNotifyReloading)
	defer d.tellSystemd(sd.SdNotifyReady)
	before := d.current.Load()
	cfg, level, err := d.app.config()
	if err == nil {
		var s *service
		if s, err = d.configure(cfg, before); err == nil {
			d.level.Set(level)
			d.use(s)
			changed := changedKeys(before.keys, s.keys)
			d.log.Info("configuration reloaded", "changed", cmp.Or(strings.Join(changed, ", "), "nothing"))
			if slices.Contains(changed, "log.format") {
				d.log.Warn("log.format counts from the next start on")
			}
		}
	}
	d.metrics.reloaded(err)
	d.rejected.Store(nil)
	if err != nil {
		now := time.Now()
		d.rejected.Store(&now)
		d.log.Error("configuration not reloaded; the old one goes on", "err", err)
	}
}

// rejectedAt is when a configuration was not taken, zero where the last one was.
func (d *daemon) rejectedAt() time.Time {
	if at := d.rejected.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// flat is cfg by dotted keys, with exports by their names, and the digests of
// the files that it names. It holds secrets: only keys may be shown.
func flat(cfg *config.Config) (map[string]string, error) {
	data, err := yaml.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	var doc map[string]any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	delete(doc, "exports")
	keys := make(map[string]string)
	flatten(keys, "", doc)
	for _, export := range cfg.Exports {
		data, err := yaml.Marshal(export)
		if err != nil {
			return nil, err
		}
		var doc map[string]any
		if err := yaml.Unmarshal(data, &doc); err != nil {
			return nil, err
		}
		flatten(keys, "exports["+export.Name+"]", doc)
	}
	for field, path := range cfg.Paths() {
		if *path != "" && field != "store.path" {
			content, _ := config.ReadFile(*path, config.MaxFile) // whoever needs it reports what is wrong with it
			keys[field+"'s content"] = config.SHA256(content)
		}
	}
	return keys, nil
}

func flatten(keys map[string]string, field string, value any) {
	mapping, ok := value.(map[string]any)
	if !ok {
		keys[field] = fmt.Sprint(value)
		return
	}
	for key, value := range mapping {
		flatten(keys, config.Child(field, key), value)
	}
}

// changedKeys names what differs, without values. An export that is new or gone
// is one name.
func changedKeys(before, after map[string]string) []string {
	changed := make(map[string]bool)
	for _, keys := range []map[string]string{before, after} {
		for key := range keys {
			if was, now := before[key], after[key]; was == now {
				continue
			}
			export, _, ok := strings.Cut(key, "].")
			_, was := before[export+"].name"]
			_, is := after[export+"].name"]
			if ok && was != is {
				key = export + "]"
			}
			changed[key] = true
		}
	}
	return slices.Sorted(maps.Keys(changed))
}
