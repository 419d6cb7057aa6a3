package e2e

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// The log is lines with colours on a terminal, and JSON in a pipe.
func TestLogIsForWhoeverReadsIt(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 10, Seed: 131})
	shown := s.record(t, 200, 50, "apply", "--log-level", "info").bytes.String()
	if !regexp.MustCompile(`\x1b\[[0-9;]+mINF\x1b\[0m token fetched`).MatchString(shown) {
		t.Errorf("a terminal shows %q", shown)
	}
	for line := range strings.Lines(s.must(t, 0, "apply", "--log-level", "info").stderr) {
		var entry struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level != "INFO" || entry.Msg == "" {
			t.Errorf("a pipe has %q", line)
		}
	}
}
