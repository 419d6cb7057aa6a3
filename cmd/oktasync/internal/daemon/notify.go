package daemon

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/reconcile/snapshot"
)

// newNotifiers returns the notifiers of cfg, and its heartbeat, which may be nil.
func (d *daemon) newNotifiers(cfg *config.Config) (notifiers []*notifier, heartbeat *notifier, err error) {
	for i, n := range cfg.Daemon.Notify {
		address, err := cfg.NotifyURL(i)
		if err != nil {
			return nil, nil, err
		}
		notifiers = append(notifiers, d.newNotifier(config.NotifyField(i), address, n.On))
	}
	if address := cfg.Daemon.HeartbeatURL; address != "" {
		heartbeat = d.newNotifier("daemon.heartbeat_url", address, nil)
	}
	return notifiers, heartbeat, nil
}

func (d *daemon) newNotifier(field, address string, on []string) *notifier {
	return &notifier{
		field: field, url: address, on: on, log: d.log, userAgent: org.UserAgent(d.Tool),
		count: func(outcome string) { d.metrics.Message(field, outcome) },
		client: &http.Client{
			Timeout:       10 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		queue: make(chan []byte, queueLength), quit: make(chan struct{}),
	}
}

// notify queues a message for all notifiers of its event.
func (s *service) notify(m message) {
	m.Time, m.Org = time.Now().UTC().Truncate(time.Millisecond), s.cfg.Okta.OrgURL
	m.Host, _ = os.Hostname()
	m.Text = "oktasync: " + m.Export + " " + m.text()
	body, err := json.Marshal(m)
	if err != nil {
		s.log.Error("message not encoded", "err", err)
		return
	}
	for _, n := range s.notifiers {
		if slices.Contains(n.on, m.Event) || len(n.on) == 0 && m.Event != "published" {
			n.enqueue(body)
		}
	}
}

func (m message) text() string {
	switch m.Event {
	case "published":
		return fmt.Sprintf("has snapshot %s, sequence %d, manifest %s, head %s", m.Snapshot, m.Sequence, m.ManifestSHA256, m.Head)
	case "recovered":
		return "is up to date again"
	case "overdue":
		return "has been overdue since " + m.Since.Format(time.RFC3339)
	case "unreconciled":
		return fmt.Sprintf("has snapshot %s, which is not reconciled: %s", m.Snapshot, m.Error)
	case "privileged":
		return fmt.Sprintf("has snapshot %s: %s; to see them: oktasync diff %s role_assignments", m.Snapshot, m.Error, m.Export)
	case "unsettled":
		return fmt.Sprintf("has snapshot %s, which is not settled: %s", m.Snapshot, report.Unsettled)
	}
	if m.Error == "" {
		return m.Event
	}
	return m.Event + ": " + m.Error
}

// notifyChanges notifies of new snapshots and new states, also if another process
// caused them. It only records the first snapshot and state of an export, so that a
// restart sends nothing.
func (s *service) notifyChanges() {
	s.notified.mu.Lock()
	defer s.notified.mu.Unlock()
	for _, export := range s.cfg.Exports {
		path := s.store.Path(export.Name)
		if history, err := s.histories.get(s.store, export.Name); err == nil {
			last, known := s.notified.published[path]
			s.notified.published[path] = history.LastPublished.Snapshot
			if known {
				s.notifyPublished(export.Name, history.Recent, last)
			}
		}
		h := s.health(export)
		before, known := s.notified.states[path]
		s.notified.states[path] = h.State
		if !known || before == h.State {
			continue
		}
		m := message{Event: stateEvents[h.State], Export: export.Name, Error: h.Reason}
		if !h.Since.IsZero() {
			since := h.Since.UTC()
			m.Since = &since
		}
		s.notify(m)
	}
}

// notifyPublished counts the changes of the snapshots after last, and notifies of them.
func (s *service) notifyPublished(export string, events []snapshot.Event, last string) {
	for i, e := range slices.Backward(events) {
		if e.Event == snapshot.EventPublished && e.Snapshot == last {
			events = events[i+1:]
			break
		}
	}
	for _, e := range events {
		if e.Event != snapshot.EventPublished {
			continue
		}
		m := message{Event: "published", Export: export, Snapshot: e.Snapshot, ManifestSHA256: e.ManifestSHA256}
		if c, err := s.store.Checkpoint(export); err == nil {
			m.Head = c.Head().String()
		}
		manifest, err := s.store.Manifest(export, e.Snapshot)
		if err != nil {
			s.notify(m)
			continue // pruned or damaged meanwhile
		}
		for resource, counts := range manifest.Resources {
			for kind, n := range counts.Kinds {
				s.metrics.Changes(export, resource, string(kind), n)
			}
		}
		m.Sequence = manifest.Sequence
		s.notify(m)
		if text := report.RoleChanges(manifest.Resources); text != "" {
			changed := m
			changed.Event, changed.Error = "privileged", text
			s.notify(changed)
		}
		if !manifest.Read.Settled {
			m.Event = "unsettled"
			s.notify(m)
		}
		if why := report.Unreconciled(manifest.Control); why != "" {
			m.Event, m.Error = "unreconciled", why
			s.notify(m)
		}
	}
}

// stateEvents are the events of state changes.
var stateEvents = map[State]string{
	StateUpToDate: "recovered", StateFailing: "failed", StateUnknown: "failed", StateQuarantined: "quarantined", StateOverdue: "overdue",
	StateDamaged: "damaged",
}
