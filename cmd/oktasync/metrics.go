package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"oktasync/oktaclient"
	"oktasync/reconcile"
)

// metrics are what /metrics serves, on a registry of their own: here what is
// counted as it happens, in collector what is looked up when somebody asks.
// Labels have few and fixed values: the exports declared, outcomes, statuses
// and kinds. docs/metrics.md has them all.
type metrics struct {
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

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		reconciles: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oktasync_reconciles_total", Help: "Reconciles of the daemon that ended, by outcome.",
		}, []string{"export", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "oktasync_reconcile_duration_seconds", Help: "How long reconciles took.",
			Buckets: []float64{1, 5, 15, 60, 300, 900, 3600, 7200},
		}, []string{"export"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oktasync_changes_total", Help: "Changes of people that the daemon published, by kind.",
		}, []string{"export", "kind"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oktasync_requests_total", Help: "Requests to Okta, by endpoint (api or token) and class of status (2xx to 5xx, or none).",
		}, []string{"endpoint", "class"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oktasync_messages_total", Help: "Notifications and heartbeats, by what became of them (sent, failed or dropped).",
		}, []string{"to", "outcome"}),
		verifyProblems: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oktasync_verify_problems", Help: "Problems that the last check of the whole store found.",
		}),
		verifyTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oktasync_verify_timestamp_seconds", Help: "When the daemon last checked the whole store; 0 for not yet.",
		}),
		reloadOK: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oktasync_config_last_reload_successful", Help: "1 where the last reading of the configuration went well, 0 where not.",
		}),
		reloadTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oktasync_config_last_reload_success_timestamp_seconds", Help: "When the configuration in use was read.",
		}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "oktasync_build_info", Help: "The program that runs; always 1.",
	}, []string{"version", "commit"})
	build.WithLabelValues(toolVersion().Version, toolVersion().Commit).Set(1)
	m.registry.MustRegister(m.reconciles, m.duration, m.changes, m.requests, m.messages, m.verifyProblems, m.verifyTime, m.reloadOK, m.reloadTime,
		build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// outcomes of a reconcile that are no reconcile.Outcome.
const (
	outcomeFailed    = "failed"
	outcomeCancelled = "cancelled"
)

// declared makes the series of an export, so that a rate sees the first event.
func (m *metrics) declared(export string) {
	for _, outcome := range []string{string(reconcile.Published), string(reconcile.Unchanged), string(reconcile.Quarantined), outcomeFailed, outcomeCancelled} {
		m.reconciles.WithLabelValues(export, outcome)
	}
	for _, kind := range kinds {
		m.changes.WithLabelValues(export, string(kind))
	}
	m.duration.WithLabelValues(export)
}

// gone forgets an export that is no longer declared.
func (m *metrics) gone(export string) {
	labels := prometheus.Labels{"export": export}
	m.reconciles.DeletePartialMatch(labels)
	m.changes.DeletePartialMatch(labels)
	m.duration.DeletePartialMatch(labels)
}

// reloaded notes how a reading of the configuration ended.
func (m *metrics) reloaded(err error) {
	if err != nil {
		m.reloadOK.Set(0)
		return
	}
	m.reloadOK.Set(1)
	m.reloadTime.SetToCurrentTime()
}

// remembered is what journals have of the last verify: a restart loses nothing.
func (m *metrics) remembered(problems int, at time.Time) {
	m.verifyProblems.Set(float64(problems))
	m.verifyTime.Set(unix(at))
}

func (m *metrics) verified(problems int) {
	m.verifyProblems.Set(float64(problems))
	m.verifyTime.SetToCurrentTime()
}

// request counts one request, whatever came of it.
func (m *metrics) request(r oktaclient.Request) {
	endpoint, class := "api", "none"
	if strings.HasPrefix(r.Path, "/oauth2/") {
		endpoint = "token"
	}
	if r.Status > 0 {
		class = fmt.Sprintf("%dxx", r.Status/100)
	}
	m.requests.WithLabelValues(endpoint, class).Inc()
}

// observe counts one reconcile of the daemon.
func (m *metrics) observe(ctx context.Context, export reconcile.Export, r reconcile.Result, err error) {
	m.reconciles.WithLabelValues(export.Name, outcomeOf(ctx, r, err)).Inc()
	m.duration.WithLabelValues(export.Name).Observe(r.Elapsed.Seconds())
	if err != nil || r.Snapshot == nil {
		return
	}
	for kind, n := range r.Snapshot.Manifest.Resources.Users.Kinds {
		m.changes.WithLabelValues(export.Name, string(kind)).Add(float64(n))
	}
}

// outcomeOf is the journal's word for how a reconcile ended.
func outcomeOf(ctx context.Context, r reconcile.Result, err error) string {
	var held *reconcile.HeldError
	switch {
	case errors.As(err, &held):
		return string(reconcile.Quarantined)
	case err != nil && ctx.Err() != nil:
		return outcomeCancelled
	case err != nil:
		return outcomeFailed
	}
	return string(r.Outcome)
}
