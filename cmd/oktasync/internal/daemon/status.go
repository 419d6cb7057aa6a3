package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/cmd/oktasync/internal/web"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// Status implements web.Source.
func (d *daemon) Status(maxAge time.Duration) web.Status {
	s := d.current.Load()
	c := &d.statuses
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.service != s || time.Since(c.made) >= maxAge {
		c.last = s.status()
		c.service, c.made = s, time.Now()
	}
	return c.last
}

// Ready implements web.Source.
func (d *daemon) Ready() error {
	store := d.current.Load().store
	found, err := snapshot.Open(store.Dir())
	if err != nil {
		return err
	}
	if found.ID() != store.ID() {
		return fmt.Errorf("%s contains another store", store.Dir())
	}
	f, err := store.TempFile()
	if err != nil {
		return err
	}
	return f.Close()
}

// health returns HealthOf, with failures that couldn't be written to the journal, for
// example because the disk was full. Without such a failure, it adds what Surveyed finds.
func (s *service) health(export reconcile.Export) Health {
	now := time.Now()
	history, err := s.histories.get(s.store, export.Name)
	s.watch(export.Name, err)
	if err != nil {
		return s.histories.sinceFirst(Health{Export: export.Name, State: StateUnknown, Since: now, Reason: err.Error()})
	}
	h := HealthOf(export, history, s.schedules[export.Name], s.since[export.Name], now)
	if f, ok := s.failures.of(export.Name); ok && f.Since.After(history.LastDone.Time.Time) && h.State != StateFailing && h.State != StateQuarantined {
		h = f.Health
	}
	if f, ok := s.unaccepted.of(export.Name); ok && h.State != StateFailing && h.State != StateQuarantined {
		h = f.Health
	}
	h = h.Surveyed(LastVerified(history), s.surveys.of(s.store, export.Name, history.Lines), now)
	return s.histories.sinceFirst(h)
}

// watch takes over a checkpoint that another process has written. If it isn't
// acceptable, for example because an older copy has replaced the export, watch records
// this until it is, and logs it once. journal is the error of reading the journal: Watch
// reads only its last line.
func (s *service) watch(export string, journal error) {
	err := s.store.Watch(export)
	if err == nil {
		err = journal
	}
	_, rollback := errors.AsType[*snapshot.RollbackError](err)
	_, mismatch := errors.AsType[*snapshot.MismatchError](err)
	if !rollback && !mismatch {
		err = nil
	}
	_, before := s.unaccepted.of(export)
	s.unaccepted.record(export, err)
	switch {
	case err != nil && !before:
		s.log.Error("export not accepted", "export", export, "err", err)
	case err == nil && before: // adopted or restored
		s.failures.record(export, nil)
	}
}

