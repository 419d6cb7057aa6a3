package dpopauth_test

import (
	"io"
	"log/slog"
	"sync"
)

func debugLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// A journal is a log that goroutines share.
type journal struct {
	mu   sync.Mutex
	text []byte
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(j.text, p...)
	return len(p), nil
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.text)
}

// A writer is a log that does something meanwhile.
type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
