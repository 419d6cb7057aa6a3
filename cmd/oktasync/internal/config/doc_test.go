package config

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"oktasync/reconcile"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

const configurationPage = "../../../../docs/configuration.md"

// docs/configuration.md consists of the comments, defaults and example tags of the
// configuration's types.
func TestConfigurationPage(t *testing.T) {
	page := configPage(t)
	if *update {
		if err := os.WriteFile(configurationPage, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, page) {
		t.Error("docs/configuration.md differs from the types; go test ./cmd/oktasync/internal/config -run ConfigurationPage -update rewrites it")
	}
}

// Each example is a valid value, and not the default.
func TestConfigurationExamples(t *testing.T) {
	for _, k := range configKeys(t) {
		if k.example == k.def || k.example == "" {
			if k.path != "okta.scopes" {
				t.Errorf("%s: the example %q is the default", k.path, k.example)
			}
			continue
		}
		var root map[string]any
		if err := yaml.Unmarshal([]byte(smallest), &root); err != nil {
			t.Fatal(err)
		}
		var value any
		if err := yaml.Unmarshal([]byte(k.example), &value); err != nil {
			value = k.example
		}
		putAt(root, strings.Split(k.path, "."), value)
		for _, parent := range []string{"group", "app"} {
			if strings.HasPrefix(k.path, "exports[]."+parent+"_") {
				putAt(root, strings.Split("exports[]."+parent+"s", "."), map[string]any{})
			}
		}
		if strings.HasPrefix(k.path, "exports[].factors.") {
			putAt(root, strings.Split("exports[].users", "."), map[string]any{})
		}
		if strings.HasPrefix(k.path, "daemon.notify") {
			putAt(root, strings.Split("daemon.notify[].url_file", "."), "hook.url")
		}
		text, err := yaml.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		env := func(name string) (string, bool) { return "/run/credentials", name == "CREDENTIALS_DIRECTORY" }
		if _, err := decode("f.yaml", text, env, false); err != nil {
			t.Errorf("%s: %s: %v", k.path, k.example, err)
		}
	}
}

// putAt sets a value of a document. "exports[]" is the first element of a list.
func putAt(in map[string]any, path []string, value any) {
	name, list := strings.CutSuffix(path[0], "[]")
	if len(path) == 1 {
		in[name] = value
		return
	}
	if list {
		elements, _ := in[name].([]any)
		if len(elements) == 0 {
			elements = []any{map[string]any{}}
			in[name] = elements
		}
		putAt(elements[0].(map[string]any), path[1:], value)
		return
	}
	inner, ok := in[name].(map[string]any)
	if !ok {
		inner = map[string]any{}
		in[name] = inner
	}
	putAt(inner, path[1:], value)
}

// configKey is one key of the configuration.
type configKey struct {
	path    string // exports[].users.search
	def     string // its default as YAML
	must    bool   // it has no default
	meaning string
	example string
}

// configKeys returns the keys of the configuration, in their order.
func configKeys(t *testing.T) []configKey {
	t.Helper()
	comments := fieldComments(t, "config.go", "../../../../reconcile/export.go", "../../../../reconcile/resource.go")
	cfg := *Default()
	export := reconcile.DefaultExport()
	declareAll(&export)
	cfg.Exports = []reconcile.Export{export}
	cfg.Daemon.Notify = []NotifyConfig{{On: []string{}}}
	_, missing := decode("f.yaml", []byte("exports: [{}]\ndaemon: {notify: [{}]}\n"), os.LookupEnv, false)
	var keys []configKey
	walkConfig(reflect.ValueOf(cfg), "", func(path string, owner reflect.Type, f reflect.StructField, v reflect.Value) {
		keys = append(keys, configKey{
			path: path, def: yamlText(t, v), example: f.Tag.Get("example"),
			meaning: comments[owner.Name()+"."+f.Name],
			must:    strings.Contains(missing.Error(), " "+strings.ReplaceAll(path, "[]", "[0]")+": is missing"),
		})
		if comments[owner.Name()+"."+f.Name] == "" {
			t.Errorf("%s.%s has no comment for %s", owner.Name(), f.Name, path)
		}
	})
	return keys
}

// declareAll declares all resources with their defaults.
func declareAll(export *reconcile.Export) {
	v := reflect.ValueOf(export).Elem()
	for i := range v.NumField() {
		if v.Field(i).Type() == reflect.TypeFor[*reconcile.Resource]() {
			r := new(reconcile.Resource)
			r.SetDefaults(v.Type().Field(i).Tag.Get("yaml"))
			v.Field(i).Set(reflect.ValueOf(r))
		}
	}
	export.GroupMembers = new(reconcile.GroupMembers)
	export.GroupMembers.SetDefaults("group_members")
}

// walkConfig visits every field that is a key without keys below it.
func walkConfig(v reflect.Value, prefix string, visit func(string, reflect.Type, reflect.StructField, reflect.Value)) {
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		key := f.Tag.Get("yaml")
		if key == "" || key == "-" {
			continue
		}
		if value.Kind() == reflect.Pointer {
			value = value.Elem()
		}
		_, text := value.Interface().(interface{ MarshalText() ([]byte, error) })
		switch {
		case value.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Struct:
			walkConfig(value.Index(0), prefix+key+"[].", visit)
		case value.Kind() == reflect.Struct && !text:
			walkConfig(value, prefix+key+".", visit)
		default:
			visit(prefix+key, v.Type(), f, value)
		}
	}
}

