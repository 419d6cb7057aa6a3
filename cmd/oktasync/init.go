package main

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/dpopauth/keys"
)

// rsaBits is the size of a generated RSA key: what RFC 7518, section 3.3, asks
// for is 2048, and 3072 is what is advised for keys that live past 2030.
const rsaBits = 3072

func (a *app) initCommand() *cobra.Command {
	var in initializer
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a commented configuration and a client key",
		Long: `Writes a commented configuration and a new client key beside it, and prints the
public JWK to paste into Okta. It overwrites nothing and asks nothing.

With --env-file, org, client and key are those of Okta's DPoP walk-through, and
no new key is made. --change-request also prints a page for whoever holds Super
Admin in Okta, with all that the service app needs and how to undo it.`,
		Example: `  oktasync init --org-url https://acme.okta.com --client-id 0oa1b2c3d4e5f6g7h8i9
  oktasync init --env-file .env
  oktasync init --org-url https://acme.okta.com --change-request > change-request.txt`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return a.init(in) },
	}
	cmd.Flags().StringVar(&in.orgURL, "org-url", "", "the org's `address`, such as https://acme.okta.com")
	cmd.Flags().StringVar(&in.clientID, "client-id", "", "the service app's client `ID`, where there is one already")
	cmd.Flags().BoolVar(&in.rsa, "rsa", false, "make an RSA key (RS256) instead of P-256 (ES256)")
	cmd.Flags().BoolVar(&in.changeRequest, "change-request", false, "print a change request for Okta's administrator")
	return cmd
}

var plainID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// initializer is what init was asked for, and what it found out.
type initializer struct {
	orgURL, clientID   string
	rsa, changeRequest bool

	config, keyFile string
	key             *keys.Key
}

func (a *app) init(in initializer) error {
	env, err := newEnvironment(configOptions{EnvFile: a.envFile, Getenv: a.getenv})
	if err != nil {
		return err
	}
	fromEnv, _ := a.getenv("OKTASYNC_CONFIG")
	in.config = cmp.Or(a.configFile, fromEnv, defaultConfigFile)
	if a.envFile != "" {
		in.take(env)
	}
	if in.orgURL != "" {
		if problem := orgURLProblem(in.orgURL); problem != "" {
			return fmt.Errorf("--org-url: %s", problem)
		}
		in.orgURL = normalOrgURL(in.orgURL)
	}
	if in.clientID != "" && !plainID.MatchString(in.clientID) {
		return fmt.Errorf("--client-id %s: a client ID has letters, digits, - and _ only", shown(in.clientID))
	}
	if _, err := os.Lstat(in.config); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already; init overwrites nothing", in.config)
	}
	if err := in.makeKey(); err != nil {
		return err
	}
	if err := in.writeConfig(); err != nil {
		return err
	}
	return a.printInit(in)
}

// take fills in what the walk-through's file says and no flag does.
func (in *initializer) take(env *environment) {
	value := func(name string) string {
		v, _ := env.lookup(name)
		return v
	}
	in.orgURL = cmp.Or(in.orgURL, value("OKTA_ORG_URL"))
	in.clientID = cmp.Or(in.clientID, value("OKTA_CLIENT_ID"))
	if key := value("OKTA_CC_PRIVATE_KEY_FILE"); key != "" {
		in.keyFile = env.resolve("OKTA_CC_PRIVATE_KEY_FILE", key)
	}
}

// makeKey loads the key that was named, or makes one beside the configuration.
func (in *initializer) makeKey() (err error) {
	if in.keyFile != "" {
		in.key, err = keys.Load(in.keyFile)
		return err
	}
	in.keyFile = filepath.Join(filepath.Dir(in.config), "client-key.pem")
	if _, err := os.Lstat(in.keyFile); err == nil && !in.rsa {
		in.key, err = keys.Load(in.keyFile) // of an init before this one
		return err
	}
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
	return in.key.WriteFile(in.keyFile)
}

