package oktaclient

import (
	"errors"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"
)

// failureLog selects the level of failed attempts in the log. In an outage, all attempts
// fail in the same way: one warning per kind of failure and minute is enough.
type failureLog struct {
	mu     sync.Mutex
	warned map[string]failureWarning // by kind
}

type failureWarning struct {
	at       time.Time
	repeated int // failures since then
}

// add returns the level of a failure at now, and the number of failures of its kind
// since the last warning.
func (f *failureLog) add(failure *Error, now time.Time) (level slog.Level, repeated int) {
	kind := failure.Class()
	if lookup := (*net.DNSError)(nil); errors.As(failure, &lookup) {
		kind = "lookup" // not the same as a server that can't be reached
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.warned[kind]
	if now.Sub(last.at) < time.Minute {
		last.repeated++
		f.warned[kind] = last
		return slog.LevelDebug, last.repeated
	}
	maps.DeleteFunc(f.warned, func(_ string, w failureWarning) bool { // the server chooses the kinds
		return now.Sub(w.at) >= time.Hour || now.Sub(w.at) >= time.Minute && w.repeated == 0
	})
	f.warned[kind] = failureWarning{at: now}
	return slog.LevelWarn, last.repeated
}
