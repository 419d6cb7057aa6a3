// Command oktasync keeps the record of who is in an Okta org: it reads the
// users, compares them with the newest snapshot and publishes a new one. It
// never changes anything in Okta.
//
// The way in: main.go (commands, exit status), run.go (the daemon's wiring),
// org.go (how the packages are joined to one org), config.go (the configuration
// file). Every other file is one command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // time zones for hosts that have none

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/daemon"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// Exit statuses, from the contract.
const (
	exitDone    = 0
	exitFailed  = 1
	exitChanges = 2 // plan and diff with --detailed-exitcode: there are changes
	exitHeld    = 3 // a guard held a reading back
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal drains, a second one kills
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: it returns the exit status. A panic is one line and
// status 1, without the values that a stack would show.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (status int) {
	a := &app{getenv: os.LookupEnv}
	kind, _ := a.getenv("TERM")
	a.screen = term.NewStatusLine(stderr, kind)
	out := &output{Writer: a.screen.Writer(stdout)}
	a.stdout, a.stderr = out, a.screen.Writer(stderr)
	defer func() {
		if p := recover(); p != nil {
			a.printError(reconcile.PanicError(p))
			status = exitFailed
		}
	}()
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	return a.exit(out.whole(stopped(ctx, root.ExecuteContext(ctx))))
}

// stopped says in one way, for every command, that a signal ended it.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
		return errors.New("stopped by a signal before it was done")
	}
	return err
}

// app is what the commands share: where to write, and the flags that every one
// of them has.
type app struct {
	stdout, stderr io.Writer
	screen         *term.StatusLine // behind stderr; nil: no terminal
	getenv         func(string) (string, bool)

	configFile string
	envFile    string
	logLevel   string
	noColor    bool
	quiet      bool
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "oktasync",
		Short: "Keep the record of who is in an Okta org",
		Long: `oktasync reads Okta and never changes anything in it: GET at the API, POST at the token endpoint.

A YAML file declares exports. For each one oktasync reads the users of an Okta
org over a DPoP-bound token, compares them with the newest snapshot, and
publishes a new one: complete, dated, and verifiable with sha256sum and zstd.

To see the whole job without an Okta account: oktasync demo

The exit status is 0 when it is done, 1 when it failed, 3 when a guard held a
reading back, and 2 when plan or diff found changes, with --detailed-exitcode.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              knownCommand,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.checkFlags(cmd) },
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(flagError)
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "configuration `file` (default oktasync.yaml, or $OKTASYNC_CONFIG)")
	flags.StringVar(&a.envFile, "env-file", "", "`file` of NAME=value lines; the environment itself wins")
	flags.StringVar(&a.logLevel, "log-level", "", "debug, info, warn or error (default from the configuration)")
	flags.BoolVar(&a.noColor, "no-color", false, "no colours, as with NO_COLOR")
	root.AddCommand(
		a.demoCommand(), a.sandboxCommand(), a.initCommand(), a.validateCommand(), a.doctorCommand(),
		a.planCommand(), a.applyCommand(), a.runCommand(),
		a.statusCommand(), a.listCommand(), a.showCommand(), a.diffCommand(), a.historyCommand(), a.verifyCommand(), a.quarantineCommand(), a.adoptCommand(),
		a.apiCommand(), a.completionCommand(), a.versionCommand(), a.manCommand(),
	)
	root.SetHelpCommand(helpCommand())
	a.complete(root, argumentsOf())
	return root
}

// exitError ends the program with a status and without a message of its own:
// what there was to say has been said.
type exitError struct{ status int }

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// exit prints what went wrong and returns the exit status.
func (a *app) exit(err error) int {
	var e exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.status
	}
	a.printError(err)
	return exitFailed
}

// printError writes an error for people: what happened, to what, and where we
// know it, what to do next.
func (a *app) printError(err error) {
	priority := ""
	if daemon.IsJournal(a.stderr) {
		priority = "<3>" // an error's, in sd-daemon(3)'s way
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintf(a.stderr, "%soktasync: error: %s\n", priority, term.Safe(line))
	}
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(a.stderr, "oktasync: hint: %s\n", term.Safe(hint))
	}
}

// hintFor finds the remedy that some error in the chain knows.
func hintFor(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		return h.Hint()
	}
	if hint := org.Hint(err); hint != "" {
		return hint
	}
	of, file := (*snapshot.OrgError)(nil), (*fs.PathError)(nil)
	switch {
	case errors.As(err, &of):
		return "a store belongs to one org for good: set another store.path for this one"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free some space there; `oktasync doctor` says how much a snapshot takes"
	case errors.As(err, &file) && errors.Is(file, fs.ErrPermission) && !errors.As(err, new(config.FileError)): // which says whose it is
		return fmt.Sprintf("this runs as %s: run it as the user whose files these are; store.group lets others read a store", config.CurrentUser())
	}
	return ""
}

// checkFlags refuses what no command could mean: a flag with nothing behind it,
// as an unset variable in a script leaves it, and an unknown level.
func (a *app) checkFlags(cmd *cobra.Command) error {
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" && err == nil {
			err = &usageError{"--" + f.Name + " is empty", cmd.CommandPath()}
		}
	})
	if a.logLevel != "" && err == nil {
		_, err = logLevel(a.logLevel)
	}
	return err
}
