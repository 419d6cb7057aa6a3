package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/reconcile/snapshot"
)

// message is the body of a notification. Chat services show its text. It contains no
// data of users.
type message struct {
	Text           string     `json:"text"`
	Event          string     `json:"event"` // one of config.Events
	Export         string     `json:"export"`
	Org            string     `json:"org"`
	Host           string     `json:"host"`
	Time           time.Time  `json:"time"`
	Since          *time.Time `json:"since,omitempty"` // of the state, unless it is up to date
	Snapshot       string     `json:"snapshot,omitempty"`
	Sequence       int        `json:"sequence,omitempty"`
	ManifestSHA256 string     `json:"manifest_sha256,omitempty"`
	Head           string     `json:"head,omitempty"` // of the export, when the message was created
	Error          string     `json:"error,omitempty"`
}

// notifier sends messages to one URL, one after another. It drops a message after
// maxTries.
type notifier struct {
	field     string // the configuration key; the URL is a secret
	url       string
	on        []string // the events to send; empty: all except published
	log       *slog.Logger
	count     func(outcome string)
	userAgent string
	client    *http.Client
	queue     chan []byte // nil is a heartbeat, sent with GET
	quit      chan struct{}
	done      sync.WaitGroup
}

const (
	queueLength = 64
	maxTries    = 6
	firstWait   = time.Second // doubled for each further try
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

// enqueue queues a body. It drops the body if the queue is full.
func (n *notifier) enqueue(body []byte) {
	select {
	case n.queue <- body:
	default:
		n.count("dropped")
	}
}

// start sends queued messages until stop is called.
func (n *notifier) start() {
	ctx, cancel := context.WithCancel(context.Background())
	n.done.Go(func() {
		defer cancel()
		for {
			select {
			case body := <-n.queue:
				n.deliver(ctx, body)
			case <-n.quit:
				for len(n.queue) > 0 && ctx.Err() == nil {
					n.deliver(ctx, <-n.queue)
				}
				return
			}
		}
	})
	n.done.Go(func() { // after stop, queued messages have 3 s
		<-n.quit
		select {
		case <-ctx.Done():
		case <-time.After(3 * time.Second):
			cancel()
		}
	})
}

func (n *notifier) stop() {
	close(n.quit)
	n.done.Wait()
}

func (n *notifier) deliver(ctx context.Context, body []byte) {
	var err error
	for try := range maxTries {
		if try > 0 && !wait(ctx, firstWait<<(try-1)) {
			break
		}
		var retry bool
		if retry, err = n.send(ctx, body); err == nil {
			n.count("sent")
			return
		}
		if !retry {
			break
		}
	}
	n.count("failed")
	n.log.Warn("message not delivered", "to", n.field, "err", err)
}

// send sends one request, and reports whether to retry after an error.
func (n *notifier) send(ctx context.Context, body []byte) (retry bool, err error) {
	method, content := http.MethodPost, io.Reader(bytes.NewReader(body))
	if body == nil {
		method, content = http.MethodGet, nil
	}
	req, err := http.NewRequestWithContext(ctx, method, n.url, content)
	if err != nil {
		return false, errors.New("invalid URL")
	}
	req.Header.Set("User-Agent", n.userAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := n.client.Do(req)
	if withURL := (*url.Error)(nil); errors.As(err, &withURL) {
		err = withURL.Err // the URL is a secret
	}
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), `"`) // net/http quotes a malformed response
		return true, errors.New(strings.TrimRight(text, ": "))
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return false, nil
	default:
		return code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout, fmt.Errorf("status %d", code)
	}
}

// wait waits for d. It returns false if ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
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
	case "unsettled":
		return fmt.Sprintf("has snapshot %s, which is not settled: %s", m.Snapshot, report.Unsettled)
	}
	if m.Error == "" {
		return m.Event
	}
	return m.Event + ": " + m.Error
}

// notified contains what was notified of each export, by the path of the export.
type notified struct {
	mu        sync.Mutex
	states    map[string]State
	published map[string]string // the newest snapshot
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
