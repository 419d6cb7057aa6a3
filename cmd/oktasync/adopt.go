package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

func (a *app) adoptCommand() *cobra.Command {
	var lost string
	cmd := &cobra.Command{
		Use:   "adopt EXPORT",
		Short: "Accept the current state of an export after a loss or a restore",
		Long: `If an export isn't in the state that its checkpoint covers, apply writes nothing:
something was lost, changed, or restored from a backup. Restore what is missing if you
can. If you can't, use adopt. It verifies the export, prints every problem that it
finds, and accepts these problems. The next apply continues from the newest snapshot
that exists. The journal records who adopted the problems, and why. From then on,
verify reports exactly these problems as notes. If the file or folder that a problem is
about changes, verify reports the problem again.

The first signature in a store that was not signed also needs adopt.

If a running daemon reports that an older copy has replaced an export, it prints the
head that was lost. Pass this head with --lost.`,
		Example: `  oktasync adopt all-users --reason "INC-77: disk lost, backup of Sunday restored"`,
		Args:    args(1, 1, "EXPORT"),
	}
	reason := reasonFlag(cmd, "the journal", "adopt needs --reason TEXT: the journal records who adopted the state, and why")
	cmd.Flags().StringVar(&lost, "lost", "", "a `HEAD` that was kept outside the store, and that the store no longer contains")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.adopt(cmd.Context(), args[0], *reason, lost)
	}
	return cmd
}

func (a *app) adopt(ctx context.Context, export, reason, lost string) error {
	r, user, err := a.openWritable(export)
	if err != nil {
		return err
	}
	adoption := snapshot.Adoption{User: user, Reason: reason}
	if lost != "" {
		head, err := snapshot.ParseHead(lost)
		if err != nil {
			return fmt.Errorf("--lost %s: must be SEQUENCE:MANIFEST:LINES:LINE", term.Word(lost))
		}
		adoption.Lost = &head
	}
	options := verify.Options{Signed: r.cfg.Store.SigningKeyFile != ""}
	if options.Signers, err = org.AllowedSigners(r.cfg.Store.AllowedSignersFile); err != nil {
		return err
	}
	report := func(f verify.Finding) { fmt.Fprintln(a.stdout, term.Safe(f.String())) }
	if err := verify.Adopt(ctx, r.Store, export, snapshot.ThisProcess("adopt"), adoption, options, report); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: adopted; `oktasync apply %s` continues from this state\n", export, export)
	return nil
}
