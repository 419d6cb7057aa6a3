package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/doctor"
	"oktasync/cmd/oktasync/internal/term"
)

func (a *app) doctorCommand() *cobra.Command {
	var key string
	var users int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the live setup, and print what to change for each failure",
		Long: `Checks everything that a snapshot depends on: configuration, keys, network, the
service app in Okta, its permissions, and the store. For each failure it prints what
to change and where. It skips checks that depend on a failed one, so that it reports
the cause and not its effects.

It changes nothing in Okta, publishes nothing, and leaves nothing in the store. It
requests an access token with the configured scopes, and another one to find out
which other scopes the app has.

--key FILE tests a new client key before you remove the old one. doctor then signs
with FILE instead of okta.private_key_file. It sends the kid in FILE or, if there is
none, the thumbprint of the key: this is the kid that init printed.`,
		Example: `  oktasync doctor
  oktasync doctor --key new-client-key.pem
  oktasync doctor --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context(), key, users, asJSON) },
	}
	cmd.Flags().StringVar(&key, "key", "", "test the client key in `FILE` instead of okta.private_key_file")
	cmd.Flags().IntVar(&users, "people", 0, "the number of people in the Admin Console, to compare with the API")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func (a *app) doctor(ctx context.Context, key string, users int, asJSON bool) error {
	if users < 0 {
		return fmt.Errorf("--people %d: must not be negative", users)
	}
	findings := []doctor.Finding{}
	o := doctor.Options{Load: a.loadForDoctor, Tool: toolVersion(), Hint: hintFor, Key: key, Users: users}
	err := doctor.Run(ctx, o, func(f doctor.Finding) {
		findings = append(findings, f)
		if !asJSON {
			a.printFinding(f)
		}
	})
	if err != nil {
		return err
	}
	if asJSON {
		if err := writeJSON(a.stdout, findings); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.stdout, "\n%s\n", summary(findings))
	}
	if slices.ContainsFunc(findings, func(f doctor.Finding) bool { return f.Status == doctor.Failed }) {
		return exitError{exitFailed}
	}
	return nil
}

// loadForDoctor loads the configuration. The log is empty without --log-level:
// the findings report what it would contain.
func (a *app) loadForDoctor() (*config.Config, *slog.Logger, error) {
	cfg, level, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	if err := checkDaemonFiles(cfg); err != nil {
		return nil, nil, err
	}
	if a.logLevel == "" {
		return cfg, slog.New(slog.DiscardHandler), nil
	}
	return cfg, a.commandLogger(level, cfg.Log.Format), nil
}

// marks are the statuses as text, with their color on a terminal.
var marks = map[string]struct{ text, color string }{
	doctor.OK: {"ok", "32"}, doctor.Warning: {"warning", "33"}, doctor.Failed: {"FAILED", "31"}, doctor.Skipped: {"-", "2"},
}

// printFinding prints a finding, and its remedy on the next line. On a terminal it
// wraps lines, so that they don't continue below the marks.
func (a *app) printFinding(f doctor.Finding) {
	mark := fmt.Sprintf("%-8s", marks[f.Status].text)
	if a.color(a.stdout) {
		mark = "\x1b[" + marks[f.Status].color + "m" + mark + "\x1b[0m"
	}
	io.WriteString(term.Unescaped(a.stdout), mark)
	text := term.SafeLines(f.Seen)
	if f.Remedy != "" {
		text += "\n" + doctor.Places[f.Where] + term.SafeLines(f.Remedy)
	}
	text, below := layOut(text, term.Columns(a.stdout))
	if below {
		fmt.Fprintf(a.stdout, "  %s\n%s\n", f.ID, text)
	} else {
		fmt.Fprintf(a.stdout, "  %-16s%s\n", f.ID, text)
	}
}

// layOut wraps a text at columns, with a margin for marks and IDs; 0 columns: no
// wrapping. If too few columns are left, the text begins on the next line.
func layOut(text string, columns int) (lines string, below bool) {
	const margin, minColumns = 26, 30
	indent := margin
	if columns > 0 {
		if below = columns-margin < minColumns; below {
			indent = 4
		}
		text = wrapLines(text, max(columns-1-indent, 1))
	}
	blank := strings.Repeat(" ", indent)
	text = strings.ReplaceAll(text, "\n", "\n"+blank)
	if below {
		text = blank + text
	}
	return text, below
}

// wrapLines is term.Wrap for a text of several lines.
func wrapLines(text string, most int) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = term.Wrap(strings.Fields(line), most)
	}
	return strings.Join(lines, "\n")
}

func summary(findings []doctor.Finding) string {
	count := map[string]int{}
	for _, f := range findings {
		count[f.Status]++
	}
	text := "nothing failed"
	if n := count[doctor.Failed]; n > 0 {
		text = term.Plural(n, "check") + " failed"
	} else if count[doctor.OK] == len(findings) {
		return "all is well"
	}
	if n := count[doctor.Warning]; n > 0 {
		text += ", " + term.Plural(n, "warning")
	}
	if n := count[doctor.Skipped]; n > 0 {
		text += fmt.Sprintf(", %d not checked", n)
	}
	return text
}
