package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// The daemon logs one line for each reconcile, with the data of its outcome, and
// one line for each token.
func TestDaemonLog(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 20, Seed: 132})
	d := s.start(t, everySecond+"    retry: {most: 0}\n    snapshot: on_change\n")
	var lines []string
	until := func(text string) {
		for line := range d.logs {
			if lines = append(lines, line); strings.Contains(line, text) {
				return
			}
		}
		t.Fatalf("no %q in\n%s", text, strings.Join(lines, "\n"))
	}
	until("snapshot published")
	until("snapshot unchanged")
	s.org.Inject(sandbox.Fault{Forever: true, Status: 403, Code: "E0000006"})
	until("reconcile failed")
	s.org.ClearFaults()
	s.org.Wipe()
	until("read quarantined")
	d.signal(syscall.SIGTERM)
	until("daemon stopped")

	const token = "INFO token fetched: lifetime reason"
	events := map[string]string{ // the journal's event, by the level, message and keys of the log line
		"INFO snapshot published: added changed elapsed export head manifest_sha256 path pruned removed requests sequence snapshot users": "published",
		"INFO snapshot unchanged: added changed elapsed export removed requests users":                                                    "unchanged",
		"ERROR reconcile failed: elapsed err export":                                                                                      "failed",
		"ERROR read quarantined: added changed elapsed err export removed requests snapshot users":                                        "quarantined",
		"WARN reconcile cancelled: elapsed export":                                                                                        "cancelled",
		"WARN reconcile cancelled: added changed elapsed export removed requests users":                                                   "cancelled",
	}
	logged, tokens := make(map[string]int), 0
	for _, line := range lines[:len(lines)-1] {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		form := entry["level"].(string) + " " + entry["msg"].(string) + ":"
		for _, key := range []string{"time", "level", "msg"} {
			delete(entry, key)
		}
		form += " " + strings.Join(slices.Sorted(maps.Keys(entry)), " ")
		if form == token {
			tokens++
		} else if logged[events[form]]++; events[form] == "" {
			t.Errorf("unexpected line: %s", line)
		}
	}
	journal := s.journal(t)
	for _, event := range events {
		if want := strings.Count(journal, `"event":"`+event+`"`); logged[event] != want || want == 0 && event != "cancelled" {
			t.Errorf("%d lines for %d reconciles with the event %s", logged[event], want, event)
		}
	}
	if want := s.org.Stats().Grants; tokens != want || want == 0 {
		t.Errorf("%d lines for %d tokens", tokens, want)
	}
}

// In a pipe, standard error has one format: text for a command, as in a mail of
// cron, and JSON lines for the daemon or with log.format json.
func TestStandardErrorInAPipeHasOneFormat(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 20, Seed: 132})
	check(t, os.Mkdir(s.path("snapshots"), 0o700))
	check(t, os.WriteFile(s.path("snapshots", "other"), nil, 0o600)) // not a store: run fails
	for _, test := range []struct {
		command, more string
		json          bool
	}{
		{"plan", "", false}, {"plan", "log: {format: json}\n", true}, {"run", "", true}, {"run", "log: {format: text}\n", false},
	} {
		s.org.ClearFaults()
		s.org.Inject(sandbox.Fault{Nth: 1, Status: 503})
		s.org.Inject(sandbox.Fault{Nth: 2, Forever: true, Status: 403, Code: "E0000006"})
		write(t, s.path("oktasync.yaml"), s.config(test.more))
		r := s.must(t, 1, test.command, "--log-level", "debug")
		for line := range strings.Lines(r.stderr) {
			if json.Valid([]byte(line)) != test.json {
				t.Errorf("%s with %q: %s", test.command, test.more, line)
			}
		}
		if strings.Count(r.stderr, "\n") < 2 && test.command == "plan" { // the retry, and the error
			t.Errorf("%s with %q: %s", test.command, test.more, r.stderr)
		}
	}
}
