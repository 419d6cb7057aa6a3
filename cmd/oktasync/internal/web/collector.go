package web

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// collector returns metrics of the current Status. They are also correct after a restart
// and after an `apply` by hand.
type collector struct{ source Source }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("oktasync_"+name, help, labels, nil)
}

var (
	descState       = desc("export_state", "1 for the state of the export: up to date, failing, quarantined, overdue, damaged or unknown.", "export", "state")
	descStateSince  = desc("export_state_since_timestamp_seconds", "Start of the state of the export; 0 if it is up to date.", "export")
	descRunning     = desc("export_running", "1 while the daemon reconciles the export.", "export")
	descRecords     = desc("records", "Records in the newest snapshot, by resource.", "export", "resource")
	descUsers       = desc("users", "Users in the newest snapshot, by status in Okta.", "export", "status")
	descRoles       = desc("admin_roles", "Admin roles in the newest snapshot, by type.", "export", "role")
	descSequence    = desc("snapshot_sequence", "Sequence of the newest snapshot.", "export")
	descSettled     = desc("snapshot_settled", "1 if the newest snapshot is settled; 0 if some records can be outdated.", "export")
	descReconciled  = desc("snapshot_reconciled", "1 if changes during the read explain each difference from Okta's counts; 0 if Okta possibly hides records from the app.", "export")
	descCarried     = desc("snapshot_carried_records", "Records in the newest snapshot that an incremental refresh has not read.", "export")
	descCarriedFrom = desc("snapshot_carried_since_timestamp_seconds", "Time of the oldest read of the carried records; 0 if all records were read.", "export")
	descAvailable   = desc("snapshot_available", "1 if the newest snapshot has the resource; 0 if the app can't read it, and it is optional.", "export", "resource")
	descLastSuccess = desc("last_success_timestamp_seconds", "Time of the last successful reconcile; 0 for never.", "export")
	descNext        = desc("next_run_timestamp_seconds", "Time of the next scheduled reconcile or retry; 0 for never.", "export")

	descLimit     = desc("rate_limit_requests", "Requests that Okta allows in a window, according to its last response.", "bucket")
	descRemaining = desc("rate_limit_remaining_requests", "Requests left in the window, according to Okta's last response.", "bucket")
	descUsed      = desc("rate_limit_used_requests", "Requests of the daemon in the window.", "bucket")
	descShare     = desc("rate_limit_share_requests", "Requests that the daemon may send in a window.", "bucket")
	descWaiting   = desc("rate_limit_waiting_requests", "Requests that wait for the next window.", "bucket")
	descReset     = desc("rate_limit_reset_timestamp_seconds", "Start of the next window.", "bucket")

	descTokens      = desc("tokens_total", "Access tokens obtained, by reason.", "reason")
	descTokenErrors = desc("token_failures_total", "Failed token requests, by reason.", "reason")
	descExpiry      = desc("token_expiry_timestamp_seconds", "Expiry of the access token; 0 for none.")
	descChallenges  = desc("dpop_challenges_total", "Demands for a DPoP nonce, by endpoint (token or api).", "endpoint")
	descResent      = desc("auth_retries_total", "Requests signed and sent again, by cause.", "cause")
	descOffset      = desc("clock_offset_seconds", "Okta's clock minus the clock of this host.")

	descSnapshots = desc("snapshots", "Snapshots in the store; updated every five minutes.", "export")
	descBytes     = desc("store_bytes", "Size of all files in the store; updated every five minutes.")
)

// states are the states of an export.
var states = []string{stateUpToDate, "failing", "quarantined", "overdue", "damaged", "unknown"}

// roleTypes are Okta's types of admin roles. The label of any other type is "other".
var roleTypes = []string{
	"SUPER_ADMIN", "ORG_ADMIN", "APP_ADMIN", "USER_ADMIN", "HELP_DESK_ADMIN", "READ_ONLY_ADMIN", "REPORT_ADMIN", "API_ACCESS_MANAGEMENT_ADMIN",
	"GROUP_MEMBERSHIP_ADMIN", "MOBILE_ADMIN", "ACCESS_CERTIFICATIONS_ADMIN", "ACCESS_REQUESTS_ADMIN", "WORKFLOWS_ADMIN", "CUSTOM",
}

// isBucketName reports whether name looks like one of Okta's rate limits, such as
// "users/*". Others have no metrics.
func isBucketName(name string) bool {
	return len(name) <= 64 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_*/") == ""
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descState, descStateSince, descRunning, descUsers, descRoles, descRecords, descSequence, descSettled, descReconciled, descCarried, descCarriedFrom, descAvailable, descLastSuccess, descNext,
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
	gauge(ch, descSettled, oneIf(e.Newest.Settled), e.Export)
	if r := e.Newest.Reconciled; r != nil {
		gauge(ch, descReconciled, oneIf(*r), e.Export)
	}
	gauge(ch, descCarried, float64(e.Newest.Carried), e.Export)
	gauge(ch, descCarriedFrom, unix(e.Newest.CarriedSince), e.Export)
	for _, u := range e.Newest.Unavailable {
		gauge(ch, descAvailable, 0, e.Export, u.Resource)
	}
	for _, r := range e.Newest.Records {
		gauge(ch, descAvailable, 1, e.Export, r.Resource)
		gauge(ch, descRecords, float64(r.Total), e.Export, r.Resource)
		switch r.Resource {
		case "users":
			byLabel(ch, descUsers, e.Export, r.ByStatus, userStatuses)
		case "role_assignments":
			byLabel(ch, descRoles, e.Export, r.ByStatus, roleTypes)
		}
	}
}

// byLabel exports the counts of an export by their names. Counts with other names than
// the known ones are added up.
func byLabel(ch chan<- prometheus.Metric, d *prometheus.Desc, export string, counts map[string]int, known []string) {
	other := 0
	for name, n := range counts {
		if slices.Contains(known, name) {
			gauge(ch, d, float64(n), export, name)
		} else {
			other += n
		}
	}
	if other > 0 {
		gauge(ch, d, float64(other), export, "other")
	}
}

func (c *collector) okta(ch chan<- prometheus.Metric, o Okta) {
	for _, l := range o.RateLimits {
		if !isBucketName(l.Bucket) {
			continue
		}
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
