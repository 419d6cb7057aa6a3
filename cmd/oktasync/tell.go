package main

import (
	"bytes"
	"cmp"
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
	"oktasync/reconcile"
)

// message is what daemon.notify posts: facts for programs and a line for
// people, under the name that chats expect. It has nothing of any user.
type message struct {
	Text           string     `json:"text"`
	Event          string     `json:"event"` // one of notifiable
	Export         string     `json:"export"`
	Org            string     `json:"org"`
	Host           string     `json:"host"`
	Time           time.Time  `json:"time"`
	Since          *time.Time `json:"since,omitempty"` // of a state that is not fresh
	Snapshot       string     `json:"snapshot,omitempty"`
	Sequence       int        `json:"sequence,omitempty"`
	ManifestSHA256 string     `json:"manifest_sha256,omitempty"`
	Error          string     `json:"error,omitempty"`
}

// teller sends to one address, one message after the other. What can't be sent
// for a while is given up: who must know for certain watches the heartbeat.
type teller struct {
	field  string // of the configuration; the address is a secret
	url    string
	on     []string // empty: everything
	log    *slog.Logger
	metric func(outcome string)
	client *http.Client
	queue  chan []byte // nil bytes are a heartbeat, which is fetched
	quit   chan struct{}
	done   sync.WaitGroup
}

const (
	tellQueue = 64
	tellTries = 6
	firstWait = time.Second // doubled for each further try
)

// tellers are those that cfg asks for, and its heartbeat, which may be nil.
func (d *daemon) tellers(cfg *config.Config) (notify []*teller, heartbeat *teller, err error) {
	for i, n := range cfg.Daemon.Notify {
		address, err := config.NotifyAddress(i, n)
		if err != nil {
			return nil, nil, err
		}
		notify = append(notify, d.teller(config.NotifyField(i), address, n.On))
	}
	if address := cfg.Daemon.HeartbeatURL; address != "" {
		heartbeat = d.teller("daemon.heartbeat_url", address, nil)
	}
	return notify, heartbeat, nil
}

func (d *daemon) teller(field, address string, on []string) *teller {
	return &teller{
		field: field, url: address, on: on, log: d.log,
		metric: func(outcome string) { d.metrics.messages.WithLabelValues(field, outcome).Inc() },
		client: &http.Client{
			Timeout:       10 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		queue: make(chan []byte, tellQueue), quit: make(chan struct{}),
	}
}

// tell queues a body, or drops it where too many are waiting.
func (t *teller) tell(body []byte) {
	select {
	case t.queue <- body:
	default:
		t.metric("dropped")
	}
}

// start sends what is queued until stop is called.
func (t *teller) start() {
	ctx, cancel := context.WithCancel(context.Background())
	t.done.Go(func() {
		defer cancel()
		for {
			select {
			case body := <-t.queue:
				t.deliver(ctx, body)
			case <-t.quit:
				for len(t.queue) > 0 && ctx.Err() == nil {
					t.deliver(ctx, <-t.queue)
				}
				return
			}
		}
	})
	t.done.Go(func() { // what is waiting has a moment left
		<-t.quit
		select {
		case <-ctx.Done():
		case <-time.After(3 * time.Second):
			cancel()
		}
	})
}

func (t *teller) stop() {
	close(t.quit)
	t.done.Wait()
}

func (t *teller) deliver(ctx context.Context, body []byte) {
	var err error
	for try := range tellTries {
		if try > 0 && !wait(ctx, firstWait<<(try-1)) {
			break
		}
		var again bool
		if again, err = t.send(ctx, body); err == nil {
			t.metric("sent")
			return
		}
		if !again {
			break
		}
	}
	t.metric("failed")
	t.log.Warn("message not delivered", "to", t.field, "err", err)
}

// send sends once, and says whether an error may pass.
func (t *teller) send(ctx context.Context, body []byte) (again bool, err error) {
	method, content := http.MethodPost, io.Reader(bytes.NewReader(body))
	if body == nil {
		method, content = http.MethodGet, nil
	}
	req, err := http.NewRequestWithContext(ctx, method, t.url, content)
	if err != nil {
		return false, errors.New("no address to send to")
	}
	req.Header.Set("User-Agent", org.UserAgent(toolVersion()))
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := t.client.Do(req)
	if withURL := (*url.Error)(nil); errors.As(err, &withURL) {
		err = withURL.Err // without the address
	}
	if err != nil {
		return true, err
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

// wait waits for d and reports whether ctx still goes on.
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

// tell sends a message to all that want its event.
func (s *service) tell(m message) {
	m.Time, m.Org = time.Now().UTC().Truncate(time.Millisecond), s.cfg.Okta.OrgURL
	m.Host, _ = os.Hostname()
	m.Text = "oktasync: " + m.Export + " " + m.text()
	body, err := json.Marshal(m)
	if err != nil {
		s.log.Error("message not made", "err", err)
		return
	}
	for _, t := range s.notify {
		if len(t.on) == 0 || slices.Contains(t.on, m.Event) {
			t.tell(body)
		}
	}
}

func (m message) text() string {
	switch m.Event {
	case "published":
		return fmt.Sprintf("has snapshot %s, sequence %d, manifest %s", m.Snapshot, m.Sequence, m.ManifestSHA256)
	case "recovered":
		return "is fresh again"
	case "overdue":
		return "is overdue since " + m.Since.Format(time.RFC3339)
	}
	return cmp.Or(strings.TrimSpace(m.Event+" "+m.Error), m.Event)
}

// tellResult tells of a reconcile that ended well; how an export stands after
// any other is for tellStates.
func (s *service) tellResult(export string, r reconcile.Result, err error) {
	if err != nil {
		return
	}
	if r.Snapshot != nil {
		s.tell(message{Event: "published", Export: export, Snapshot: r.Snapshot.Name(),
			Sequence: r.Snapshot.Manifest.Sequence, ManifestSHA256: r.Snapshot.Digest})
	}
	if s.heartbeat != nil {
		s.heartbeat.tell(nil)
	}
}

// told remembers which state of each export was last told of.
type told struct {
	mu     sync.Mutex
	states map[string]state
}

// tellStates tells of each export whose state has changed since it was last
// told of: once, however many reconciles fail. The first look at an export only
// notes the state: a restart is no news.
func (s *service) tellStates() {
	s.told.mu.Lock()
	defer s.told.mu.Unlock()
	for _, export := range s.cfg.Exports {
		h := s.health(export)
		before, known := s.told.states[export.Name]
		s.told.states[export.Name] = h.State
		if !known || before == h.State {
			continue
		}
		m := message{Event: eventOf[h.State], Export: export.Name, Error: h.Reason}
		if !h.Since.IsZero() {
			since := h.Since.UTC()
			m.Since = &since
		}
		s.tell(m)
	}
}

var eventOf = map[state]string{
	stateFresh: "recovered", stateFailing: "failed", stateDamaged: "failed", stateUnknown: "failed", stateQuarantined: "quarantined", stateOverdue: "overdue",
}
