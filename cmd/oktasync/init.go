package main

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/doctor"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/dpopauth/keys"
	"oktasync/reconcile/snapshot/sign"
)

// configTemplate keeps about twenty attributes: enough to identify a user and the
// user's job. Attributes that need a privacy review are left out.
//
//go:embed templates/oktasync.yaml
var configTemplate string

// changeRequestTemplate is a page for a Super Administrator of the org.
//
//go:embed templates/change-request.txt
var changeRequestTemplate string

// rsaBits is the size of a new RSA key. RFC 7518, section 3.3, requires 2048 bits;
// NIST SP 800-57 recommends 3072 for use after 2030.
const rsaBits = 3072

func (a *app) initCommand() *cobra.Command {
	var in initializer
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a commented configuration and a client key",
		Long: `Writes a commented configuration and a new client key next to it, and prints the
public JWK to paste into Okta. It overwrites nothing and asks no questions.

With --env-file, it takes the org, the client, the scopes and the keys from the .env
file of Okta's DPoP walk-through, and creates no key. If the working directory has such
a file and --env-file doesn't name it, init stops. With --org-url or --client-id, it
ignores the file, with a note.

--access also declares groups, members, group rules, apps and assignments to apps.
--admins also declares API tokens and admin roles. With either flag, the export is
named workforce.
--factors adds a weekly export, because factors need one request per user.

--signing-key also creates a key that signs snapshots, and prints the line for the
auditor's allowed_signers file. --change-request prints a page for a Super
Administrator of the org: how to set up the service app, with the scope and the
smallest admin role for each resource, and how to undo this.

--new-key FILE only creates a client key, to replace the old one.`,
		Example: `  oktasync init --org-url https://acme.okta.com --client-id 0oa1b2c3d4e5f6g7h8i9
  oktasync init --env-file .env
  oktasync init --org-url https://acme.okta.com --client-id 0oa1b2c3d4e5f6g7h8i9 --access
  oktasync init --org-url https://acme.okta.com --client-id 0oa1b2c3d4e5f6g7h8i9 --access --admins --factors
  oktasync init --org-url https://acme.okta.com --change-request > change-request.txt
  oktasync init --new-key new-client-key.pem`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.newKey != "" && (in.orgURL != "" || in.clientID != "" || in.changeRequest || in.sign || in.access || in.admins || in.factors) {
				return &usageError{"--new-key only creates a key: use only --rsa and --json with it", cmd.CommandPath()}
			}
			return a.init(in)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.orgURL, "org-url", "", "the org's `URL`, such as https://acme.okta.com")
	f.StringVar(&in.clientID, "client-id", "", "the service app's client `ID`, if it exists already")
	f.BoolVar(&in.access, "access", false, "also record groups, members, group rules, apps and assignments")
	f.BoolVar(&in.admins, "admins", false, "also record API tokens and admin roles")
	f.BoolVar(&in.factors, "factors", false, "also record factors, once a week")
	f.BoolVar(&in.rsa, "rsa", false, "create an RSA key (RS256) instead of P-256 (ES256)")
	f.BoolVar(&in.sign, "signing-key", false, "also create a key that signs snapshots")
	f.BoolVar(&in.changeRequest, "change-request", false, "print a change request for a Super Administrator of the org")
	f.StringVar(&in.newKey, "new-key", "", "only create a client key, in the new `FILE`")
	f.BoolVar(&in.json, "json", false, "print one JSON document")
	return cmd
}

// checkFlags checks the values of the flags.
func (in *initializer) checkFlags() error {
	if in.orgURL != "" {
		if problem := config.OrgURLProblem(in.orgURL); problem != "" {
			return fmt.Errorf("--org-url: %s", problem)
		}
	}
	if in.clientID != "" && !plainID.MatchString(in.clientID) {
		return fmt.Errorf("--client-id %s: must have only letters, digits, - and _", term.Word(in.clientID))
	}
	return nil
}

func (a *app) init(in initializer) error {
	if in.newKey != "" {
		in.keyFile = in.newKey
		if err := checkFolder(in.keyFile); err != nil {
			return err
		}
		if err := in.generate(); err != nil {
			return err
		}
		return a.printNewKey(in)
	}
	env, err := config.NewEnvironment(config.Options{EnvFile: a.envFile, Getenv: a.getenv})
	if err != nil {
		return err
	}
	fromEnv, _ := a.getenv("OKTASYNC_CONFIG")
	in.config = cmp.Or(a.configFile, fromEnv, config.DefaultFile)
	if err := in.checkFlags(); err != nil {
		return err
	}
	if a.envFile != "" {
		if err := in.useEnv(env); err != nil {
			return err
		}
	}
	in.orgURL = config.NormalOrgURL(in.orgURL)
	if err := checkFolder(in.config); err != nil {
		return err
	}
	if _, err := os.Lstat(in.config); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already; init overwrites nothing", in.config)
	}
	if err := a.checkIgnoredEnv(in); err != nil {
		return err
	}
	if err := in.makeKey(); err != nil {
		return err
	}
	if err := in.makeSigningKey(); err != nil {
		return err
	}
	if err := in.writeConfig(); err != nil {
		return err
	}
	return a.printInit(in)
}

