package e2e

import (
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// A guard that trips says whom it is about: ten of them and how many more, with
// the command to look, on the terminal of who asks and nowhere that is kept.
func TestGuardNamesPeopleOnATerminalOnly(t *testing.T) {
	s := newTestSite(t, sandbox.Config{Users: 80, Seed: 93})
	s.must(t, 0, "apply")
	s.org.Delete(30)
	s.org.Deactivate(12)

	master, slave := openTerminal(t, 120, 40)
	cmd := s.command(t.Context(), "apply")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	said, _ := io.ReadAll(master) // ends with EIO when the last slave is closed
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("apply ended with %v", err)
	}
	named := regexp.MustCompile(`(?m)^  [-~] (deleted|deactivated) +\S+@\S+`)
	if n := len(named.FindAll(said, -1)); n != 10 {
		t.Errorf("%d people are named, want 10:\n%s", n, said)
	}
	if want := regexp.MustCompile("… and 32 more; `oktasync quarantine diff all-users@[0-9TZ]+` shows everything"); !want.Match(said) {
		t.Errorf("apply lacks %q:\n%s", want, said)
	}

	address := regexp.MustCompile(`\S+@\S+\.\S+`)
	if r := s.must(t, 3, "apply"); address.MatchString(r.stderr) || r.stdout != "" {
		t.Errorf("without a terminal somebody is named:\n%s%s", r.stdout, r.stderr)
	}
	if journal := read(t, filepath.Join(s.dir, "snapshots", "all-users", "journal.ndjson")); address.MatchString(journal) {
		t.Errorf("the journal names somebody:\n%s", journal)
	}
	plan := s.must(t, 3, "plan", "--detailed-exitcode").stdout
	_, guard, _ := strings.Cut(plan, "Guard: ")
	if n := len(named.FindAllString(guard, -1)); n != 10 || !strings.Contains(guard, "… and 32 more; `oktasync plan all-users --json`") {
		t.Errorf("plan names %d people after the guard's word, want 10:\n%s", n, guard)
	}
}
