package main

import (
	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/daemon"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the daemon, which reconciles on schedule",
		Long: `Reconciles each export on its schedule. If a run was missed, it reconciles at the
start. SIGTERM and SIGINT stop it within 10 s.

At the address daemon.listen, it serves a status page at /, the data of the page as
JSON at /api/v1/status, and /healthz, /readyz and /metrics. /fresh has the status 503
if an export isn't up to date.

SIGHUP reloads the configuration, the keys and the certificates, for the next
reconcile. If one of them has an error, the daemon keeps the old configuration.`,
		Example: "  oktasync run --config /etc/oktasync/oktasync.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return daemon.Run(cmd.Context(), daemon.Options{
				Load:      a.config,
				NewLogger: a.daemonLogger,
				Hint:      hintFor,
				Tool:      toolVersion(),
			})
		},
	}
}
