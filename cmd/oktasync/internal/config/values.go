package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Values returns the values of c by dotted key, with exports by name, and the
// digests of the files that c names. The values include secrets: show only keys.
func (c *Config) Values() (map[string]string, error) {
	values := make(map[string]string)
	doc, err := document(c)
	if err != nil {
		return nil, err
	}
	delete(doc, "exports")
	flatten(values, "", doc)
	for _, export := range c.Exports {
		doc, err := document(export)
		if err != nil {
			return nil, err
		}
		flatten(values, "exports["+export.Name+"]", doc)
	}
	for field, path := range c.paths() {
		if *path != "" && field != "store.path" {
			content, _ := ReadFile(*path, MaxFile) // the user of the file reports an error
			values[field+"'s content"] = SHA256(content)
		}
	}
	return values, nil
}

func document(v any) (doc map[string]any, err error) {
	data, err := yaml.Marshal(v)
	if err != nil {
		return nil, err
	}
	return doc, yaml.Unmarshal(data, &doc)
}

func flatten(values map[string]string, field string, value any) {
	mapping, ok := value.(map[string]any)
	if !ok {
		values[field] = fmt.Sprint(value)
		return
	}
	for key, value := range mapping {
		flatten(values, child(field, key), value)
	}
}

// ChangedKeys returns the keys whose values differ. An added or removed export
// is one key.
func ChangedKeys(before, after map[string]string) []string {
	changed := make(map[string]bool)
	for _, values := range []map[string]string{before, after} {
		for key := range values {
			if was, now := before[key], after[key]; was == now {
				continue
			}
			export, _, ok := strings.Cut(key, "].")
			_, was := before[export+"].name"]
			_, is := after[export+"].name"]
			if ok && was != is {
				key = export + "]"
			}
			changed[key] = true
		}
	}
	return slices.Sorted(maps.Keys(changed))
}
