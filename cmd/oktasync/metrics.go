package main

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"oktasync/reconcile"
)

// metrics are what /metrics serves, on a registry of their own. Labels have few
// and fixed values: the exports declared, outcomes, statuses and kinds.
type metrics struct {
	registry       *prometheus.Registry
	reconciles     *prometheus.CounterVec
	duration       *prometheus.HistogramVec
	requests       *prometheus.CounterVec
	users          *prometheus.GaugeVec
	changes        *prometheus.CounterVec
	lastSuccess    *prometheus.GaugeVec
	verifyProblems prometheus.Gauge
	reloadOK       prometheus.Gauge
	reloadTime     prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		reconciles: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oktasync_reconciles_total", Help: "Reconciles ended, by outcome.",
		}, []string{"export", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "oktasync_reconcile_duration_seconds", Help: "How long reconciles took.",
			Buckets: []float64{1, 5, 15, 60, 300, 900, 3600, 7200},
		}, []string{"export"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oktasync_requests_total", Help: "Requests made by finished readings.",
		}, []string{"export"}),
		users: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "oktasync_users", Help: "Users in the last published snapshot, by Okta's status.",
		}, []string{"export", "status"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oktasync_changes_total", Help: "Changes published, by kind.",
		}, []string{"export", "kind"}),
		lastSuccess: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "oktasync_last_success_timestamp_seconds", Help: "When a reconcile last ended well.",
		}, []string{"export"}),
		verifyProblems: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oktasync_verify_problems", Help: "Problems that the last check of the store found.",
		}),
		reloadOK: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oktasync_config_last_reload_successful", Help: "1 where the last reading of the configuration went well, 0 where not.",
		}),
		reloadTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oktasync_config_last_reload_success_timestamp_seconds", Help: "When the configuration in use was read.",
		}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "oktasync_build_info", Help: "The program that runs.",
	}, []string{"version", "commit"})
	build.WithLabelValues(toolVersion().Version, toolVersion().Commit).Set(1)
	m.registry.MustRegister(m.reconciles, m.duration, m.requests, m.users, m.changes, m.lastSuccess, m.verifyProblems, m.reloadOK, m.reloadTime, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
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

// observe counts one reconcile of the daemon.
func (m *metrics) observe(ctx context.Context, export string, r reconcile.Result, err error) {
	m.reconciles.WithLabelValues(export, outcomeOf(ctx, r, err)).Inc()
	m.duration.WithLabelValues(export).Observe(r.Elapsed.Seconds())
	if r.Plan != nil {
		m.requests.WithLabelValues(export).Add(float64(r.Plan.Requests()))
	}
	if err != nil {
		return
	}
	m.lastSuccess.WithLabelValues(export).Set(float64(time.Now().Unix()))
	if r.Snapshot == nil {
		return
	}
	users := r.Snapshot.Manifest.Resources.Users
	m.users.DeletePartialMatch(prometheus.Labels{"export": export}) // a status that nobody has any more
	for status, n := range users.ByStatus {
		m.users.WithLabelValues(export, status).Set(float64(n))
	}
	for kind, n := range users.Kinds {
		m.changes.WithLabelValues(export, string(kind)).Add(float64(n))
	}
}

// outcomeOf is the journal's word for how a reconcile ended.
func outcomeOf(ctx context.Context, r reconcile.Result, err error) string {
	var held *reconcile.HeldError
	switch {
	case errors.As(err, &held):
		return string(reconcile.Quarantined)
	case err != nil && ctx.Err() != nil:
		return "cancelled"
	case err != nil:
		return "failed"
	}
	return string(r.Outcome)
}
