package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) validateCommand() *cobra.Command {
	var printJWK bool
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration and the key files, without a network",
		Long: `Checks the configuration and the key files, and says everything that is wrong at
once. Nothing is sent anywhere.

--public-jwk prints the public half of okta.private_key_file as Okta's console
takes it (General, Client Credentials, Add key).`,
		Example: "  oktasync validate --config oktasync.yaml\n  oktasync validate --public-jwk",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return a.validate(printJWK) },
	}
	cmd.Flags().BoolVar(&printJWK, "public-jwk", false, "print the client key's public JWK")
	return cmd
}

func (a *app) validate(printJWK bool) error {
	cfg, log, err := a.load()
	if err != nil {
		return err
	}
	if _, err := connect(cfg, log); err != nil {
		return err
	}
	key, err := loadClientKey(cfg)
	if err != nil {
		return err
	}
	if printJWK {
		jwk, err := publicJWK(key)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s\n", jwk)
		return nil
	}
	options, err := storeOptions(cfg)
	if err != nil {
		return err
	}
	if _, err := loadAllowedSigners(cfg.Store.AllowedSignersFile); err != nil {
		return fmt.Errorf("store.allowed_signers_file: %w", err)
	}
	if _, err := loadWebConfig(cfg.Daemon); err != nil {
		return err
	}
	source := cfg.File
	if source == "" {
		source = "the environment"
	}
	fmt.Fprintf(a.stdout, "%s is valid: %s; client key %s with thumbprint %s\n",
		source, plural(len(cfg.Exports), "export"), key.Algorithm(), key.Thumbprint())
	if signer := options.Signer; signer != nil {
		fmt.Fprintf(a.stdout, "snapshots are signed by %s; a line for allowed_signers: WHO %s\n", signer.Fingerprint(), signer.PublicKey())
	}
	return nil
}

// plural is "1 export" or "3 exports".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
