package web

import (
	"github.com/prometheus/client_golang/prometheus"
)

// collector makes metrics of the current Status. They are right after a restart,
// and after an `apply` beside the daemon.
type collector struct{ source Source }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("oktasync_"+name, help, labels, nil)
}

var (
	descState       = desc("export_state", "1 for the state that an export is in: up to date, failing, quarantined, overdue, damaged or unknown.", "export", "state")
	descStateSince  = desc("export_state_since_timestamp_seconds", "Since when an export is in its state; 0 if it is up to date.", "export")
	descRunning     = desc("export_running", "1 while the daemon reconciles the export.", "export")
	descRecords     = desc("records", "Records in the newest snapshot, by resource.", "export", "resource")
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

// states are the states of an export.
var states = []string{stateUpToDate, "failing", "quarantined", "overdue", "damaged", "unknown"}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descState, descStateSince, descRunning, descUsers, descRecords, descSequence, descLastSuccess, descNext,
		descLimit, descRemaining, descUsed, descShare, descWaiting, descReset,
		descTokens, descTokenErrors, descExpiry, descChallenges, descResent, descOffset, descSnapshots, descBytes,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.source.Status(0)
	for _, e := range s.Exports {
		c.export(ch, e)
	}
	c.okta(ch, s.Okta)
	gauge(ch, descBytes, float64(s.Store.Bytes))
}

func (c *collector) export(ch chan<- prometheus.Metric, e Export) {
	for _, state := range states {
		gauge(ch, descState, oneIf(e.State == state), e.Export, state)
	}
	gauge(ch, descStateSince, unix(e.Since), e.Export)
	gauge(ch, descRunning, oneIf(e.Running), e.Export)
	gauge(ch, descNext, unix(e.Next), e.Export)
	gauge(ch, descSnapshots, float64(e.Snapshots), e.Export)
	if e.State != "unknown" { // the journal is readable
		gauge(ch, descLastSuccess, unix(e.LastSuccess), e.Export)
	}
	if e.Newest == nil {
		return
	}
	gauge(ch, descSequence, float64(e.Newest.Sequence), e.Export)
	for _, r := range e.Newest.Records {
		gauge(ch, descRecords, float64(r.Total), e.Export, r.Resource)
		if r.Resource != "users" {
			continue
		}
		for status, n := range r.ByStatus {
			gauge(ch, descUsers, float64(n), e.Export, status)
		}
	}
}

func (c *collector) okta(ch chan<- prometheus.Metric, o Okta) {
	for _, l := range o.RateLimits {
		gauge(ch, descLimit, float64(l.Limit), l.Bucket)
		gauge(ch, descRemaining, float64(l.Remaining), l.Bucket)
		gauge(ch, descUsed, float64(l.Used), l.Bucket)
		gauge(ch, descShare, float64(l.Share), l.Bucket)
		gauge(ch, descWaiting, float64(l.Waiting), l.Bucket)
		gauge(ch, descReset, unix(l.Reset), l.Bucket)
	}
	counters(ch, descTokens, o.Tokens.Granted)
	counters(ch, descTokenErrors, o.Tokens.Failed)
	counters(ch, descChallenges, o.Tokens.Challenges)
	counters(ch, descResent, o.Tokens.Retries)
	gauge(ch, descExpiry, unix(o.TokenExpiry))
	gauge(ch, descOffset, o.ClockOffsetSeconds)
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

// unix returns t in seconds, and 0 for nil.
func unix(t *Time) float64 {
	if t == nil {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
