package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/reconcile/snapshot"
)

// version and commit can be set by the build (-ldflags "-X main.version=v1.2.3 -X main.commit=…").
var (
	version = "dev"
	commit  string
)

// archiveCommit is the commit if the source comes from git archive.
//
//go:embed commit.txt
var archiveCommit string

// pseudoVersion matches the version of a module without a tag (https://go.dev/ref/mod#pseudo-versions).
const pseudoVersion = `[.-]\d{14}-([0-9a-f]{12})$`

// toolVersion returns the program's name, version and commit for manifests.
func toolVersion() snapshot.Tool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = new(debug.BuildInfo)
	}
	return toolOf(info)
}

// toolOf returns the version and commit of a build. The commit is from the first
// of: -ldflags, the stamp of go build in a clone, git archive, and the version of
// a module that go install downloaded.
func toolOf(info *debug.BuildInfo) snapshot.Tool {
	tool := snapshot.Tool{Name: "oktasync", Version: version, Commit: commit}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			tool.Commit = cmp.Or(tool.Commit, s.Value)
		}
	}
	if text := strings.TrimSpace(archiveCommit); !strings.HasPrefix(text, "$") {
		tool.Commit = cmp.Or(tool.Commit, text)
	}
	if module := info.Main.Version; tool.Commit == "" && module != "" && module != "(devel)" {
		if tool.Version == "dev" {
			tool.Version = module
		}
		if m := regexp.MustCompile(pseudoVersion).FindStringSubmatch(module); m != nil {
			tool.Commit = m[1]
		}
	}
	tool.Commit = cmp.Or(tool.Commit, "unknown")
	return tool
}

// versionLine returns the version in one line.
func versionLine() string {
	tool := toolVersion()
	return fmt.Sprintf("oktasync %s, commit %s, %s %s/%s", tool.Version, tool.Commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// setVersion makes cmd and its subcommands accept --version.
func setVersion(cmd *cobra.Command, line string) {
	cmd.Version = line
	for _, c := range cmd.Commands() {
		setVersion(c, line)
	}
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: "  oktasync version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				tool := toolVersion()
				return writeJSON(a.stdout, map[string]string{"version": tool.Version, "commit": tool.Commit, "go": runtime.Version()})
			}
			_, err := fmt.Fprintln(a.stdout, versionLine())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}