// yamlText returns a default as YAML.
func yamlText(t *testing.T, v reflect.Value) string {
	t.Helper()
	if d, ok := v.Interface().(time.Duration); ok {
		return strings.NewReplacer("h0m0s", "h", "m0s", "m").Replace(d.String())
	}
	var node yaml.Node
	if err := node.Encode(v.Interface()); err != nil {
		t.Fatal(err)
	}
	if node.Kind == yaml.SequenceNode {
		node.Style = yaml.FlowStyle
	} else if node.Style != 0 {
		node.Style = yaml.DoubleQuotedStyle
	}
	text, err := yaml.Marshal(&node)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

// fieldComments returns the comments of types and their fields, by "Type" and
// "Type.Field", as sentences without the name.
func fieldComments(t *testing.T, files ...string) map[string]string {
	t.Helper()
	comments := map[string]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			decl, ok := n.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE {
				return true
			}
			spec := decl.Specs[0].(*ast.TypeSpec)
			comments[spec.Name.Name] = sentence(spec.Name.Name, decl.Doc.Text())
			if fields, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range fields.Fields.List {
					if len(f.Names) == 0 {
						continue // embedded
					}
					comments[spec.Name.Name+"."+f.Names[0].Name] = sentence(f.Names[0].Name, f.Doc.Text())
				}
			}
			return true
		})
	}
	return comments
}

