package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"oktasync/cmd/oktasync/internal/term"
)

// usageError is a command line that can't be meant.
type usageError struct {
	text    string
	command string // whose --help tells more
}

func (e *usageError) Error() string { return e.text }

// Hint implements what hintFor looks for.
func (e *usageError) Hint() string {
	return fmt.Sprintf("`%s --help` has the options and an example", e.command)
}

// args checks the number of arguments; what names them for people.
func args(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return &usageError{"missing argument: " + strings.Join(strings.Fields(what)[len(args):least], " "), cmd.CommandPath()}
		case len(args) > most && what == "":
			return &usageError{fmt.Sprintf("unexpected argument %s", term.Word(args[most])), cmd.CommandPath()}
		case len(args) > most:
			return &usageError{fmt.Sprintf("unexpected argument %s after %s", term.Word(args[most]), what), cmd.CommandPath()}
		}
		return nil
	}
}

// noArgs is args for a command that takes none.
var noArgs = args(0, 0, "")

// knownCommand is the check of the root's arguments, of which there are none but
// misspelt commands.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &usageError{fmt.Sprintf("unknown command %s; %s", term.Word(args[0]), term.Suggestion(args[0], commandsOf(root))), root.CommandPath()}
}

// commandsOf are the commands below one, for people.
func commandsOf(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return names
}

// helpCommand stands in for cobra's, which shows what there is in general for a
// command that there is not.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Help about any command",
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

// flagError puts what is wrong with a flag into people's words.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	var bare *pflag.ValueRequiredError
	var odd *pflag.InvalidSyntaxError
	switch {
	case errors.As(err, &bare):
		f := bare.GetFlag()
		kind, _ := pflag.UnquoteUsage(f)
		return &usageError{fmt.Sprintf("--%s has nothing behind it: it takes a %s", f.Name, strings.ToUpper(kind)), cmd.CommandPath()}
	case errors.As(err, &odd):
		return &usageError{"an argument begins with - and can be no flag", cmd.CommandPath()} // and could be anything, a key included
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
		} else if sub, _, err := cmd.Root().Find([]string{name}); err == nil && sub.Name() == name { // --version
			text += "; did you mean `" + sub.CommandPath() + "`?"
		}
		return &usageError{text, cmd.CommandPath()}
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		return &usageError{fmt.Sprintf("--%s %s: must be %s", f.Name, term.Word(invalid.GetValue()), valueOf(f.Value.Type())), cmd.CommandPath()}
	}
	return &usageError{strings.TrimSpace(err.Error()), cmd.CommandPath()}
}

// valueOf is what a flag of some type takes.
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
