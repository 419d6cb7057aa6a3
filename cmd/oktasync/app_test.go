package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// A log for people contains no escape sequences except its own colors.
func TestLogShowsEscapes(t *testing.T) {
	var got bytes.Buffer
	log := newLogger(&got, slog.LevelInfo, "text", true)
	log.Info("store checked", "finding", "a\x1b[2J", "err", errors.New("\x1b]0;x\x07"))
	for _, c := range []string{"\x1b[2J", "\x1b]", "\x07"} {
		if strings.Contains(got.String(), c) {
			t.Errorf("a log line has %q: %q", c, got.String())
		}
	}
	if !strings.Contains(got.String(), "\u241b[2J") {
		t.Errorf("a log line does not show its finding: %q", got.String())
	}
}
