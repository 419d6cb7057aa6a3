package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
)

func (d *decoder) document(data []byte, into any) {
	d.root = reflect.TypeOf(into).Elem()
	d.at = map[string]Position{"": {1, 1}}
	d.bad = make(map[string]bool)
	var doc, second yaml.Node
	documents := yaml.NewDecoder(bytes.NewReader(data))
	err := documents.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && doc.Content[0].Tag == "!!null" {
		text := "the file is empty"
		if d.root == reflect.TypeFor[Config]() {
			text += "; see config.example.yaml"
		}
		d.fail("", d.at[""], text)
		return
	}
	if err == nil {
		d.value(doc.Content[0], reflect.ValueOf(into).Elem(), "")
		if err = documents.Decode(&second); err == nil {
			d.note(place(&second), "only one document is allowed; a second one begins here")
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		at, text := syntaxProblem(data, err)
		d.fail("", at, text)
	}
}

// value decodes n into v.
func (d *decoder) value(n *yaml.Node, v reflect.Value, field string) {
	switch {
	case v.Kind() == reflect.Pointer && n.Tag != "!!null":
		target := reflect.New(v.Type().Elem())
		if d, ok := target.Interface().(interface{ SetDefaults(key string) }); ok {
			d.SetDefaults(field[strings.LastIndex(field, ".")+1:])
		}
		v.Set(target)
		d.value(n, target.Elem(), field)
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.failValue(n, field, "anchors and aliases (& and *) are not supported; repeat the value")
	case n.Style&yaml.TaggedStyle != 0:
		d.failValue(n, field, "tags such as %s are not supported", term.Word(n.Tag))
	case n.Tag == "!!null":
		d.failValue(n, field, "has no value; remove the key%s", empty(v))
	case v.Kind() == reflect.Struct && !isText(v) || v.Kind() == reflect.Map:
		d.mapping(n, v, field)
	case v.Kind() == reflect.Slice:
		d.sequence(n, v, field)
	default:
		d.scalar(n, v, field)
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.MappingNode {
		d.failValue(n, field, "expected keys and values, found %s", described(n))
		return
	}
	lines := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := child(field, key.Value)
		switch first := lines[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.Value == "":
			d.failValue(key, field, "a key must be text")
		case key.Tag == "!!merge":
			d.failValue(key, field, "merging (<<) is not supported; repeat the keys")
		case first > 0:
			d.fail(name, place(key), fmt.Sprintf("%s: is a duplicate of line %d", child(field, term.Word(key.Value)), first))
		case slices.Contains(d.skip, name):
		default:
			d.member(key, value, v, field)
		}
		lines[key.Value] = key.Line
	}
}

// member decodes the value of a key into the field of v with this key.
func (d *decoder) member(key, value *yaml.Node, v reflect.Value, field string) {
	if v.Kind() == reflect.Map { // any key is allowed
		name, entry := child(field, key.Value), reflect.New(v.Type().Elem()).Elem()
		d.at[name] = place(value)
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		d.value(value, entry, name)
		v.SetMapIndex(reflect.ValueOf(key.Value), entry)
		return
	}
	keys := keysOf(v.Type())
	i := slices.Index(keys, key.Value)
	if i < 0 {
		d.unknown(key, field, keys)
		return
	}
	name := child(field, key.Value)
	d.at[name] = place(value)
	if value.Kind == yaml.MappingNode { // a missing key is reported there
		d.at[name] = place(key)
	}
	d.value(value, v.Field(i), name)
}

// keysOf returns the key of each field of a struct, and "" for a field without a key.
func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "-" {
			keys[i] = tag
		}
	}
	return keys
}

func (d *decoder) unknown(key *yaml.Node, field string, keys []string) {
	known := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return k == "" })
	hint := term.Suggestion(key.Value, known)
	if near := term.Nearest(key.Value, known); near != "" {
		d.bad[child(field, near)] = true // don't report it as missing
	} else if home, ok := homeOf(d.root, "", key.Value); ok {
		hint = "it belongs to " + home
	}
	d.fail(child(field, key.Value), place(key), fmt.Sprintf("unknown key %s; %s", child(field, term.Word(key.Value)), hint))
}

// homeOf returns the first field below t that has the key.
func homeOf(t reflect.Type, field, key string) (string, bool) {
	if t.Kind() == reflect.Slice {
		t, field = t.Elem(), field+"[]"
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return "", false
	}
	keys := keysOf(t)
	if field != "" && slices.Contains(keys, key) {
		return field, true
	}
	for i, k := range keys {
		if k != "" {
			if home, ok := homeOf(t.Field(i).Type, child(field, k), key); ok {
				return home, true
			}
		}
	}
	return "", false
}

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.SequenceNode {
		d.failValue(n, field, "expected a list, found %s", described(n))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		if e, ok := list.Index(i).Addr().Interface().(*reconcile.Export); ok {
			*e = reconcile.DefaultExport()
			e.Users = nil // until the file declares them
		}
		name := fmt.Sprintf("%s[%d]", field, i)
		d.at[name] = place(item)
		d.value(item, list.Index(i), name)
	}
	v.Set(list)
}
