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
		Short: "Go on from what is there after a loss or a restored backup, on the record",
		Long: `Where the newest snapshot is not the one that the journal knows, nothing is
published: something was lost, or put back from a backup. Put back what is
missing if you can. If not, adopt goes on from the newest snapshot there is. The
journal says so at once, and the next snapshot says who, why and what the
journal knew, in its manifest and under its signature; until then verify calls
the break a problem, and from then on it notes it.`,
		Example: `  oktasync adopt all-users --reason "INC-77: disk lost, backup of Sunday restored"`,
		Args:    args(1, 1, "EXPORT"),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, as `TEXT` for journal and manifest")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if reason = strings.TrimSpace(reason); reason == "" {
			return errors.New("adopt takes --reason TEXT: the next manifest records who adopted the break, and why")
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
	fmt.Fprintf(a.stdout, "%s: adopted; the next snapshot says so: `oktasync apply %s` makes it\n", export, export)
	return nil
}
