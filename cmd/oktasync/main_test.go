package main

import (
	"bytes"
	"strings"
	"testing"
)

// panics is a standard output on which everything panics.
type panics struct{}

func (panics) Write([]byte) (int, error) { panic("secret@example.com") }

func TestPanicIsOneLineAndStatusOne(t *testing.T) {
	var stderr bytes.Buffer
	status := run(t.Context(), []string{"version"}, panics{}, &stderr)
	got := stderr.String()
	if status != exitFailed || strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "oktasync: error: internal error: ") {
		t.Errorf("status %d, stderr %q", status, got)
	}
	if strings.Contains(got, "secret") {
		t.Errorf("the value of the panic shows: %q", got)
	}
}

func TestEveryCommandTeaches(t *testing.T) {
	root := (&app{}).rootCommand()
	for _, cmd := range root.Commands() {
		if cmd.Short == "" || cmd.Example == "" || !strings.Contains(cmd.Example, "oktasync "+cmd.Name()) {
			t.Errorf("%s: short %q, example %q", cmd.Name(), cmd.Short, cmd.Example)
		}
	}
}
