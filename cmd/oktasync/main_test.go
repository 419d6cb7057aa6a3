package main

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
)

// panics is a writer whose method panics.
type panics struct{}

func (panics) Write([]byte) (int, error) { panic("secret@example.com") }

func TestPanicPrintsOneLine(t *testing.T) {
	var stderr bytes.Buffer
	status := run(t.Context(), []string{"version"}, panics{}, &stderr)
	got := stderr.String()
	if status != exitFailed || strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "oktasync: error: internal error: ") {
		t.Errorf("status %d, stderr %q", status, got)
	}
	if strings.Contains(got, "secret") {
		t.Errorf("the output contains the value of the panic: %q", got)
	}
}

// full is a writer to a full disk.
type full struct{}

func (full) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
}

// A write error of standard output is an error of every command.
func TestIncompleteOutput(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{{"version"}, {"version", "--json"}, {"--help"}, {"help", "apply"}, {"completion", "bash"}, {"init"}, {"doctor"}} {
		var stderr bytes.Buffer
		status := run(t.Context(), args, full{}, &stderr)
		const want = "oktasync: error: standard output is incomplete: no space left on device\n"
		if status != exitFailed || strings.Count(stderr.String(), "error: ") != 1 || !strings.HasSuffix(stderr.String(), want) {
			t.Errorf("%q: status %d, stderr %q", args, status, stderr.String())
		}
	}
}

func TestEveryCommandHasAnExampleAndCompletions(t *testing.T) {
	arguments := argumentsOf()
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.HasParent() && !strings.Contains(cmd.Example, "  "+cmd.CommandPath()) {
			t.Errorf("%s: short %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Example)
		}
		_, path, _ := strings.Cut(cmd.CommandPath(), " ")
		if takes := strings.Contains(cmd.Use, "EXPORT"); takes != (arguments[path] != nil) {
			t.Errorf("%s: accepts exports: %t, completes exports: %t", cmd.Use, takes, !takes)
		}
		for _, c := range cmd.Commands() {
			check(c)
		}
	}
	check((&app{}).rootCommand())
}
