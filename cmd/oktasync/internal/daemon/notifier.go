package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
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
				protect(n.log, func() { n.deliver(ctx, body) })
			case <-n.quit:
				for len(n.queue) > 0 && ctx.Err() == nil {
					protect(n.log, func() { n.deliver(ctx, <-n.queue) })
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
