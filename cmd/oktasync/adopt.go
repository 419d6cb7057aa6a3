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
		Long: `Use adopt if apply reports that an export differs from its checkpoint: files were lost
or changed, or the export was restored from a backup. First, restore the missing files
if you can.

adopt verifies the export, prints every problem that it finds, and accepts these
problems. The journal records who accepted them, and why. The next apply continues
from the newest snapshot that exists. From then on, verify reports the accepted
problems as notes. If the file or folder of an accepted problem changes, verify
reports it as a problem again.

Also use adopt after you add a signing key to the configuration of an unsigned store.
adopt then signs the export for the first time.

If an older copy has replaced an export, a running daemon prints the head that was
lost. Pass this head with --lost.`,
		Example: `  oktasync adopt all-users --reason "INC-77: disk lost, backup of Sunday restored"`,
		Args:    args(1, 1, "EXPORT"),
	}
	reason := reasonFlag(cmd, "the journal", "adopt needs --reason TEXT: the journal records who adopted the state, and why")
	cmd.Flags().StringVar(&lost, "lost", "", "the lost `HEAD`, which was kept outside the store")
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
	if err := verify.Adopt(ctx, r.Store, export, snapshot.ThisProcess("adopt"), adoption, options, a.reportFinding); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: adopted; `oktasync apply %s` continues from this state\n", export, export)
	return nil
}
