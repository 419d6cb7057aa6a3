package config

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseEnv(t *testing.T) {
	const text = "\ufeff# Okta's walk-through\r\n" + `
OKTA_ORG_URL=https://acme.okta.com
export OKTA_CLIENT_ID = 0oa1   # the service app
  OKTA_SCOPES="okta.users.read okta.groups.read" # two
SINGLE='as it $stands \n # here'
DOUBLE="a \"quoted\" word\\, a\nline, \$HOME and \d"
BARE=a#b $HOME ${HOME}
EMPTY=
EMPTY_TOO= # nothing
EQUALS=a=b=
`
	got, err := parseEnv(".env", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"OKTA_ORG_URL":   "https://acme.okta.com",
		"OKTA_CLIENT_ID": "0oa1",
		"OKTA_SCOPES":    "okta.users.read okta.groups.read",
		"SINGLE":         `as it $stands \n # here`,
		"DOUBLE":         "a \"quoted\" word\\, a\nline, $HOME and \\d",
		"BARE":           "a#b $HOME ${HOME}",
		"EMPTY":          "",
		"EMPTY_TOO":      "",
		"EQUALS":         "a=b=",
	}
	if !maps.Equal(got, want) {
		t.Errorf("parseEnv() =\n%q\nwant\n%q", got, want)
	}
}

