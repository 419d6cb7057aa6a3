package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/org"
	"oktasync/reconcile/snapshot"
)

func (a *app) adoptCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "adopt EXPORT",
		Short: "Accept the current state of an export after a loss or a restore",
		Long: `If the newest snapshot isn't the one that the journal records, apply publishes
nothing: snapshots were lost, or restored from a backup. Restore what is missing if
you can. If you can't, adopt continues from the newest snapshot that exists. The
journal records the adoption at once. The next manifest records who adopted the
break, why, and what the journal had recorded. verify reports the break as a
problem until then, and as a note afterwards.`,
		Example: `  oktasync adopt all-users --reason "INC-77: disk lost, backup of Sunday restored"`,
		Args:    args(1, 1, "EXPORT"),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "the reason, as `TEXT` for the journal and the manifest")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if reason = strings.TrimSpace(reason); reason == "" {
			return errors.New("adopt needs --reason TEXT: the next manifest records who adopted the break, and why")
		}
		if err := checkReason(reason); err != nil {
			return err
		}
		return a.adopt(args[0], reason)
	}
	return cmd
}

func (a *app) adopt(export, reason string) (err error) {
	cfg, _, err := a.load()
	if err != nil {
		return err
	}
	if _, err := cfg.Select([]string{export}); err != nil {
		return err
	}
	store, err := org.OpenStore(cfg, nil)
	if err != nil {
		return err
	}
	w, err := store.Writer(export, snapshot.ThisProcess("adopt"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := w.Adopt(org.Run(cfg, "").User, reason); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: adopted; the next snapshot records it: `oktasync apply %s` publishes one\n", export, export)
	return nil
}