// checkFolder returns an error if the folder of a new file doesn't exist.
func checkFolder(file string) error {
	dir := filepath.Dir(file)
	if info, err := os.Stat(dir); err != nil || info.IsDir() { // writing reports other errors
		if errors.Is(err, fs.ErrNotExist) {
			return config.WithHint(fmt.Errorf("there is no folder %s", dir), "`mkdir -p "+term.ShellWord(dir)+"` creates it")
		}
		return nil
	}
	return fmt.Errorf("%s is not a folder", dir)
}

// makeKey loads the key that the environment names, or creates one next to the
// configuration.
func (in *initializer) makeKey() (err error) {
	if in.keyFile != "" {
		in.key, err = org.LoadKey(in.keyFile)
		return err
	}
	in.keyFile = filepath.Join(filepath.Dir(in.config), "client-key.pem")
	if _, err := os.Lstat(in.keyFile); err == nil && !in.rsa {
		in.key, err = org.LoadKey(in.keyFile) // of an earlier init
		return err
	}
	return in.generate()
}

// generate creates a client key in a new file.
func (in *initializer) generate() (err error) {
	if in.rsa {
		signer, err := rsa.GenerateKey(rand.Reader, rsaBits)
		if err != nil {
			return err
		}
		if in.key, err = keys.New(signer); err != nil {
			return err
		}
	} else if in.key, err = keys.Generate(); err != nil {
		return err
	}
	err = in.key.WriteFile(in.keyFile)
	if errors.Is(err, fs.ErrExist) {
		err = config.WithHint(err, "init overwrites nothing: name another file, or use the existing key")
	}
	return err
}

// makeSigningKey creates a signing key, or loads that of an earlier init.
func (in *initializer) makeSigningKey() (err error) {
	if !in.sign {
		return nil
	}
	in.signingKeyFile = filepath.Join(filepath.Dir(in.config), "signing-key")
	if in.signer, err = sign.NewKey(in.signingKeyFile); errors.Is(err, fs.ErrExist) {
		in.signer, err = sign.Load(in.signingKeyFile)
	}
	return err
}

