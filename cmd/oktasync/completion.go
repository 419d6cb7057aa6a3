package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
)

// bashCompletion replaces cobra's script, which needs the package bash-completion,
// breaks words at the @ of a snapshot's name, and runs eval on the command line.
//
//go:embed completion.bash
var bashCompletion string

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print the completion script for a shell",
		Long: `Prints a script with which a shell completes commands, flags, and the names of exports
and snapshots in the store. The Debian package installs these scripts.`,
		Example: `  source <(oktasync completion bash)
  oktasync completion zsh > ~/.zfunc/_oktasync
  oktasync completion fish > ~/.config/fish/completions/oktasync.fish`,
		Args:      args(1, 1, "bash|zsh|fish"),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				_, err := fmt.Fprint(a.stdout, bashCompletion)
				return err
			case "zsh":
				return cmd.Root().GenZshCompletion(a.stdout)
			case "fish":
				return cmd.Root().GenFishCompletion(a.stdout, true)
			}
			return &usageError{fmt.Sprintf("shell %s: must be bash, zsh or fish", term.Word(args[0])), cmd.CommandPath()}
		},
	}
}

// candidates returns the possible next arguments after args.
type candidates func(r *reader, args []string, word string) ([]string, cobra.ShellCompDirective)

// argumentsOf returns the candidates of each command with arguments.
func argumentsOf() map[string]candidates {
	read := exportAt(quarantinedNames)
	return map[string]candidates{
		"plan": manyExports, "apply": manyExports, "verify": manyExports,
		"list": oneExport, "history": oneExport, "adopt": oneExport,
		"show": exportAt(snapshotNames), "report": exportAt(snapshotNames), "access": exportAt(snapshotNames), "prune": exportAt(snapshotNames), "diff": exportThenSnapshots,
		"quarantine list": oneExport, "quarantine show": read, "quarantine diff": read,
		"quarantine release": read, "quarantine drop": requiredRead,
	}
}

// flagWords are the words that a flag accepts.
var flagWords = map[string][]string{
	"format":      {"ndjson", "csv", "json", "table"},
	"format text": {"text", "json", "csv"}, // with text as the default
	"format html": {"html", "xlsx"},
	"log-level":   {"debug", "info", "warn", "error"},
}

// complete sets the completion of cmd and its subcommands.
func (a *app) complete(cmd *cobra.Command, arguments map[string]candidates) {
	_, path, _ := strings.Cut(cmd.CommandPath(), " ")
	if find := arguments[path]; find != nil {
		cmd.ValidArgsFunction = a.fromStore(find)
	} else if cmd.ValidArgs == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		none := cobra.ShellCompDirectiveNoFileComp
		words := flagWords[f.Name+" "+f.DefValue]
		if words == nil {
			words = flagWords[f.Name]
		}
		switch {
		case words != nil:
			cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, none))
		case f.Name == "store" || f.Name == "dir":
			cmd.MarkFlagDirname(f.Name)
		case !strings.Contains(f.Usage, "`file`") && !strings.Contains(f.Usage, "`FILE`"):
			cmd.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions)
		}
	})
	for _, c := range cmd.Commands() {
		a.complete(c, arguments)
	}
}

// fromStore completes from --store, or from the store of the configuration. It
// returns no words instead of an error.
func (a *app) fromStore(find candidates) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		dir := ""
		if f := cmd.Flags().Lookup("store"); f != nil {
			dir = f.Value.String()
		}
		r, err := a.openReader(dir)
		if err != nil {
			return a.declaredExports(args), cobra.ShellCompDirectiveNoFileComp
		}
		words, directive := find(r, args, word)
		return words, directive | cobra.ShellCompDirectiveNoFileComp
	}
}

// declaredExports returns the exports of the configuration, for a missing store.
func (a *app) declaredExports(args []string) []string {
	cfg, err := config.Load(config.Options{File: a.configFile, EnvFile: a.envFile, Getenv: a.getenv, StoreOnly: true})
	if err != nil || len(args) > 0 {
		return nil
	}
	var names []string
	for _, e := range cfg.Exports {
		names = append(names, e.Name)
	}
	return names
}

// manyExports completes exports, each once.
func manyExports(r *reader, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	known, _ := r.exports(nil)
	return slices.DeleteFunc(known, func(name string) bool { return slices.Contains(args, name) }), 0
}

// oneExport completes one export.
func oneExport(r *reader, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, 0
	}
	return manyExports(r, args, word)
}

// exportThenSnapshots completes EXPORT [FROM] [TO].
func exportThenSnapshots(r *reader, args []string, word string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return manyExports(r, args, word)
	case 1, 2:
		return snapshotNames(r, args[0], ""), cobra.ShellCompDirectiveKeepOrder
	}
	return nil, 0
}

// exportAt completes EXPORT[@NAME].
func exportAt(names func(r *reader, export, prefix string) []string) candidates {
	return func(r *reader, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if export, _, at := strings.Cut(word, "@"); at && len(args) == 0 {
			return names(r, export, export+"@"), cobra.ShellCompDirectiveKeepOrder
		}
		words, _ := oneExport(r, args, word)
		return words, cobra.ShellCompDirectiveNoSpace // an @ can follow
	}
}

// requiredRead completes EXPORT@READ.
func requiredRead(r *reader, args []string, word string) ([]string, cobra.ShellCompDirective) {
	exports, _ := oneExport(r, args, word)
	var names []string
	for _, export := range exports {
		names = append(names, quarantinedNames(r, export, export+"@")...)
	}
	return names, cobra.ShellCompDirectiveKeepOrder
}

// snapshotNames returns the snapshots of an export, the newest first, with a prefix
// and a description.
func snapshotNames(r *reader, export, prefix string) []string {
	list, _ := r.List(export)
	var names []string
	for _, s := range slices.Backward(list) {
		counts := s.Manifest.Resources
		names = append(names, cobra.CompletionWithDesc(prefix+s.Name(), report.Records(counts)+", "+report.ShortChanges(counts, s.Manifest.Previous == nil)))
	}
	return names
}

// quarantinedNames is snapshotNames for quarantined reads.
func quarantinedNames(r *reader, export, prefix string) []string {
	list, _ := r.Quarantined(export)
	var names []string
	for _, read := range slices.Backward(list) {
		names = append(names, cobra.CompletionWithDesc(prefix+read.Name(), term.Safe(read.Reason)))
	}
	return names
}
