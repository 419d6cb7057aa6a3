package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
)

// usageError is an error in the command line.
type usageError struct {
	text    string
	command string // for the hint
}

func (e *usageError) Error() string { return e.text }

// Hint returns the hint for hintFor.
func (e *usageError) Hint() string {
	return fmt.Sprintf("see `%s --help`", e.command)
}

// args checks the number of arguments. names are their names in the help.
func args(least, most int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return &usageError{"missing argument: " + strings.Join(strings.Fields(names)[len(args):least], " "), cmd.CommandPath()}
		case len(args) > most && names == "":
			return &usageError{fmt.Sprintf("unexpected argument %s", term.Word(args[most])), cmd.CommandPath()}
		case len(args) > most:
			return &usageError{fmt.Sprintf("unexpected argument %s after %s", term.Word(args[most]), names), cmd.CommandPath()}
		}
		return nil
	}
}

// optional returns the argument at index i, and "" if there is none.
func optional(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

// noArgs is args for a command without arguments.
var noArgs = args(0, 0, "")

// knownCommand returns an error for an argument of a command with subcommands. cobra
// passes an unknown subcommand as an argument.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &usageError{fmt.Sprintf("unknown command %s; %s", term.Word(args[0]), term.Suggestion(args[0], commandsOf(root))), root.CommandPath()}
}

// commandsOf returns the names of the visible subcommands.
func commandsOf(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return names
}

// helpCommand replaces cobra's, which prints the general help for an unknown command.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Print the help of a command",
		Example: "  oktasync help apply\n  oktasync help quarantine release",
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err == nil {
				err = knownCommand(of, rest)
			}
			if err != nil {
				return err
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			of, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return commandsOf(of), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// flagError rewrites pflag's errors.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	var noValue *pflag.ValueRequiredError
	var syntax *pflag.InvalidSyntaxError
	switch {
	case errors.As(err, &noValue):
		f := noValue.GetFlag()
		kind, _ := pflag.UnquoteUsage(f)
		return &usageError{fmt.Sprintf("missing value: --%s %s", f.Name, strings.ToUpper(kind)), cmd.CommandPath()}
	case errors.As(err, &syntax):
		return &usageError{"an argument begins with - and is not a flag", cmd.CommandPath()} // it could be a secret, so it isn't shown
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			return &usageError{fmt.Sprintf("unknown flag -%s", term.Word(name)), cmd.CommandPath()}
		}
		text := "unknown flag --" + term.Word(name)
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := term.Nearest(name, names); near != "" {
			text += "; did you mean --" + near + "?"
		} else if name == "dry-run" {
			text += "; `oktasync plan` prints what apply would change"
		}
		return &usageError{text, cmd.CommandPath()}
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		return &usageError{fmt.Sprintf("--%s %s: must be %s", f.Name, term.Word(invalid.GetValue()), valueOf(f.Value.Type())), cmd.CommandPath()}
	}
	return &usageError{strings.TrimSpace(err.Error()), cmd.CommandPath()}
}

// valueOf describes the values of a type of flag.
func valueOf(kind string) string {
	switch kind {
	case "int", "int64":
		return "a whole number"
	case "duration":
		return "a duration such as 500ms or 2h"
	case "bool":
		return "true or false"
	}
	return "a " + kind
}

// maxReason is how many characters a reason can have: enough for a sentence and
// the number of a ticket.
const maxReason = 1000

// reasonFlag adds the flag --reason to cmd. The text is recorded in places, such as "the
// journal". Before cmd runs, the text is trimmed and checked. If it is missing, the error
// is required; "" means that cmd doesn't need it.
func reasonFlag(cmd *cobra.Command, places, required string) *string {
	reason := cmd.Flags().String("reason", "", "record the reason `TEXT` in "+places)
	cmd.PreRunE = func(*cobra.Command, []string) error {
		blank := *reason != ""
		if *reason = strings.TrimSpace(*reason); *reason != "" {
			return checkReason(*reason)
		}
		switch {
		case required != "":
			return errors.New(required)
		case blank:
			return &usageError{"--reason is empty", cmd.CommandPath()}
		}
		return nil
	}
	return reason
}

// checkReason returns an error if a reason isn't one line of text.
func checkReason(reason string) error {
	switch n := utf8.RuneCountInString(reason); {
	case !utf8.ValidString(reason):
		return errors.New("--reason: is not UTF-8")
	case strings.ContainsFunc(reason, unicode.IsControl):
		return errors.New("--reason: must be one line")
	case n > maxReason:
		return fmt.Errorf("--reason: has %d characters, and at most %d are allowed: name a ticket that has the details", n, maxReason)
	}
	return nil
}

// withNames adds a hint to an error about a name that isn't in s: the nearest names, or the
// command that lists all names.
func withNames(err error, s *snapshot.Snapshot) error {
	notFound, ok := errors.AsType[*access.NotFoundError](err)
	if !ok {
		return err
	}
	near := term.NewClosest(notFound.Text)
	for name, nameErr := range notFound.Names() {
		if nameErr != nil {
			return err
		}
		near.Add(name)
	}
	r := notFound.Resource
	switch names := near.Words(); {
	case len(names) > 0:
		return config.WithHint(err, "did you mean "+strings.Join(names, " or ")+"?")
	case r == snapshot.RoleAssignments:
		return config.WithHint(err, fmt.Sprintf("`oktasync access %s --role all` lists the roles", s.Manifest.Export))
	}
	return config.WithHint(err, fmt.Sprintf("`oktasync show %s@%s %s --columns id,%s` lists the %s", s.Manifest.Export, s.Name(), r.Name, r.Label.Path, r.Name))
}