func (in *initializer) writeConfig() error {
	beside := func(file string) string { // relative to the configuration's folder
		if rel, err := filepath.Rel(filepath.Dir(in.config), file); err == nil && filepath.IsLocal(rel) {
			file = rel
		} else if abs, err := filepath.Abs(file); err == nil {
			file = abs
		}
		return fmt.Sprintf("%q", file)
	}
	var okta, store string
	if scopes := in.extraScopes(); len(scopes) > 0 {
		okta += fmt.Sprintf("  # oktasync only needs %s.\n  scopes: [%s]\n", term.List(in.neededScopes()), strings.Join(scopes, ", "))
	}
	if in.dpopKeyFile != "" {
		okta += "  dpop:\n    # Without this key, tokens are bound to a new key in memory.\n    private_key_file: " + beside(in.dpopKeyFile) + "\n"
	}
	if in.signer != nil {
		store = "  # Signs snapshots. Only oktasync should be able to read it.\n  signing_key_file: " + beside(in.signingKeyFile) + "\n"
	}
	name := "all-users"
	if in.access || in.admins {
		name = "workforce"
	}
	text := strings.NewReplacer(
		"@org_url@", cmp.Or(in.orgURL, "${OKTA_ORG_URL}"),
		"@client_id@", cmp.Or(in.clientID, "${OKTA_CLIENT_ID}"),
		"@private_key_file@", beside(in.keyFile),
		"@okta@", okta, "@store@", store, "@name@", name, "@more@", in.moreResources(),
	).Replace(configTemplate)
	f, err := os.OpenFile(in.config, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(in.config) // an incomplete file would block the next init
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// initDocument is the shape of `init --json`.
type initDocument struct {
	Config        string      `json:"config"` // "" with --new-key
	ClientKey     initKey     `json:"client_key"`
	SigningKey    *initSigner `json:"signing_key"` // null without --signing-key
	ChangeRequest string      `json:"change_request"`
	Missing       []string    `json:"missing"` // keys to set in Config
	Next          string      `json:"next"`    // the next command
}

type initKey struct {
	File      string          `json:"file"`
	Algorithm string          `json:"algorithm"`
	KeyID     string          `json:"kid"`
	PublicJWK json.RawMessage `json:"public_jwk"`
}

type initSigner struct {
	File          string `json:"file"`
	Fingerprint   string `json:"fingerprint"`
	AllowedSigner string `json:"allowed_signer"` // a line of an allowed_signers file
}

func newInitDocument(in initializer) (doc initDocument, err error) {
	jwk, err := org.PublicJWK(in.key)
	if err != nil {
		return doc, err
	}
	doc = initDocument{Config: in.config, Missing: []string{},
		ClientKey: initKey{in.keyFile, in.key.Algorithm(), cmp.Or(in.key.ID(), in.key.Thumbprint()), jwk}}
	if in.newKey != "" {
		doc.Next = "oktasync doctor --key " + term.ShellWord(in.newKey)
		return doc, nil
	}
	doc.Next = "oktasync doctor --config " + term.ShellWord(in.config)
	if in.signer != nil {
		doc.SigningKey = &initSigner{in.signingKeyFile, in.signer.Fingerprint(), allowedSigner(in.signer)}
	}
	if in.changeRequest {
		doc.ChangeRequest = strings.NewReplacer("@org@", cmp.Or(in.orgURL, "the org"), "@jwk@", string(jwk),
			"@origin@", asSentence(doctor.Origin(in.orgURL)), "@records@", in.records(), "@other_role@", in.otherRole(),
			"@standard@", in.standardRecords(), "@custom@", in.customRole(), "@needs@", in.needs(),
			"@scopes@", asSentence("Okta API Scopes: grant "+term.List(in.neededScopes())+", and no other scope")).Replace(changeRequestTemplate)
	}
	for _, needed := range []struct{ value, key string }{{in.orgURL, "okta.org_url"}, {in.clientID, "okta.client_id"}} {
		if needed.value == "" {
			doc.Missing = append(doc.Missing, needed.key)
		}
	}
	return doc, nil
}

// allowedSigner returns the line of signer for an auditor's allowed_signers file.
func allowedSigner(signer *sign.Signer) string {
	host, _ := os.Hostname()
	return signer.AllowedSigner("oktasync@" + cmp.Or(host, "localhost"))
}

// asSentence returns a clause as a sentence, wrapped for the page.
func asSentence(clause string) string {
	words := strings.Fields(strings.ToUpper(clause[:1]) + clause[1:] + ".")
	return strings.ReplaceAll(term.Wrap(words, 72), "\n", "\n     ")
}

// printInit writes the public key to standard output, and instructions to standard
// error.
func (a *app) printInit(in initializer) error {
	doc, err := newInitDocument(in)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "wrote %s; the client key is %s (%s, kid %s)\n", doc.Config, doc.ClientKey.File, doc.ClientKey.Algorithm, doc.ClientKey.KeyID)
	switch {
	case in.json:
		if err := writeJSON(a.stdout, doc); err != nil {
			return err
		}
	case in.changeRequest:
		fmt.Fprint(a.stdout, doc.ChangeRequest)
	default:
		fmt.Fprintf(a.stdout, "%s\n", doc.ClientKey.PublicJWK)
		fmt.Fprintln(a.stderr, "paste the public key above into the service app: General, Client Credentials, Add key")
	}
	if s := doc.SigningKey; s != nil {
		fmt.Fprintf(a.stderr, "snapshots will be signed by %s (%s); the auditor's allowed_signers gets this line:\n%s\n", s.File, s.Fingerprint, s.AllowedSigner)
	}
	for _, key := range doc.Missing {
		fmt.Fprintf(a.stderr, "set %s in %s\n", key, doc.Config)
	}
	fmt.Fprintf(a.stderr, "then: %s\n", doc.Next)
	return nil
}

// printNewKey is printInit for --new-key.
func (a *app) printNewKey(in initializer) error {
	doc, err := newInitDocument(in)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "wrote %s (%s, kid %s)\n", doc.ClientKey.File, doc.ClientKey.Algorithm, doc.ClientKey.KeyID)
	if in.json {
		err = writeJSON(a.stdout, doc)
	} else {
		_, err = fmt.Fprintf(a.stdout, "%s\n", doc.ClientKey.PublicJWK)
	}
	fmt.Fprintf(a.stderr, "add the public key to the service app, next to the old one: General, Client Credentials, Add key\nthen: %s\n", doc.Next)
	return err
}
