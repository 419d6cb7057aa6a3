package daemon

import (
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/web"
	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
	"oktasync/scheduler"
)

// configure creates a service from cfg. It loads keys and certificates, opens and locks
// the store, and listens. It takes over the lock, the server and the state of the
// connection to the org from the service before, if they stay the same. After an error,
// it has released everything again.
func (d *daemon) configure(cfg *config.Config, before *service) (_ *service, err error) {
	s := &service{daemon: d, cfg: cfg, read: time.Now(), schedules: make(map[string]scheduler.Schedule), since: make(map[string]time.Time)}
	defer func() {
		if err != nil {
			s.release(before)
		}
	}()
	if s.values, err = cfg.Values(); err != nil {
		return nil, err
	}
	if s.org, err = org.Authenticate(cfg, s.Tool, d.log); err != nil {
		return nil, err
	}
	s.org.CountRequests(func(r oktaclient.Request) { d.metrics.Request(r.Path, r.Status) })
	s.org.KeyFiles = map[string]string{cfg.Name("okta.private_key_file"): cfg.Okta.PrivateKeyFile}
	if file := cfg.Okta.DPoP.PrivateKeyFile; file != "" {
		s.org.KeyFiles[cfg.Name("okta.dpop.private_key_file")] = file
	}
	if s.notifiers, s.heartbeat, err = d.newNotifiers(cfg); err != nil {
		return nil, err
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
	if err = s.listen(before); err != nil {
		return nil, err
	}
	// Join comes last: it applies the new rate_limit_share to the org's governor.
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

// listen opens the address, or takes over the server of before.
func (s *service) listen(before *service) error {
	file, err := s.cfg.LoadWeb()
	if err != nil {
		return err
	}
	access := web.AccessConfig{
		TLS: file.TLS, Headers: file.Headers, Users: make(map[string]string),
		Burst: file.RateLimit.Burst, Interval: file.RateLimit.Interval,
	}
	for name, hash := range file.Users {
		access.Users[name] = string(hash)
	}
	if !file.Closed() { // with a password, DNS rebinding is harmless: a browser doesn't send it to another name
		access.AllowHost = oktaclient.IsLoopback
	}
	s.access = web.NewAccess(access)
	s.values["daemon.web_config_file's certificate"] = file.Certificate
	if before != nil && before.cfg.Daemon.Listen == s.cfg.Daemon.Listen {
		s.server = before.server
		return nil
	}
	s.server, err = web.Listen(s.cfg.Daemon.Listen, s.access, protectHandler(s.log, web.Handler(s.daemon, s.metrics, s.log)), s.log)
	return err
}

// use replaces the current service by s. After its last reconcile, the previous
// service releases the resources that s doesn't use.
func (d *daemon) use(s *service) {
	before := d.current.Swap(s)
	for _, export := range s.cfg.Exports {
		d.metrics.Declare(export.Name)
	}
	if before == nil {
		at, problems := s.lastVerify()
		s.metrics.Verified(problems, at)
	}
	s.notifyChanges()
	for _, n := range s.allNotifiers() {
		n.start()
	}
	d.scheduler.Set(s.jobs...)
	if before == nil {
		s.server.Start()
		return
	}
	if s.server != before.server {
		s.server.Start()
		before.server.Stop()
	}
	s.server.SetAccess(s.access)
	d.retiring.Go(func() {
		protect(d.log, func() { d.retire(before, s) })
	})
}

// retire waits for the last reconciles of before, and releases the resources that s
// doesn't use.
func (d *daemon) retire(before, s *service) {
	before.running.Lock()
	defer before.running.Unlock()
	for _, export := range before.cfg.Exports {
		if _, err := s.cfg.Select([]string{export.Name}); err != nil {
			d.metrics.Remove(export.Name)
		}
	}
	for _, n := range before.allNotifiers() {
		n.stop()
	}
	if err := before.release(s); err != nil {
		d.log.Warn("store of the old configuration not unlocked", "err", err)
	}
}

// release releases what s has and other does not use. other may be nil.
func (s *service) release(other *service) error {
	if other == nil {
		other = &service{}
	}
	if s.server != other.server {
		s.server.Stop()
	}
	if s.org != nil && (other.org == nil || s.org.Auth != other.org.Auth) {
		s.org.Auth.CloseIdleConnections()
	}
	if s.unlock != nil && (other.store == nil || s.store.Dir() != other.store.Dir()) {
		return s.unlock()
	}
	return nil
}

// close ends the service after its last reconcile.
func (s *service) close() error {
	for _, n := range s.allNotifiers() {
		n.stop()
	}
	return s.release(nil)
}
