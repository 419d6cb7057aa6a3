package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
			return &usageError{fmt.Sprintf("unexpected argument %s", shown(args[most])), cmd.CommandPath()}
		case len(args) > most:
			return &usageError{fmt.Sprintf("unexpected argument %s after %s", shown(args[most]), what), cmd.CommandPath()}
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
	var names []string
	for _, c := range root.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return &usageError{fmt.Sprintf("unknown command %s; %s", shown(args[0]), suggestion(args[0], names)), root.CommandPath()}
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
			return &usageError{fmt.Sprintf("unknown flag -%s", shown(name)), cmd.CommandPath()}
		}
		text := "unknown flag --" + shown(name)
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := nearest(name, names); near != "" {
			text += "; did you mean --" + near + "?"
		}
		return &usageError{text, cmd.CommandPath()}
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		return &usageError{fmt.Sprintf("--%s %s: must be %s", f.Name, shown(invalid.GetValue()), valueOf(f.Value.Type())), cmd.CommandPath()}
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