func (in *initializer) writeConfig() error {
	keyFile := in.keyFile
	if rel, err := filepath.Rel(filepath.Dir(in.config), keyFile); err == nil && filepath.IsLocal(rel) {
		keyFile = rel
	}
	text := strings.NewReplacer(
		"@org_url@", cmp.Or(in.orgURL, "${OKTA_ORG_URL}"),
		"@client_id@", cmp.Or(in.clientID, "${OKTA_CLIENT_ID}"),
		"@private_key_file@", fmt.Sprintf("%q", keyFile),
	).Replace(initialConfig)
	f, err := os.OpenFile(in.config, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// printInit writes the public key to standard output, and what to do with it
// beside that.
func (a *app) printInit(in initializer) error {
	jwk, err := publicJWK(in.key)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "wrote %s; the client key is %s (%s, kid %s)\n", in.config, in.keyFile, in.key.Algorithm(), in.key.Thumbprint())
	if in.changeRequest {
		fmt.Fprint(a.stdout, strings.NewReplacer(
			"@org@", cmp.Or(in.orgURL, "the org"), "@jwk@", string(jwk)).Replace(changeRequest))
	} else {
		fmt.Fprintf(a.stdout, "%s\n", jwk)
		fmt.Fprintln(a.stderr, "paste the public key above into the service app: General, Client Credentials, Add key")
	}
	for _, missing := range []struct{ value, key string }{{in.orgURL, "okta.org_url"}, {in.clientID, "okta.client_id"}} {
		if missing.value == "" {
			fmt.Fprintf(a.stderr, "set %s in %s\n", missing.key, in.config)
		}
	}
	fmt.Fprintf(a.stderr, "then: oktasync plan --config %s\n", in.config)
	return nil
}

// initialConfig keeps some twenty attributes: enough to say who is who and who
// may do what, and what privacy will ask about is left out by default.
const initialConfig = `# Configuration of oktasync. config.example.yaml has every key with its default.
okta:
  # The org's address: not the admin console's (acme-admin.okta.com).
  org_url: @org_url@
  # The service app's client ID.
  client_id: @client_id@
  # Signs the client assertion. Readable by its owner alone.
  private_key_file: @private_key_file@
store:
  path: snapshots
exports:
  - name: all-users
    schedule: "0 6 * * *" # for oktasync run
    time_zone: UTC
    users:
      attributes:
        # What a snapshot keeps of each user; anything else touches no disk.
        # "include: []" keeps everything that Okta returns.
        include:
          - id
          - status
          - created
          - activated
          - statusChanged
          - lastLogin
          - lastUpdated
          - passwordChanged
          - type.id
          - profile.login
          - profile.email
          - profile.firstName
          - profile.lastName
          - profile.displayName
          - profile.title
          - profile.department
          - profile.division
          - profile.costCenter
          - profile.employeeNumber
          - profile.userType
          - profile.manager
          - profile.managerId
`

// changeRequest is a page for whoever holds Super Admin in Okta.
const changeRequest = `CHANGE REQUEST: read-only service app "oktasync" in @org@

Purpose   oktasync keeps a dated, verifiable record of who is in the org. It reads
          users and changes nothing: GET at the API, POST at the token endpoint.

To do, in the Admin Console
  1. Applications > Create App Integration > API Services. Name: oktasync.
  2. General > Client Credentials > Edit: Public key / Private key, Add key, and
     paste:

@jwk@

  3. General > General Settings > Proof of possession: leave "Require DPoP" on.
  4. Okta API Scopes: grant okta.users.read. No other scope.
  5. Admin roles > Edit assignments: Read-only Administrator. No other role.
  6. Application rate limits: half of each limit, which is Okta's default, is more
     than enough; oktasync takes half of what it is shown.
  7. Where network zones limit the token endpoint or the API: add the address
     that the host of oktasync is seen from.

To send back
  The app's client ID.

To undo
  Deactivate, then delete the app. Tokens end within an hour. Nothing else in the
  org was changed.
`
