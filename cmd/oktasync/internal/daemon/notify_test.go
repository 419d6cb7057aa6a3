package daemon

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

// The URL of a notification is a secret, also in errors.
func TestUndeliveredMessageShowsNoURL(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close() // so that connections fail
	var log bytes.Buffer
	outcomes := []string{}
	n := &notifier{
		field: "daemon.notify[0].url_file", url: "http://" + ln.Addr().String() + "/hooks/s3cret", client: &http.Client{},
		log: slog.New(slog.NewTextHandler(&log, nil)), count: func(outcome string) { outcomes = append(outcomes, outcome) },
	}
	if retry, err := n.send(t.Context(), nil); err == nil || !retry || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("send = %t, %v, want an error to retry, without the URL", retry, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no retries
	n.deliver(ctx, []byte("{}"))
	if text := log.String(); !strings.Contains(text, n.field) || strings.Contains(text, "s3cret") || len(outcomes) != 1 || outcomes[0] != "failed" {
		t.Errorf("outcomes %q, log: %s, want one failure that names the field and not the URL", outcomes, text)
	}
}
