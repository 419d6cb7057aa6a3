package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"oktasync/reconcile/snapshot"
)

// version is set by the build of a release (-ldflags "-X main.version=v1.2.3").
var version = "dev"

// toolVersion returns the program's name, version and commit for manifests.
func toolVersion() snapshot.Tool {
	tool := snapshot.Tool{Name: "oktasync", Version: version, Commit: "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				tool.Commit = s.Value
			}
		}
	}
	return tool
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: "  oktasync version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			tool := toolVersion()
			if asJSON {
				return writeJSON(a.stdout, map[string]string{"version": tool.Version, "commit": tool.Commit, "go": runtime.Version()})
			}
			fmt.Fprintf(a.stdout, "oktasync %s, commit %s, %s %s/%s\n", tool.Version, tool.Commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}
