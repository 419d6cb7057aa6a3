package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "validate",
		Short:   "Check the configuration and the key files, without a network",
		Example: "  oktasync validate --config oktasync.yaml",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, log, err := a.load()
			if err != nil {
				return err
			}
			if _, err := connect(cfg, log); err != nil {
				return err
			}
			source := cfg.File
			if source == "" {
				source = "the environment"
			}
			fmt.Fprintf(a.stdout, "%s is valid: %d exports\n", source, len(cfg.Exports))
			return nil
		},
	}
}
