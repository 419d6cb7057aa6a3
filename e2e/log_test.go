package e2e

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// A reconcile leaves one line in the log, with all that is worth knowing of how
// it ended. Beside them there is one for each token.
func TestRunLogsOneLineForEachReconcile(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 20, Seed: 132})
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
	until("reading quarantined")
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until("daemon stopped")

	const token = "INFO token fetched: lifetime reason"
	ends := map[string]string{ // in the journal, by a line's level, message and keys
		"INFO snapshot published: added changed elapsed export manifest_sha256 path pruned removed requests sequence snapshot users": "published",
		"INFO snapshot unchanged: added changed elapsed export removed requests users":                                               "unchanged",
		"ERROR reconcile failed: elapsed err export":                                                                                 "failed",
		"ERROR reading quarantined: added changed elapsed err export removed requests snapshot users":                                "quarantined",
		"WARN reconcile cancelled: elapsed export":                                                                                   "cancelled",
		"WARN reconcile cancelled: added changed elapsed export removed requests users":                                              "cancelled",
	}
	logged, tokens := make(map[string]int), 0
	for _, line := range lines[:len(lines)-1] {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		what := entry["level"].(string) + " " + entry["msg"].(string) + ":"
		for _, key := range []string{"time", "level", "msg"} {
			delete(entry, key)
		}
		what += " " + strings.Join(slices.Sorted(maps.Keys(entry)), " ")
		if what == token {
			tokens++
		} else if logged[ends[what]]++; ends[what] == "" {
			t.Errorf("%s\nin a line of its own", line)
		}
	}
	journal := read(t, filepath.Join(s.dir, "snapshots", "all-users", "journal.ndjson"))
	for _, end := range ends {
		if want := strings.Count(journal, `"event":"`+end+`"`); logged[end] != want || want == 0 && end != "cancelled" {
			t.Errorf("%d lines of %d reconciles that are %s", logged[end], want, end)
		}
	}
	if want := s.org.Stats().Grants; tokens != want || want == 0 {
		t.Errorf("%d lines of %d tokens", tokens, want)
	}
}
