package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics contains the counters of the daemon. collector adds metrics of the Status.
// Labels have few values: the declared exports, outcomes, statuses and kinds.
// docs/metrics.md lists all metrics.
type Metrics struct {
	kinds map[string][]string // by resource

	registry       *prometheus.Registry
	reconciles     *prometheus.CounterVec
	duration       *prometheus.HistogramVec
	changes        *prometheus.CounterVec
	requests       *prometheus.CounterVec
	messages       *prometheus.CounterVec
	verifyProblems prometheus.Gauge
	verifyTime     prometheus.Gauge
	reloadOK       prometheus.Gauge
	reloadTime     prometheus.Gauge
}

// NewMetrics returns the metrics of a program version. kinds are the values of the label
// kind of changes, by resource.
func NewMetrics(version, commit string, kinds map[string][]string, source Source) *Metrics {
	m := &Metrics{
		kinds:    kinds,
		registry: prometheus.NewRegistry(),
		reconciles: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oktasync_reconciles_total", Help: "Reconciles of the daemon, by outcome.",
		}, []string{"export", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "oktasync_reconcile_duration_seconds", Help: "Duration of reconciles.",
			Buckets: []float64{1, 5, 15, 60, 300, 900, 3600, 7200},
		}, []string{"export"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oktasync_changes_total", Help: "Changes in snapshots that were published while the daemon ran, by resource and kind.",
		}, []string{"export", "resource", "kind"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oktasync_requests_total", Help: "Requests to Okta, by endpoint (api or token) and class of status (2xx to 5xx, or none).",
		}, []string{"endpoint", "class"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oktasync_messages_total", Help: "Notifications and heartbeats, by outcome (sent, failed or dropped).",
		}, []string{"to", "outcome"}),
		verifyProblems: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oktasync_verify_problems", Help: "Problems that the last verify of the daemon found.",
		}),
		verifyTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oktasync_verify_timestamp_seconds", Help: "Time of the last verify of the daemon; 0 for never.",
		}),
		reloadOK: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oktasync_config_last_reload_successful", Help: "1 if the last load of the configuration succeeded, otherwise 0.",
		}),
		reloadTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oktasync_config_last_reload_success_timestamp_seconds", Help: "Time when the current configuration was loaded.",
		}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "oktasync_build_info", Help: "Version of the program; always 1.",
	}, []string{"version", "commit"})
	build.WithLabelValues(version, commit).Set(1)
	m.registry.MustRegister(m.reconciles, m.duration, m.changes, m.requests, m.messages, m.verifyProblems, m.verifyTime, m.reloadOK, m.reloadTime,
		build, &collector{source}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Declare creates the series of an export with zeros, so that rate() includes
// the first event.
func (m *Metrics) Declare(export string) {
	for _, outcome := range outcomes {
		m.reconciles.WithLabelValues(export, outcome)
	}
	for resource, kinds := range m.kinds {
		for _, kind := range kinds {
			m.changes.WithLabelValues(export, resource, kind)
		}
	}
	m.duration.WithLabelValues(export)
}

// Remove removes the series of an export that is no longer declared.
func (m *Metrics) Remove(export string) {
	labels := prometheus.Labels{"export": export}
	m.reconciles.DeletePartialMatch(labels)
	m.changes.DeletePartialMatch(labels)
	m.duration.DeletePartialMatch(labels)
}

// Reload records whether the configuration was loaded.
func (m *Metrics) Reload(err error) {
	if err != nil {
		m.reloadOK.Set(0)
		return
	}
	m.reloadOK.Set(1)
	m.reloadTime.SetToCurrentTime()
}

// Verified records the result of a verify; at is zero for never.
func (m *Metrics) Verified(problems int, at time.Time) {
	m.verifyProblems.Set(float64(problems))
	m.verifyTime.Set(unix(AtOrNull(at)))
}

// Request counts a request to Okta. status is 0 if there was no response.
func (m *Metrics) Request(path string, status int) {
	endpoint, class := "api", "none"
	if strings.HasPrefix(path, "/oauth2/") {
		endpoint = "token"
	}
	if status > 0 {
		class = fmt.Sprintf("%dxx", status/100)
	}
	m.requests.WithLabelValues(endpoint, class).Inc()
}

// Message counts a notification or a heartbeat: sent, failed or dropped.
func (m *Metrics) Message(to, outcome string) { m.messages.WithLabelValues(to, outcome).Inc() }

// Reconcile counts a reconcile.
func (m *Metrics) Reconcile(export, outcome string, elapsed time.Duration) {
	m.reconciles.WithLabelValues(export, outcome).Inc()
	m.duration.WithLabelValues(export).Observe(elapsed.Seconds())
}

// Changes counts published changes of one kind.
func (m *Metrics) Changes(export, resource, kind string, n int) {
	m.changes.WithLabelValues(export, resource, kind).Add(float64(n))
}
