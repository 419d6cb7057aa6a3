// Command oktasync keeps a record of an Okta org: it reads the declared resources,
// compares them with the newest snapshot, and publishes a new one. It never changes
// anything in Okta.
//
// Start reading at main.go, which has the list of commands, and at app.go, which has the
// exit statuses. Each command has a file. The packages below internal contain the configuration
// (config), the connection to an org (org), and the daemon (daemon).
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // time zones for hosts that have none

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/oktaclient"
)

func main() {
	log.SetOutput(io.Discard) // net/http logs what a server sends on an idle connection
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal kills
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// memoryLimit is the memory from which on the garbage collector runs more often, unless
// GOMEMLIMIT is set. A read of all resources needs about 60 MiB at any moment.
const memoryLimit = 96 << 20

// run runs a command and returns the exit status. A panic prints one line, without
// the values that a stack trace would show.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if _, set := os.LookupEnv("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(memoryLimit)
	}
	return (&app{getenv: os.LookupEnv}).execute(ctx, args, stdout, stderr)
}

func (a *app) execute(ctx context.Context, args []string, stdout, stderr io.Writer) (status int) {
	kind, _ := a.getenv("TERM")
	a.statusLine = term.NewStatusLine(stderr, kind)
	out := &output{Writer: a.statusLine.Writer(stdout)}
	a.stdout, a.stderr = term.NewSafeWriter(out), term.NewSafeWriter(a.statusLine.Writer(stderr))
	defer func() {
		if p := recover(); p != nil {
			a.printError(oktaclient.PanicError(p))
			status = exitFailed
		}
	}()
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	return a.exit(out.complete(stopped(ctx, root.ExecuteContext(ctx))))
}

// stopped replaces the error of a command that a signal stopped.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
		return errors.New("stopped by a signal before it was done")
	}
	return err
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "oktasync",
		Short: "Keep a record of an Okta org",
		Long: `oktasync reads Okta and never changes it: it sends GET requests to the API, and POST
requests to the token endpoint.

A YAML file declares exports. For each one, oktasync reads users, groups and apps with
a DPoP-bound token, compares them with the newest snapshot, and publishes a new one:
dated, chained, and verifiable with sha256sum and zstd.

To see all steps without an Okta account, run oktasync demo.

The exit status is 0 for success, 1 for a failure, 2 if plan or diff with
--detailed-exitcode found changes, and 3 if the guard stopped a read.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              knownCommand,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.checkFlags(cmd) },
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(flagError)
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "configuration `FILE` (default oktasync.yaml, or $OKTASYNC_CONFIG)")
	flags.StringVar(&a.envFile, "env-file", "", "`FILE` of NAME=value lines; the environment has priority")
	flags.StringVar(&a.logLevel, "log-level", "", "`LEVEL` of the log: debug, info, warn or error (default from the configuration)")
	flags.BoolVar(&a.noColor, "no-color", false, "print no colors, as with NO_COLOR")
	flags.Bool("version", false, "print the version")
	root.AddCommand(
		a.demoCommand(), a.sandboxCommand(), a.initCommand(), a.validateCommand(), a.doctorCommand(),
		a.planCommand(), a.applyCommand(), a.runCommand(),
		a.statusCommand(), a.listCommand(), a.showCommand(), a.diffCommand(), a.historyCommand(), a.accessCommand(), a.reportCommand(), a.reviewCommand(), a.verifyCommand(), a.quarantineCommand(), a.pruneCommand(), a.adoptCommand(),
		a.apiCommand(), a.completionCommand(), a.versionCommand(), a.manCommand(),
	)
	root.SetHelpCommand(helpCommand())
	root.SetVersionTemplate("{{.Version}}\n")
	setVersion(root, versionLine())
	a.complete(root, argumentsOf())
	return root
}

// checkFlags returns an error for an empty value, such as that of an unset shell
// variable, and for an unknown log level.
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
