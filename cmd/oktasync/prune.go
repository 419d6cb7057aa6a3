package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

func (a *app) pruneCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prune EXPORT@SNAPSHOT",
		Short: "Erase the records of one snapshot or quarantined read",
		Long: `Removes the records, the changes and the transcript of one snapshot. Its manifest, its
signature and its time stamp stay, so that the chain has no gap. The journal records
who erased the records, and why. If you name a quarantined read, the whole read is
removed. If you erase the newest snapshot, the next one isn't compared with it.

Retention removes old snapshots without this command: set retain in the configuration.`,
		Example: `  oktasync prune all-users@20261123T060000Z --reason "GDPR-12: erasure request"`,
		Args:    args(1, 1, "EXPORT@SNAPSHOT"),
	}
	reason := reasonFlag(cmd, "the journal", "prune needs --reason TEXT: the journal records who erased the records, and why")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.prune(cmd, args[0], *reason)
	}
	return cmd
}

func (a *app) prune(cmd *cobra.Command, arg, reason string) error {
	export, name, ok := strings.Cut(arg, "@")
	if _, err := snapshot.ParseName(name); !ok || err != nil {
		return fmt.Errorf("prune %s: name one snapshot, as EXPORT@20261123T060000Z; `oktasync list` lists the names", term.Word(arg))
	}
	r, user, err := a.openWritable(export)
	if err != nil {
		return err
	}
	return r.write(cmd.Context(), export, "prune", func(w *snapshot.Writer) error {
		_, notSnapshot := r.Snapshot(export, name)
		_, notRead := r.FindQuarantined(export, name)
		switch {
		case notSnapshot == nil && notRead == nil:
			return fmt.Errorf("%s is a snapshot and a quarantined read; drop the read first: `oktasync quarantine drop %s --reason TEXT`", arg, arg)
		case notSnapshot != nil && notRead == nil:
			if err := w.Drop(name, user, reason); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s: dropped the quarantined read %s\n", export, name)
			return nil
		}
		if selected, err := r.cfg.Select([]string{export}); err == nil && slices.Contains(selected[0].Hold, name) {
			fmt.Fprintf(a.stderr, "oktasync: note: %s is in hold of %s; its records are erased anyway\n", name, export)
		}
		if err := w.Erase(cmd.Context(), name, user, reason); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s: erased the records of %s; its manifest stays\n", export, name)
		return nil
	})
}