// sentence returns a comment without the name at its beginning.
func sentence(name, comment string) string {
	first, _, _ := strings.Cut(comment, "\n\n") // further paragraphs are for programmers
	text := strings.Join(strings.Fields(first), " ")
	if rest, ok := strings.CutPrefix(text, name+" "); ok {
		text = rest
		for _, verb := range []string{"is ", "are ", "says "} {
			text = strings.TrimPrefix(text, verb)
		}
	}
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// sections are the parts of the page, with the prefix of their keys. A key belongs to
// the section with the longest prefix.
var sections = []struct{ prefix, title, intro string }{
	{"okta.", "okta", ""},
	{"store.", "store", ""},
	{"exports[].", "exports", ""},
	{"exports[].users.", "exports: users", "In the following keys, a path names an attribute of a record, such as `profile.email`. It also covers everything below it: " +
		"`profile` covers `profile.email`. A JSON array in a record is kept or removed as a whole. The attributes that identify a record, and its `status`, are always kept. " +
		"The [guard](operating.md#quarantine) stops a read that differs too much from the snapshot before it."},
	{otherResources, "exports: groups and other resources", "[resources.md](resources.md) describes the resources. All of them have the keys of the second table. The first table has the defaults of their guards:"},
	{"exports[].group_members.", "exports: group_members", "For [incremental refresh](resources.md#incremental-refresh), group members have two more keys:"},
	{"exports[].retain.", "exports: retain", "[Retention](operating.md#disk-space-and-retention) keeps the newest snapshots, and the newest one of each day, week, month and year. " +
		"Without any key, it keeps everything."},
	{"daemon.", "daemon", "Only `oktasync run` uses these keys. See [web.md](web.md) and [notify.md](notify.md)."},
	{"log.", "log", ""},
}

const otherResources = "exports[].groups."

// sectionOf returns the prefix of the section of a key.
func sectionOf(path string) (prefix string) {
	for _, s := range sections {
		if strings.HasPrefix(path, s.prefix) && len(s.prefix) > len(prefix) {
			prefix = s.prefix
		}
	}
	return prefix
}

func configPage(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(`<!-- Generated from the configuration's types by go test ./cmd/oktasync/internal/config -run ConfigurationPage -update. -->
# Configuration

`)
	b.WriteString(wrapped("oktasync reads `oktasync.yaml`, or the file in `--config` or `$OKTASYNC_CONFIG`. [config.example.yaml](../config.example.yaml) contains "+
		"every key, and `oktasync validate` reports all errors at once, without a network. An unknown or duplicate key is an error.") + "\n\n")
	b.WriteString(wrapped("In a value, `${NAME}` is an environment variable, `${NAME:-default}` has a default, and `$${` is a literal `${`. Quote a value with "+
		"a variable if the value is in a YAML list in brackets (`[…]`) or a mapping in braces (`{…}`). Relative paths are relative to the folder of the file, or to the working directory "+
		"if the file is a pipe. oktasync uses `HTTPS_PROXY` and `NO_PROXY`.") + "\n")
	keys := configKeys(t)
	shown := 0
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n", s.title)
		if s.intro != "" {
			fmt.Fprintf(&b, "\n%s\n", wrapped(s.intro))
		}
		if s.prefix == otherResources {
			writeResources(&b)
		}
		b.WriteString("\n| key | default | meaning | example |\n| --- | --- | --- | --- |\n")
		for _, k := range keys {
			switch {
			case s.prefix == otherResources && isRepeated(keys, k.path):
				shown++
				continue
			case sectionOf(k.path) != s.prefix || isRepeated(keys, k.path):
				continue
			}
			shown++
			def := code(k.def)
			switch {
			case k.must:
				def = "required"
			case strings.HasPrefix(k.path, otherResources+"guard."):
				def = "see above"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", strings.TrimPrefix(k.path, s.prefix), def, k.meaning, code(k.example))
		}
	}
	if shown != len(keys) {
		t.Errorf("the page shows %d of %d keys: a section is missing", shown, len(keys))
	}
	return b.Bytes()
}

// writeResources writes the defaults of the resources besides users.
func writeResources(b *bytes.Buffer) {
	export := reconcile.DefaultExport()
	declareAll(&export)
	b.WriteString("\n| resource | `max_removed` | `at_least` | `min` |\n| --- | --- | --- | --- |\n")
	var more string
	for _, r := range export.Resources() {
		name := r.Resource.Name
		if name == "users" {
			continue
		}
		limit, least := r.Guard.MaxRemoved.String(), fmt.Sprint(r.Guard.AtLeast)
		if limit == "100%" {
			limit += " (no limit)"
		}
		fmt.Fprintf(b, "| [`%s`](resources.md#%s) | %s | %s | %d |\n", name, name, limit, least, r.Guard.Min)
		for _, path := range r.Changes.Ignore {
			if !slices.Contains(export.Groups.Changes.Ignore, path) {
				more += fmt.Sprintf("\nBy default, `changes.ignore` of `%s` also contains `%s`.\n", name, path)
			}
		}
	}
	b.WriteString(more)
}

// isRepeated reports whether a key of a resource besides users and groups is also one of
// groups.
func isRepeated(keys []configKey, path string) bool {
	resource, key, ok := strings.Cut(strings.TrimPrefix(path, "exports[]."), ".")
	return ok && resource != "users" && resource != "groups" &&
		slices.ContainsFunc(keys, func(k configKey) bool { return k.path == otherResources+key })
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "|", "\\|") + "`"
}

// wrapped wraps a paragraph at 130 characters.
func wrapped(text string) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > 130 {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return strings.Join(append(lines, line), "\n")
}