func TestParseEnvReportsEveryLineAndNoValue(t *testing.T) {
	const text = `GOOD=1
s3cret
2BAD=s3cret
A="s3cret
B='s3cret
C="s3cret" s3cret
GOOD=s3cret
D=s3cret` + "\xff"
	_, err := parseEnv("dir/.env", []byte(text))
	want := `dir/.env:2: is not NAME=value
dir/.env:3: the name before "=" may contain only letters, digits and _
dir/.env:4: A: the closing quote is missing
dir/.env:5: B: the closing quote is missing
dir/.env:6: C: there is text after the closing quote
dir/.env:7: GOOD is a duplicate of line 1
dir/.env:8: D: the value is not UTF-8`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// walkThrough is the .env file of Okta's walk-through.
const walkThrough = `OKTA_ORG_URL=https://acme.okta.com/
OKTA_CLIENT_ID=0oa1
OKTA_SCOPES=okta.users.read,okta.groups.read
OKTA_CC_PRIVATE_KEY_FILE=cc_private.pem
OKTA_DPOP_PRIVATE_KEY_FILE=/etc/keys/dpop_private.pem
OKTA_DPOP_PUBLIC_KEY_FILE=dpop_public.pem
`

func noEnv(string) (string, bool) { return "", false }

// project creates a folder "project" with a .env file in the working directory.
func project(t *testing.T, text string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.Mkdir("project", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, "project/.env", text)
}

func TestWalkThroughIsAConfiguration(t *testing.T) {
	project(t, walkThrough)
	cfg, err := Load(Options{EnvFile: "project/.env", Getenv: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ what, got, want string }{
		{"org_url", cfg.Okta.OrgURL, "https://acme.okta.com"},
		{"client_id", cfg.Okta.ClientID, "0oa1"},
		{"scopes", strings.Join(cfg.Okta.Scopes, " "), "okta.users.read okta.groups.read"},
		{"private_key_file", cfg.Okta.PrivateKeyFile, "project/cc_private.pem"},
		{"dpop.private_key_file", cfg.Okta.DPoP.PrivateKeyFile, "/etc/keys/dpop_private.pem"},
		{"the public key", cfg.DPoPPublicKeyFile, "project/dpop_public.pem"},
		{"store.path", cfg.Store.Path, "project/snapshots"},
		{"the export", cfg.Exports[0].Name, "all-users"},
		{"its schedule", cfg.Exports[0].Schedule, ""},
		{"the file", cfg.File, ""},
	} {
		if test.got != test.want {
			t.Errorf("%s = %q, want %q", test.what, test.got, test.want)
		}
	}
	if len(cfg.SHA256) != 64 || len(cfg.Exports) != 1 {
		t.Errorf("SHA256, exports = %q, %d", cfg.SHA256, len(cfg.Exports))
	}
}

func TestEnvironmentAloneIsAConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	values, err := parseEnv("", []byte(walkThrough))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(Options{Getenv: func(name string) (string, bool) { v, ok := values[name]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.Okta.PrivateKeyFile, "cc_private.pem"; got != want {
		t.Errorf("PrivateKeyFile = %q, want %q", got, want)
	}
	if got, want := filepath.Clean(cfg.Store.Path), "snapshots"; got != want {
		t.Errorf("Store.Path = %q, want %q", got, want)
	}
}

func TestEnvironmentFileWithAConfigurationFile(t *testing.T) {
	project(t, "NAME=staff\n")
	write(t, "oktasync.yaml", strings.Replace(smallest, "staff", "'${NAME}'", 1))
	cfg, err := Load(Options{EnvFile: "project/.env", Getenv: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Exports[0].Name; got != "staff" {
		t.Errorf("Name = %q, want staff", got)
	}
}

func TestBadWalkThroughs(t *testing.T) {
	without := func(names ...string) string {
		text := walkThrough
		for _, name := range names {
			text = strings.Replace(text, name+"=", "# "+name+"=", 1)
		}
		return text
	}
	for _, test := range []struct{ text, want string }{
		{"", "there is no oktasync.yaml, and project/.env has no variable that replaces it"},
		{without("OKTA_CLIENT_ID", "OKTA_CC_PRIVATE_KEY_FILE"),
			"there is no oktasync.yaml, and neither project/.env nor the environment has OKTA_CLIENT_ID, OKTA_CC_PRIVATE_KEY_FILE"},
		{without("OKTA_DPOP_PRIVATE_KEY_FILE"), "OKTA_DPOP_PUBLIC_KEY_FILE: needs OKTA_DPOP_PRIVATE_KEY_FILE too"},
		{strings.NewReplacer("acme.okta", "acme-admin.okta", "okta.users.read,", "").Replace(walkThrough),
			"OKTA_ORG_URL: is the Admin Console; did you mean https://acme.okta.com?\nOKTA_SCOPES: okta.users.read is missing; it is needed to read users"},
		{strings.Replace(walkThrough, "cc_private.pem", `"-----BEGIN PRIVATE KEY-----"`, 1),
			"OKTA_CC_PRIVATE_KEY_FILE: this is a key, not a path; write the key to a file"},
		{strings.Replace(walkThrough, "dpop_public.pem", `'{"kty":"EC"}'`, 1),
			"OKTA_DPOP_PUBLIC_KEY_FILE: this is a key, not a path; write the key to a file"},
	} {
		project(t, test.text)
		_, err := Load(Options{EnvFile: "project/.env", Getenv: noEnv})
		if err == nil || err.Error() != test.want {
			t.Errorf("got\n%v\nwant\n%s", err, test.want)
		}
	}
}

func TestWalkThroughWithoutDPoPKeys(t *testing.T) {
	project(t, walkThrough[:strings.Index(walkThrough, "OKTA_DPOP")])
	cfg, err := Load(Options{EnvFile: "project/.env", Getenv: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Okta.DPoP.PrivateKeyFile != "" || cfg.Okta.DPoP.Mode != "required" {
		t.Errorf("DPoP = %+v, want a required key in memory", cfg.Okta.DPoP)
	}
}

func TestStoreOnlyNeedsNoVariables(t *testing.T) {
	project(t, "OKTA_ORG_URL=nonsense\n")
	cfg, err := Load(Options{EnvFile: "project/.env", Getenv: noEnv, StoreOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.Store.Path, "project/snapshots"; got != want {
		t.Errorf("Store.Path = %q, want %q", got, want)
	}
}

// FuzzParseEnv: an accepted value in single quotes, if they can contain it, is the
// same value.
func FuzzParseEnv(f *testing.F) {
	f.Add([]byte(walkThrough))
	f.Add([]byte("A='x' # y\nexport B=\"\\n\"\nC=\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		values, err := parseEnv(".env", data)
		if err != nil {
			return
		}
		for name, value := range values {
			if strings.ContainsAny(value, "'\n\r") {
				continue
			}
			again, err := parseEnv(".env", []byte("export "+name+" = '"+value+"'"))
			if err != nil || again[name] != value {
				t.Errorf("%s = %q, quoted %q, %v", name, value, again[name], err)
			}
		}
	})
}
