package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth/keys"
	"oktasync/reconcile/snapshot/sign"
)

func (a *app) validateCommand() *cobra.Command {
	var printJWK, asJSON bool
	var keyFile string
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration and the key files, without the network",
		Long: `Checks the configuration and the key files, and reports all errors at once. It sends
no request.

--public-jwk prints the public key of okta.private_key_file for the Admin Console
(General, Client Credentials, Add key). With --key, it prints the public key of another
key file, and needs no configuration.`,
		Example: "  oktasync validate --config oktasync.yaml\n  oktasync validate --public-jwk",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if printJWK && asJSON {
				return &usageError{"--public-jwk prints JSON already; use it without --json", cmd.CommandPath()}
			}
			if keyFile != "" {
				return a.printJWKOf(keyFile, printJWK, cmd)
			}
			v, err := a.checkConfiguration()
			switch {
			case asJSON:
				return a.printValidationJSON(v, err)
			case err != nil:
				return err
			case printJWK:
				return a.printPublicJWK(v.key)
			}
			a.printValidation(v)
			return nil
		},
	}
	cmd.Flags().BoolVar(&printJWK, "public-jwk", false, "print the client key's public JWK")
	cmd.Flags().StringVar(&keyFile, "key", "", "with --public-jwk: use the key in `FILE`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// printJWKOf prints the public JWK of the key in a file.
func (a *app) printJWKOf(file string, wanted bool, cmd *cobra.Command) error {
	if !wanted {
		return &usageError{"--key needs --public-jwk", cmd.CommandPath()}
	}
	key, err := org.LoadKey(file)
	if err != nil {
		return fmt.Errorf("--key: %w", err)
	}
	return a.printPublicJWK(key)
}

// validated is a configuration with the keys that it names.
type validated struct {
	cfg    *config.Config
	key    *keys.Key
	signer *sign.Signer // nil: snapshots are not signed
}

// checkConfiguration loads the configuration and every file that it names. It
// returns all errors.
func (a *app) checkConfiguration() (v validated, err error) {
	cfg, log, err := a.load()
	if err != nil {
		return v, err
	}
	v.cfg = cfg
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	_, _, err = org.Transport(cfg)
	note(err)
	v.key, err = org.ClientKey(cfg)
	note(err)
	_, err = org.DPoPKey(cfg)
	note(err)
	options, err := org.StoreOptions(cfg)
	v.signer = options.Signer
	note(err)
	note(checkDaemonFiles(cfg))
	if err := errors.Join(errs...); err != nil {
		return v, err
	}
	_, err = org.Connect(cfg, toolVersion(), log)
	return v, err
}

// checkDaemonFiles loads the files that only `oktasync run` needs.
func checkDaemonFiles(cfg *config.Config) error {
	_, err := cfg.LoadWeb()
	errs := []error{err}
	for i := range cfg.Daemon.Notify {
		_, err := cfg.NotifyURL(i)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (a *app) printPublicJWK(key *keys.Key) error {
	jwk, err := org.PublicJWK(key)
	if err == nil {
		_, err = fmt.Fprintf(a.stdout, "%s\n", jwk)
	}
	return err
}

func (a *app) printValidation(v validated) {
	source := v.cfg.File
	if source == "" {
		source = "the environment"
	}
	fmt.Fprintf(a.stdout, "%s is valid: %s; client key %s with thumbprint %s\n",
		source, term.Plural(len(v.cfg.Exports), "export"), v.key.Algorithm(), v.key.Thumbprint())
	for _, warning := range v.cfg.Warnings() {
		fmt.Fprintf(a.stderr, "oktasync: warning: %s\n", warning)
	}
	if v.signer != nil {
		fmt.Fprintf(a.stdout, "snapshots are signed by %s; the auditor's allowed_signers gets this line:\n%s\n", v.signer.Fingerprint(), allowedSigner(v.signer))
	}
}

// validationDocument is the shape of `validate --json`.
type validationDocument struct {
	Valid     bool              `json:"valid"`
	Config    string            `json:"config"` // "": the environment
	Problems  []problemDocument `json:"problems"`
	Warnings  []string          `json:"warnings"`
	Exports   []string          `json:"exports"`
	ClientKey *keyDocument      `json:"client_key"` // null if it can't be read
	SignedBy  *string           `json:"signed_by"`
}

// problemDocument is an error and its position in the configuration file. Line and
// column are 0 for errors elsewhere.
type problemDocument struct {
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
}

type keyDocument struct {
	Algorithm  string `json:"algorithm"`
	Thumbprint string `json:"thumbprint"`
}

func (a *app) printValidationJSON(v validated, err error) error {
	doc := validationDocument{Valid: err == nil, Config: a.configFile, Problems: problemsOf(err), Warnings: []string{}, Exports: []string{}}
	if v.cfg != nil {
		doc.Config, doc.Warnings = v.cfg.File, append(doc.Warnings, v.cfg.Warnings()...)
		for _, e := range v.cfg.Exports {
			doc.Exports = append(doc.Exports, e.Name)
		}
	}
	if v.key != nil {
		doc.ClientKey = &keyDocument{v.key.Algorithm(), v.key.Thumbprint()}
	}
	if v.signer != nil {
		fingerprint := v.signer.Fingerprint()
		doc.SignedBy = &fingerprint
	}
	var bad *config.Error
	if errors.As(err, &bad) {
		doc.Config = bad.File
	}
	if err := writeJSON(a.stdout, doc); err != nil {
		return err
	}
	if err != nil {
		return exitError{exitFailed}
	}
	return nil
}

// problemsOf splits an error of checkConfiguration, which may be a tree of joined
// errors.
func problemsOf(err error) []problemDocument {
	list := []problemDocument{}
	joined, isJoined := err.(interface{ Unwrap() []error })
	var bad *config.Error
	switch {
	case err == nil:
	case isJoined:
		for _, err := range joined.Unwrap() {
			list = append(list, problemsOf(err)...)
		}
	case errors.As(err, &bad):
		for _, p := range bad.Problems {
			list = append(list, problemDocument{p.Line, p.Column, p.Text})
		}
	default:
		for _, line := range strings.Split(err.Error(), "\n") {
			list = append(list, problemDocument{Text: line})
		}
	}
	return list
}