// rejectedAt returns the time of the last reload if it failed, otherwise zero.
func (d *daemon) rejectedAt() time.Time {
	if at := d.rejected.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

func (s *service) status() web.Status {
	st := web.Status{
		Time: web.At(time.Now()), UpToDate: true, Org: s.cfg.Okta.OrgURL, Started: web.At(s.started),
		Version: s.Tool.Version, Commit: s.Tool.Commit,
		Configuration: web.Configuration{
			File: cmp.Or(s.cfg.File, "the environment"), SHA256: s.cfg.SHA256, Read: web.At(s.read), Rejected: web.AtOrNull(s.rejectedAt()),
		},
		Exports: []web.Export{}, Okta: s.oktaStatus(),
	}
	st.Host, _ = os.Hostname()
	bytes, snapshots := s.size.of(s.store.Dir())
	st.Store = web.Store{
		Path: s.store.Dir(), StoreID: s.store.ID(), Bytes: bytes,
		Verify: s.cfg.Daemon.Verify, NextVerify: web.AtOrNull(s.scheduler.Next(verifyJob)),
	}
	for _, export := range s.cfg.Exports {
		e := s.exportStatus(export)
		e.Snapshots = snapshots[export.Name]
		st.UpToDate = st.UpToDate && e.State == string(StateUpToDate)
		st.Exports = append(st.Exports, e)
	}
	return st
}

// exportStatus returns the status of one export, without what it can't read, because
// the state and verify report that.
func (s *service) exportStatus(export reconcile.Export) web.Export {
	h := s.health(export)
	e := web.Export{
		Export: export.Name, State: string(h.State), Since: web.AtOrNull(h.Since), Reason: h.Reason, Declared: declaration(export),
		Running: s.scheduler.Running(export.Name), Next: web.AtOrNull(s.scheduler.Next(export.Name)),
		Runs: []web.Run{}, Quarantined: []web.Quarantined{},
	}
	e.Remedy, e.Command = s.remedy(h)
	if h.State == StateOverdue {
		e.Reason = "no run has ended since it was due"
	}
	if history, err := s.histories.get(s.store, export.Name); err == nil {
		e.LastStarted, e.LastEnded = web.AtOrNull(history.LastStarted.Time.Time), web.AtOrNull(history.LastEnd.Time.Time)
		e.LastOutcome, e.LastSuccess = history.LastEnd.Event, web.AtOrNull(history.LastSuccess.Time.Time)
		if v := LastVerified(history); v != nil {
			e.Verified = &web.Verified{Time: web.At(v.Time.Time), Problems: v.Problems}
		}
		e.Runs = s.runs(export.Name, history.Recent)
	}
	if newest, err := s.store.Latest(export.Name); err == nil {
		e.Newest = newestStatus(newest)
		e.Newest.RolesChanged = web.AtOrNull(s.rolesChanged(newest))
		if c, err := s.store.Checkpoint(export.Name); err == nil {
			e.Newest.Head = c.Head().String()
		}
	}
	list, _ := s.store.Quarantined(export.Name)
	for _, r := range slices.Backward(list) {
		e.Quarantined = append(e.Quarantined, web.Quarantined{
			Name: r.Name(), Read: web.At(r.Read.Finished.Time), Records: report.Records(r.Resources), Reason: r.Reason,
			Command: fmt.Sprintf("oktasync quarantine diff %s@%s", export.Name, r.Name()),
		})
	}
	return e
}

// remedy returns what to do about a state, and the command that shows more. The cause
// of a failure that only the journal contains isn't available as an error.
func (s *service) remedy(h Health) (text, command string) {
	switch h.State {
	case StateFailing:
		if h.Reason == allPruned {
			return "run the command: it publishes a new snapshot", "oktasync apply " + h.Export
		}
		text = "run the command: it checks the setup, and prints what to change"
		for _, failures := range []*failures{&s.failures, &s.unaccepted} {
			if f, ok := failures.of(h.Export); ok && strings.Contains(f.Reason, h.Reason) {
				text = cmp.Or(s.Hint(f.err), text)
			}
		}
		return text, "oktasync doctor"
	case StateQuarantined:
		return fmt.Sprintf("check the changes; if they are correct, run `oktasync quarantine release %s --reason TEXT`; otherwise, correct the cause, and the next run reads again", h.Export),
			"oktasync quarantine diff " + h.Export
	case StateOverdue:
		return "read the log for a run that doesn't end, or for a program that locks the export; the command starts a run", "oktasync apply " + h.Export
	case StateDamaged, StateUnknown:
		return "run the command: it lists the damaged files; restore them from a backup", "oktasync verify " + h.Export
	}
	return "", ""
}

func newestStatus(newest *snapshot.Snapshot) *web.Newest {
	m := newest.Manifest
	n := &web.Newest{
		Snapshot: m.Snapshot, Sequence: m.Sequence, ManifestSHA256: newest.Digest, Finished: web.At(m.Read.Finished.Time),
		Settled: m.Read.Settled, Unavailable: []web.Unavailable{},
		Changes: report.Changes(m.Resources, m.Previous == nil),
	}
	if c := m.Resources[snapshot.GroupMembers.Name]; c.CarriedSince != nil {
		n.Carried, n.CarriedSince = c.Carried, new(web.At(c.CarriedSince.Time))
	}
	if c := m.Control; c != nil {
		n.Reconciled, n.Unreconciled = &c.Reconciled, report.Unreconciled(c)
	}
	if m.SignedBy != nil {
		n.SignedBy = *m.SignedBy
	}
	for _, r := range m.Unavailable() {
		n.Unavailable = append(n.Unavailable, web.Unavailable{Resource: r.Name, Reason: m.Resources[r.Name].Reason})
	}
	for _, r := range m.Recorded() {
		counts := m.Resources[r.Name]
		records := web.Records{Resource: r.Name, Total: counts.Total, ByStatus: counts.ByStatus, Kinds: make(map[string]int)}
		for kind, count := range counts.Kinds {
			records.Kinds[string(kind)] = count
		}
		for _, kind := range r.Kinds {
			if count := counts.Kinds[kind]; count > 0 {
				records.KindCounts = append(records.KindCounts, web.Count{Word: string(kind), Count: count})
			}
		}
		n.Records = append(n.Records, records)
	}
	return n
}

// maxManifests is the most manifests that rolesChanged reads.
const maxManifests = 1000

// rolesChanged returns the end of the newest read with a change of admin roles; zero: no
// snapshot in the store has one. Calls don't overlap.
func (s *service) rolesChanged(newest *snapshot.Snapshot) (at time.Time) {
	path, m := s.store.Path(newest.Manifest.Export), &newest.Manifest
	for range maxManifests {
		counts, recorded := m.Resources[snapshot.RoleAssignments.Name]
		if known := s.statuses.roles[path]; known.snapshot == m.Snapshot {
			at = known.at
			break
		}
		if recorded && len(counts.Kinds) > 0 {
			at = m.Read.Finished.Time
			break
		}
		if !recorded || m.Previous == nil {
			break
		}
		var err error
		if m, err = s.store.Manifest(m.Export, m.Previous.Snapshot); err != nil {
			break
		}
	}
	s.statuses.roles[path] = roleChange{newest.Manifest.Snapshot, at}
	return at
}

// declaration returns the declaration of an export, without its search.
func declaration(export reconcile.Export) web.Declaration {
	declared := export.Declaration()
	d := web.Declaration{
		Schedule: export.Schedule, Splay: term.Duration(export.Splay), TimeZone: export.Location().String(), Timeout: term.Duration(export.Timeout),
		Formats: declared.Formats, Snapshot: string(cmp.Or(export.Snapshot, reconcile.Always)), Retain: retainText(export.Retain),
	}
	for _, r := range export.Resources() {
		resource := web.DeclaredResource{
			Resource: r.Resource.Name, Include: r.Attributes.Include, Exclude: r.Attributes.Exclude,
			Guard: web.Guard{MaxRemoved: r.Guard.MaxRemoved.String(), AtLeast: r.Guard.AtLeast, Min: r.Guard.Min},
		}
		if limit := r.Guard.MaxDeactivated; limit != nil {
			resource.Guard.MaxDeactivated = limit.String()
		}
		d.Resources = append(d.Resources, resource)
		if n := declared.Resources[r.Resource.Name].Narrowing; n != nil && n.Search != "" {
			n.Search = "a search that isn't shown here" // it can contain a user's data
		}
	}
	d.Query = report.Query(declared)
	return d
}

// retainText returns "the last 30, 400 daily", or "everything".
func retainText(r reconcile.Retain) string {
	var parts []string
	if r.Last > 0 {
		parts = append(parts, fmt.Sprintf("the last %d", r.Last))
	}
	for _, of := range []struct {
		n    int
		word string
	}{{r.Daily, "daily"}, {r.Weekly, "weekly"}, {r.Monthly, "monthly"}, {r.Yearly, "yearly"}} {
		if of.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", of.n, of.word))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "everything")
}

func (s *service) oktaStatus() web.Okta {
	st := s.org.Auth.Status()
	c := st.Counters
	okta := web.Okta{
		TokenExpiry: web.AtOrNull(st.Expiry), DPoP: s.cfg.Okta.DPoP.Mode != config.DPoPOff,
		ClockOffsetSeconds: st.Offset.Seconds(), RateLimits: []web.RateLimit{},
		Tokens: web.Tokens{Granted: c.Granted, Failed: c.Failed, Challenges: c.Challenges, Retries: c.Retries},
	}
	if st.LastError != nil {
		okta.TokenError = st.LastError.Error()
	}
	for _, l := range s.org.Governor.Limits() {
		okta.RateLimits = append(okta.RateLimits, web.RateLimit{
			Bucket: l.Bucket, Limit: l.Limit, Remaining: l.Remaining, Used: l.Used, Share: l.Share, Waiting: l.Waiting, Reset: web.AtOrNull(l.Reset),
		})
	}
	return okta
}

// runs returns the ends of reconciles, with the record counts of their snapshots. The
// caller has locked statuses.
func (s *service) runs(export string, ends []snapshot.Event) []web.Run {
	path := s.store.Path(export)
	before, now := s.statuses.totals[path], make(map[string]int)
	runs := make([]web.Run, len(ends))
	for i, end := range ends {
		runs[i] = web.Run{Ended: web.At(end.Time.Time), Outcome: end.Event, Snapshot: end.Snapshot}
		if end.Event != snapshot.EventPublished && end.Event != snapshot.EventUnchanged {
			continue
		}
		total, cached := before[end.Snapshot]
		if !cached {
			m, err := s.store.Manifest(export, end.Snapshot)
			if err != nil {
				continue // damaged; verify reports it
			}
			total = m.Resources[m.Recorded()[0].Name].Total
		}
		now[end.Snapshot], runs[i].Records = total, &total
	}
	s.statuses.totals[path] = now // without older snapshots
	return runs
}
