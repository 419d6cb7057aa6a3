package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/daemon"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "The daemon: reconcile on schedule until told to stop",
		Long: `Reconciles each export on its schedule until SIGTERM or SIGINT, which stop it
cleanly within 10 s. A run that was missed while the daemon was down is made up
once at the start. While it runs, daemon.listen serves a status page at /, the same
as JSON at /api/v1/status, and /healthz, /readyz, /fresh and /metrics.

SIGHUP reads the configuration, the keys and the certificates again. What is new
counts from the next reconcile on; where something is wrong with it, all stays as
it was.`,
		Example: "  oktasync run --config /etc/oktasync/oktasync.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return daemon.Run(cmd.Context(), daemon.Options{
				Load: a.config,
				NewLogger: func(level slog.Leveler, format string) *slog.Logger {
					return newLogger(a.stderr, level, format, a.colour(a.stderr))
				},
				Tool: toolVersion(),
			})
		},
	}
}
