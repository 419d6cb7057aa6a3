package main

import (
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/reconcile"
)

// collector looks up, when somebody asks for metrics, how the daemon, its store
// and its org stand. What it says of the store is so after a restart too, and
// after an `apply` beside the daemon.
type collector struct{ *daemon }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("oktasync_"+name, help, labels, nil)
}

var (
	descState       = desc("export_state", "1 for the state that an export is in: fresh, failing, quarantined, overdue, damaged or unknown.", "export", "state")
	descStateSince  = desc("export_state_since_timestamp_seconds", "Since when an export is in a state that is not fresh; 0 while it is.", "export")
	descRunning     = desc("export_running", "1 while the daemon reconciles the export.", "export")
	descUsers       = desc("users", "Users in the newest snapshot, by Okta's status.", "export", "status")
	descSequence    = desc("snapshot_sequence", "Sequence of the newest snapshot.", "export")
	descLastSuccess = desc("last_success_timestamp_seconds", "When a reconcile last ended well; 0 for never.", "export")
	descNext        = desc("next_run_timestamp_seconds", "When the daemon reconciles next, a retry included; 0 for never.", "export")

	descLimit     = desc("rate_limit_requests", "Requests that a window of Okta's rate limit allows, to everyone.", "bucket")
	descRemaining = desc("rate_limit_remaining_requests", "Requests left in the window, as Okta last said.", "bucket")
	descUsed      = desc("rate_limit_used_requests", "Requests made by us in the window.", "bucket")
	descShare     = desc("rate_limit_share_requests", "Requests that we may make in a window.", "bucket")
	descWaiting   = desc("rate_limit_waiting_requests", "Requests held back until the limit allows them.", "bucket")
	descReset     = desc("rate_limit_reset_timestamp_seconds", "When the next window begins.", "bucket")

	descTokens      = desc("tokens_total", "Access tokens fetched, by why.", "reason")
	descTokenErrors = desc("token_failures_total", "Fetches of a token that came to nothing, by why it was wanted.", "reason")
	descExpiry      = desc("token_expiry_timestamp_seconds", "When the token at hand expires; 0 for none.")
	descChallenges  = desc("dpop_challenges_total", "Demands for a DPoP nonce, by who made them (token or api).", "endpoint")
	descResent      = desc("auth_retries_total", "Requests signed and sent again, by cause.", "cause")
	descOffset      = desc("clock_offset_seconds", "By how much Okta's clock is ahead of ours, as far as known.")

	descSnapshots = desc("snapshots", "Snapshots in the store; looked up every five minutes.", "export")
	descBytes     = desc("store_bytes", "Bytes of all files in the store; looked up every five minutes.")
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descState, descStateSince, descRunning, descUsers, descSequence, descLastSuccess, descNext,
		descLimit, descRemaining, descUsed, descShare, descWaiting, descReset,
		descTokens, descTokenErrors, descExpiry, descChallenges, descResent, descOffset, descSnapshots, descBytes,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.current.Load()
	if s == nil {
		return
	}
	for _, export := range s.cfg.Exports {
		collectExport(ch, s, export)
	}
	collectOrg(ch, s.org)
	bytes, snapshots := c.size.of(s.store.Dir())
	gauge(ch, descBytes, float64(bytes))
	for _, export := range s.cfg.Exports {
		gauge(ch, descSnapshots, float64(snapshots[export.Name]), export.Name)
	}
}

func collectExport(ch chan<- prometheus.Metric, s *service, export reconcile.Export) {
	h := s.health(export)
	for _, state := range states {
		gauge(ch, descState, oneIf(h.State == state), export.Name, string(state))
	}
	gauge(ch, descStateSince, unix(h.Since), export.Name)
	gauge(ch, descRunning, oneIf(s.scheduler.Running(export.Name)), export.Name)
	gauge(ch, descNext, unix(s.scheduler.Next(export.Name)), export.Name)
	if history, err := s.histories.get(s.store, export.Name); err == nil {
		gauge(ch, descLastSuccess, unix(history.LastSuccess.Time.Time), export.Name)
	}
	newest, err := s.store.Latest(export.Name)
	if err != nil {
		return // none yet; what is damaged shows by its state and by verify
	}
	gauge(ch, descSequence, float64(newest.Manifest.Sequence), export.Name)
	for status, n := range newest.Manifest.Resources.Users.ByStatus {
		gauge(ch, descUsers, float64(n), export.Name, status)
	}
}

func collectOrg(ch chan<- prometheus.Metric, o *org.Org) {
	for _, l := range o.Governor.Limits() {
		gauge(ch, descLimit, float64(l.Limit), l.Bucket)
		gauge(ch, descRemaining, float64(l.Remaining), l.Bucket)
		gauge(ch, descUsed, float64(l.Used), l.Bucket)
		gauge(ch, descShare, float64(l.Share), l.Bucket)
		gauge(ch, descWaiting, float64(l.Waiting), l.Bucket)
		gauge(ch, descReset, unix(l.Reset), l.Bucket)
	}
	st := o.Auth.Status()
	counters(ch, descTokens, st.Counters.Granted)
	counters(ch, descTokenErrors, st.Counters.Failed)
	counters(ch, descChallenges, st.Counters.Challenges)
	counters(ch, descResent, st.Counters.Retries)
	gauge(ch, descExpiry, unix(st.Expiry))
	gauge(ch, descOffset, st.Offset.Seconds())
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func counters(ch chan<- prometheus.Metric, d *prometheus.Desc, values map[string]uint64) {
	for label, n := range values {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), label)
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// unix is t as metrics have it: seconds, and 0 for never.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// storeSize remembers how large the store is, as looking takes a while in one
// with years of snapshots.
type storeSize struct {
	mu        sync.Mutex
	dir       string
	looked    time.Time
	bytes     int64
	snapshots map[string]int
}

// sizeAgain is how old the size may be.
const sizeAgain = 5 * time.Minute

func (z *storeSize) of(dir string) (bytes int64, snapshots map[string]int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.dir == dir && time.Since(z.looked) < sizeAgain {
		return z.bytes, z.snapshots
	}
	z.dir, z.looked, z.bytes, z.snapshots = dir, time.Now(), 0, make(map[string]int)
	filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // pruned or renamed meanwhile
		}
		folder := filepath.Dir(path)
		export := filepath.Dir(folder)
		if entry.Name() == "manifest.json" && filepath.Dir(export) == dir && filepath.Base(folder)[0] != '.' {
			z.snapshots[filepath.Base(export)]++
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			z.bytes += info.Size()
		}
		return nil
	})
	return z.bytes, z.snapshots
}
