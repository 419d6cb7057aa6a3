package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
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

func TestEveryCommandTeachesAndCompletes(t *testing.T) {
	arguments := argumentsOf()
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.HasParent() && !strings.Contains(cmd.Example, "  "+cmd.CommandPath()) {
			t.Errorf("%s: short %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Example)
		}
		_, path, _ := strings.Cut(cmd.CommandPath(), " ")
		if takes := strings.Contains(cmd.Use, "EXPORT"); takes != (arguments[path] != nil) {
			t.Errorf("%s: it takes exports: %t, it completes them: %t", cmd.Use, takes, !takes)
		}
		for _, c := range cmd.Commands() {
			check(c)
		}
	}
	check((&app{}).rootCommand())
}
