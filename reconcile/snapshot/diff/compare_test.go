package diff_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// FuzzDiff applies each change: the old state without the leaves of Before and
// with those of After is the new state. Paths are the paths of these leaves.
func FuzzDiff(f *testing.F) {
	seeds := [][2]string{
		{`{"a":1,"b":{"c":null,"d":[1,null]}}`, `{"a":1.0,"b":{"d":[1]},"e":{}}`},
		{`{"a":{"b":{}}}`, `{"a":{"b":{"c":1}},"a.b":2}`},
		{`{"a\"":{"x":1},"a!":2}`, `{"a\"":{"x":2},"a#":null}`},
		{recordtest.Users(2)[0], recordtest.Users(2)[1]},
	}
	for _, seed := range seeds {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		before, errA := canonjson.Canonical(nil, a)
		after, errB := canonjson.Canonical(nil, b)
		if errA != nil || errB != nil || before[0] != '{' || after[0] != '{' {
			return
		}
		list := func(user []byte) *recordtest.List {
			return &recordtest.List{Records: []diff.Record{{Key: []byte("1"), JSON: user}}}
		}
		var change *diff.Change
		_, err := diff.Diff(list(before), list(after), rulesOf(snapshot.Users, snapshot.Changes{}), func(c *diff.Change) error {
			change = c
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		was, is := prune(recordtest.Decode(t, before), false), prune(recordtest.Decode(t, after), false)
		if change == nil {
			if a, b := recordtest.Encode(nil, was), recordtest.Encode(nil, is); !bytes.Equal(a, b) {
				t.Errorf("Diff finds no difference between %s and %s", a, b)
			}
			return
		}
		if again := recordtest.Canonical(t, string(change.Before)+" "); !bytes.Equal(again, change.Before) {
			t.Errorf("Before = %s, not canonical", change.Before)
		}
		got := with(without(was, recordtest.Decode(t, change.Before)), recordtest.Decode(t, change.After))
		if got, want := recordtest.Encode(nil, prune(got, true)), recordtest.Encode(nil, prune(is, true)); !bytes.Equal(got, want) {
			t.Errorf("Diff(%s, %s): before - %s + %s = %s", before, after, change.Before, change.After, got)
		}
		differing := leaves("", recordtest.Decode(t, change.Before), leaves("", recordtest.Decode(t, change.After), map[string]bool{}))
		for path := range differing {
			if !slices.ContainsFunc(change.Paths, func(p string) bool { return path == p || strings.HasPrefix(path, p+".") }) {
				t.Errorf("Paths = %q, without %q", change.Paths, path)
			}
		}
		for _, p := range change.Paths {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(differing)), func(path string) bool { return path == p || strings.HasPrefix(path, p+".") }) {
				t.Errorf("Paths = %q, and nothing differs at %q", change.Paths, p)
			}
		}
	})
}

// prune removes members that are null and, if empty is set, empty objects.
func prune(v any, empty bool) any {
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, element := range v {
			out = append(out, prune(element, false))
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name, value := range v {
			value = prune(value, empty)
			if object, ok := value.(map[string]any); value != nil && !(ok && empty && len(object) == 0) {
				out[name] = value
			}
		}
		return out
	}
	return v
}

// without returns v without the leaves of w.
func without(v, w any) any {
	from, inside := v.(map[string]any)
	gone, objects := w.(map[string]any)
	if !inside || !objects {
		return map[string]any{}
	}
	out := maps.Clone(from)
	for name, value := range gone {
		if inner, ok := value.(map[string]any); ok && len(inner) > 0 {
			out[name] = without(out[name], value)
		} else {
			delete(out, name)
		}
	}
	return out
}

// with returns v with the leaves of w.
func with(v, w any) any {
	more, ok := w.(map[string]any)
	if !ok {
		return w
	}
	out, _ := v.(map[string]any)
	if out = maps.Clone(out); out == nil {
		out = map[string]any{}
	}
	for name, value := range more {
		out[name] = with(out[name], value)
	}
	return out
}

// leaves adds the paths of all values that aren't objects with members.
func leaves(prefix string, v any, into map[string]bool) map[string]bool {
	for name, value := range v.(map[string]any) {
		if inner, ok := value.(map[string]any); ok && len(inner) > 0 {
			leaves(prefix+name+".", value, into)
		} else {
			into[prefix+name] = true
		}
	}
	return into
}
