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
	"oktasync/reconcile/snapshot"
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
	kind    string // type of the value, for people
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
			path: path, kind: kindOf(v), def: yamlText(t, v), example: f.Tag.Get("example"),
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

func kindOf(v reflect.Value) string {
	switch v.Interface().(type) {
	case time.Duration:
		return "duration"
	case snapshot.Limit:
		return "percentage or count"
	}
	switch v.Kind() {
	case reflect.Slice:
		return "list of texts"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Float64:
		return "number"
	}
	return "text"
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

// sections are the parts of the page, with the prefix of their keys.
var sections = []struct{ prefix, title, owner string }{
	{"okta.", "okta", "OktaConfig"},
	{"okta.dpop.", "okta.dpop", "DPoPConfig"},
	{"store.", "store", "StoreConfig"},
	{"exports[].", "exports", "Export"},
	{"exports[].retry.", "exports: retry", "Retry"},
	{"exports[].users.", "exports: users", "Users"},
	{"exports[].users.attributes.", "exports: users.attributes", "Attributes"},
	{"exports[].users.changes.", "exports: users.changes", "UserChanges"},
	{"exports[].users.guard.", "exports: users.guard", "UserGuard"},
	{"exports[].groups.", "exports: groups and other resources", "Resource"},
	{"exports[].groups.attributes.", "exports: groups and other resources: attributes", "Attributes"},
	{"exports[].groups.changes.", "exports: groups and other resources: changes", "Changes"},
	{"exports[].groups.guard.", "exports: groups and other resources: guard", "Guard"},
	{"exports[].group_members.", "exports: group_members", "GroupMembers"},
	{"exports[].retain.", "exports: retain", "Retain"},
	{"daemon.", "daemon", "DaemonConfig"},
	{"daemon.notify[].", "daemon.notify", "NotifyConfig"},
	{"log.", "log", "LogConfig"},
}

func configPage(t *testing.T) []byte {
	t.Helper()
	types := fieldComments(t, "config.go", "../../../../reconcile/export.go", "../../../../reconcile/resource.go")
	var b bytes.Buffer
	fmt.Fprintf(&b, `<!-- Generated from the configuration's types by go test ./cmd/oktasync/internal/config -run ConfigurationPage -update. -->
# Configuration

%s

An unknown key, a duplicate key, a wrong type, an empty file or a second document is an error. `+"`oktasync validate`"+` reports all
errors at once, with line and column, without a network. Quote a value that contains a variable if it is within brackets or braces.
oktasync uses `+"`HTTPS_PROXY` and `NO_PROXY`"+`. [config.example.yaml](../config.example.yaml) contains every key.
`, wrapped(types["Config"]))
	keys := configKeys(t)
	shown := 0
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", s.title, wrapped(types[s.owner]))
		if s.owner == "Resource" {
			shown += resourceTable(&b, types, keys)
		}
		heading := "\n| key | type | default | meaning | example |\n| --- | --- | --- | --- | --- |\n"
		for _, k := range keys {
			name, ok := strings.CutPrefix(k.path, s.prefix)
			if !ok || strings.Contains(name, ".") || s.owner == "GroupMembers" && ofEveryResource(keys, k.path) {
				continue
			}
			shown++
			b.WriteString(heading)
			heading = "" // a section without own keys has no table
			def := code(k.def)
			if k.must {
				def = "required"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, k.kind, def, k.meaning, code(k.example))
		}
	}
	if shown != len(keys) {
		t.Errorf("the page shows %d of %d keys: a section is missing", shown, len(keys))
	}
	return b.Bytes()
}

// resourceTable writes the defaults of the resources besides users. It returns the
// number of their keys without those of groups, which have sections of their own.
func resourceTable(b *bytes.Buffer, types map[string]string, keys []configKey) (shown int) {
	export := reconcile.DefaultExport()
	declareAll(&export)
	b.WriteString("\n| key | meaning | `changes.ignore` | `guard` |\n| --- | --- | --- | --- |\n")
	for _, r := range export.Resources() {
		name := r.Resource.Name
		if name == "users" {
			continue
		}
		meaning := ""
		for field := range reflect.TypeFor[reconcile.Export]().Fields() {
			if field.Tag.Get("yaml") == name {
				meaning = types["Export."+field.Name]
			}
		}
		guard := fmt.Sprintf("{max_removed: %s, at_least: %d, min: %d}", r.Guard.MaxRemoved, r.Guard.AtLeast, r.Guard.Min)
		fmt.Fprintf(b, "| `%s` | %s | `[%s]` | `%s` |\n", name, meaning, strings.Join(r.Changes.Ignore, ", "), guard)
		for _, k := range keys {
			if name != "groups" && strings.HasPrefix(k.path, "exports[]."+name+".") && ofEveryResource(keys, k.path) {
				shown++
			}
		}
	}
	return shown
}

// ofEveryResource reports whether groups have the key of another resource too.
func ofEveryResource(keys []configKey, path string) bool {
	_, key, _ := strings.Cut(strings.TrimPrefix(path, "exports[]."), ".")
	return slices.ContainsFunc(keys, func(k configKey) bool { return k.path == "exports[].groups."+key })
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
