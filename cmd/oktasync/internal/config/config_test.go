package config

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"oktasync/reconcile"
)

// testEnv is the environment of the configurations under testdata.
func testEnv(name string) (string, bool) {
	value, ok := map[string]string{
		"OKTA_ORG_URL":             "https://acme.okta.com",
		"OKTA_CLIENT_ID":           "0oa1",
		"OKTA_CC_PRIVATE_KEY_FILE": "keys/client.pem",
		"EMPTY":                    "",
		"FOUR":                     "4",
		"WORD":                     "s3cret-word",
		"INJECTION":                "x\nconcurrency: 99",
		"KEY":                      "-----BEGIN PRIVATE KEY-----\nMIGH",
	}[name]
	return value, ok
}

// Each file under testdata/config/bad breaks one rule. Its first lines are comments
// "# error: 3:5: message" for all errors.
func TestBadConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/config/bad/*.yaml")
	if err != nil || len(files) < 80 {
		t.Fatalf("found %d files, %v; want 80 and more", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(data)) {
				if message, ok := strings.CutPrefix(line, "# error: "); ok {
					want = append(want, "f.yaml:"+strings.TrimSpace(message))
				}
			}
			_, err = decode("f.yaml", data, testEnv, false)
			if err == nil {
				t.Fatalf("no error, want\n%s", strings.Join(want, "\n"))
			}
			if got := err.Error(); got != strings.Join(want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
			}
		})
	}
}

func TestGoodConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/config/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(file, data, testEnv, false); err != nil {
			t.Error(err)
		}
	}
}

func TestExampleHasEveryKeyAndItsDefault(t *testing.T) {
	const example = "../../../../config.example.yaml"
	cfg, err := Load(Options{File: example, Getenv: testEnv})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Okta.OrgURL, want.Okta.ClientID, want.Okta.PrivateKeyFile = "https://acme.okta.com", "0oa1", "../../../../keys/client.pem"
	want.Store.Path = "../../../../snapshots"
	want.Okta.Scopes = []string{UsersScope}
	export := reconcile.DefaultExport()
	export.Name, export.Schedule = "all-users", "0 6 * * *"
	want.Exports = []reconcile.Export{export}
	if got, want := marshalled(t, cfg), marshalled(t, want); got != want {
		t.Errorf("the example is\n%s\nwant the defaults\n%s", got, want)
	}
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	for key := range strings.FieldsSeq(allKeys(t, want)) {
		if !bytes.Contains(data, []byte(key+":")) {
			t.Errorf("the example lacks %s", key)
		}
	}
	uncommented := regexp.MustCompile(`(?m)^    # ( *[a-z_]+:.*)$`).ReplaceAll(data, []byte("    $1"))
	all, err := decode("f.yaml", uncommented, testEnv, false)
	if err != nil {
		t.Fatal(err)
	}
	declareAll(&export)
	if got, want := marshalled(t, &Config{Exports: all.Exports}), marshalled(t, &Config{Exports: []reconcile.Export{export}}); got != want {
		t.Errorf("with the other resources, the example is\n%s\nwant the defaults\n%s", got, want)
	}
	if len(cfg.SHA256) != 64 || cfg.File != example {
		t.Errorf("File, SHA256 = %q, %q", cfg.File, cfg.SHA256)
	}
}

// marshalled returns cfg as YAML that decodes to the same configuration.
func marshalled(t *testing.T, cfg *Config) string {
	t.Helper()
	data, err := yaml.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^ *(groups|apps|group_members|group_rules|app_users|app_groups|api_tokens|factors|role_assignments): null\n`).ReplaceAllString(string(data), "")
	return strings.ReplaceAll(text, "${", "$${")
}

// allKeys returns every key that cfg's YAML has.
func allKeys(t *testing.T, cfg *Config) string {
	t.Helper()
	var keys []string
	for _, m := range regexp.MustCompile(`(?m)^[ -]*([a-z_]+):`).FindAllStringSubmatch(marshalled(t, cfg), -1) {
		keys = append(keys, m[1])
	}
	if len(keys) < 40 {
		t.Fatalf("found %d keys, want 40 and more", len(keys))
	}
	return strings.Join(keys, " ")
}

const smallest = `
okta: {org_url: "https://Acme.okta.com:443/", client_id: 0oa1, private_key_file: client.pem}
exports: [{name: staff}]
`

func TestSmallestConfiguration(t *testing.T) {
	cfg, err := decode("etc/oktasync.yaml", []byte(smallest), testEnv, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.Okta.OrgURL, "https://acme.okta.com"; got != want {
		t.Errorf("OrgURL = %q, want %q", got, want)
	}
	if got, want := cfg.Okta.PrivateKeyFile, "etc/client.pem"; got != want {
		t.Errorf("PrivateKeyFile = %q, want %q", got, want)
	}
	if got, want := cfg.Store.Path, "etc/snapshots"; got != want {
		t.Errorf("Store.Path = %q, want %q", got, want)
	}
	if !cfg.Exports[0].Users.IncludeDeprovisioned || cfg.Exports[0].Retry.Most != 3 {
		t.Error("an export lacks its defaults")
	}
}

func TestStoreOnlyIgnoresOkta(t *testing.T) {
	for _, text := range []string{
		"store: {path: /srv/snapshots}",
		"okta: {org_url: '${UNSET}', nonsense: 1}\ndaemon: {web_config_file: '${UNSET}'}\nstore: {path: /srv/snapshots, signing_key_file: '${UNSET}'}",
	} {
		cfg, err := decode("f.yaml", []byte(text), testEnv, true)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if cfg.Store.Path != "/srv/snapshots" {
			t.Errorf("Store.Path = %q, want /srv/snapshots", cfg.Store.Path)
		}
	}
	_, err := decode("f.yaml", []byte("stroe: {}"), testEnv, true)
	if want := "f.yaml:1:1: unknown key stroe; did you mean store?"; err == nil || err.Error() != want {
		t.Errorf("err = %v, want %s", err, want)
	}
}

func TestVariableCannotAddKeys(t *testing.T) {
	text := strings.Replace(smallest, "client_id: 0oa1", `client_id: 0oa1, private_key_id: "${INJECTION}"`, 1)
	cfg, err := decode("f.yaml", []byte(text), testEnv, false)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Okta.Concurrency != 4 || cfg.Okta.PrivateKeyID != "x\nconcurrency: 99" {
		t.Errorf("Concurrency, PrivateKeyID = %d, %q", cfg.Okta.Concurrency, cfg.Okta.PrivateKeyID)
	}
}

func TestMessagesContainNoSecret(t *testing.T) {
	for _, text := range []string{
		strings.Replace(smallest, "client.pem", `"-----BEGIN PRIVATE KEY-----\nMIGH"`, 1),
		strings.Replace(smallest, "client.pem", `"${KEY}"`, 1),
		strings.Replace(smallest, "client.pem", `'{"kty":"EC","d":"MIGH"}'`, 1),
		strings.Replace(smallest, "client_id: 0oa1", `client_id: 0oa1, concurrency: "${WORD}"`, 1),
		strings.Replace(smallest, "https://Acme.okta.com:443/", "https://admin:s3cret-word@acme.okta.com", 1),
		strings.Replace(smallest, "client_id: 0oa1", `client_id: 0oa1, concurrency: "-----BEGIN PRIVATE KEY-----\nMIGH"`, 1),
		smallest + `log: {level: "-----BEGIN PRIVATE KEY-----\nMIGH"}`,
		smallest + `daemon: {heartbeat_url: "s3cret-word"}`,
	} {
		_, err := decode("f.yaml", []byte(text), testEnv, false)
		if err == nil {
			t.Errorf("%s: no error", text)
			continue
		}
		for _, secret := range []string{"MIGH", "BEGIN", "s3cret"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%v\nshows %s", err, secret)
			}
		}
	}
}

func TestLoadFindsTheFile(t *testing.T) {
	t.Chdir(t.TempDir())
	none := func(string) (string, bool) { return "", false }
	write(t, "oktasync.yaml", smallest)
	write(t, "other.yaml", strings.Replace(smallest, "staff", "others", 1))
	other := func(name string) (string, bool) { return "other.yaml", name == "OKTASYNC_CONFIG" }
	for _, test := range []struct {
		opts Options
		want string
	}{
		{Options{Getenv: none}, "staff"},
		{Options{Getenv: other}, "others"},
		{Options{Getenv: other, File: "oktasync.yaml"}, "staff"},
	} {
		cfg, err := Load(test.opts)
		if err != nil {
			t.Error(err)
		} else if got := cfg.Exports[0].Name; got != test.want {
			t.Errorf("Load(%s), want %s", got, test.want)
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSelectExports(t *testing.T) {
	c := &Config{Exports: []reconcile.Export{{Name: "staff"}, {Name: "guests"}}}
	names := func(exports []reconcile.Export) (list []string) {
		for _, e := range exports {
			list = append(list, e.Name)
		}
		return list
	}
	if got, err := c.Select(nil); err != nil || len(got) != 2 {
		t.Errorf("Select() = %v, %v, want both", names(got), err)
	}
	got, err := c.Select([]string{"guests", "guests"})
	if err != nil || !slices.Equal(names(got), []string{"guests"}) {
		t.Errorf("Select(guests, guests) = %v, %v, want guests", names(got), err)
	}
	_, err = c.Select([]string{"stfaf", "robots"})
	want := "unknown export stfaf; did you mean staff?\nunknown export robots; use staff or guests"
	if err == nil || err.Error() != want {
		t.Errorf("err = %v, want %s", err, want)
	}
}

// FuzzDecode: a document is either rejected with the position of each problem, or
// accepted. An accepted document, written as YAML and read again, is the same.
func FuzzDecode(f *testing.F) {
	seeds, err := filepath.Glob("testdata/config/*/*.yaml")
	if err != nil || len(seeds) < 50 {
		f.Fatalf("found %d seeds, %v; want 50 and more", len(seeds), err)
	}
	for _, file := range append(seeds, "../../../../config.example.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	line := regexp.MustCompile(`^/f\.yaml:[1-9][0-9]*:[1-9][0-9]*: [^\n\x00-\x1f]+$`)
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := decode("/f.yaml", data, testEnv, false)
		if err != nil {
			for _, message := range strings.Split(err.Error(), "\n") {
				if !line.MatchString(message) {
					t.Errorf("a message without its position: %q", message)
				}
			}
			return
		}
		first := marshalled(t, cfg)
		again, err := decode("/f.yaml", []byte(first), testEnv, false)
		if err != nil {
			t.Fatalf("%v\nin\n%s", err, first)
		}
		if second := marshalled(t, again); second != first {
			t.Errorf("written and read again, it is\n%s\nwant\n%s", second, first)
		}
	})
}
