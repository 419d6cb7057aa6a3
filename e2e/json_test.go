package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// Each --json is one document of the shape that docs/json.md says; and what that
// page says has been seen.
func TestJSON(t *testing.T) {
	t.Parallel()
	needs(t, "ssh-keygen")
	page, err := os.ReadFile("../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	shapes := readShapes(t, string(page))
	s := newTestSite(t, sandbox.Config{Seed: 1, Users: 120})
	show := func(status int, kind string, args ...string) any {
		t.Helper()
		args = append(args, "--json")
		r := s.must(t, status, args...)
		d := json.NewDecoder(strings.NewReader(r.stdout))
		var doc any
		if err := d.Decode(&doc); err != nil {
			t.Fatalf("oktasync %s: %v\n%s", strings.Join(args, " "), err, r.stdout)
		}
		if _, err := d.Token(); err != io.EOF {
			t.Errorf("oktasync %s: prints more than one document", strings.Join(args, " "))
		}
		shapes.check(kind, doc, "oktasync "+strings.Join(args, " ")+": ")
		return doc
	}
	runEverything(t, s, show)
	for _, path := range shapes.unseen() {
		t.Errorf("docs/json.md: %s was never seen", path)
	}
}

// runEverything brings a store into every state that a document can tell of.
func runEverything(t *testing.T, s *site, show func(status int, kind string, args ...string) any) {
	t.Helper()
	sign := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "signing-key")
	sign.Dir = s.dir
	if out, err := sign.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	config := func(more string) {
		text := s.config("    schedule: \"@daily\"\n" + more)
		text = strings.Replace(text, "store:\n", "store:\n  signing_key_file: signing-key\n", 1)
		if err := os.WriteFile(filepath.Join(s.dir, "oktasync.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	show(0, "initialization", "init", "--config", "made.yaml", "--signing-key", "--change-request")
	config("")
	show(0, "validation", "validate")
	show(0, "list of finding", "doctor")
	show(0, "list of plan", "plan")
	show(0, "list of manifest", "apply")
	s.org.Join(2)
	moved := s.org.Move(2)
	s.org.Deactivate(1)
	s.org.Delete(1)
	show(2, "list of plan", "plan", "--detailed-exitcode")
	show(0, "list of manifest", "apply")
	show(0, "diff", "diff", "all-users")
	show(0, "history", "history", "all-users", moved[0])
	show(0, "status", "status")

	s.org.Wipe()
	show(3, "list of plan", "plan", "--detailed-exitcode")
	show(3, "list of manifest", "apply")
	show(0, "list of reading", "quarantine", "list")
	show(0, "diff", "quarantine", "diff", "all-users")
	show(0, "status", "status") // quarantined
	s.must(t, 0, "quarantine", "release", "all-users", "--reason", "a test")
	s.org.Restore()
	show(0, "list of manifest", "apply")
	show(0, "list of manifest", "list") // the release is in it
	s.must(t, 0, "verify")

	if err := os.Remove(filepath.Join(s.dir, "snapshots/all-users/latest/users.csv")); err != nil {
		t.Fatal(err)
	}
	show(0, "list of plan", "plan") // users.csv is missing
	show(0, "status", "status")     // and seen to be
	show(1, "verification", "verify")
	config("    retain: {last: 2}\n")
	show(0, "list of plan", "plan")
	show(0, "list of manifest", "apply")
	show(0, "history", "history", "all-users", moved[0])
	newest, err := os.Readlink(filepath.Join(s.dir, "snapshots/all-users/latest"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "snapshots/all-users", newest)); err != nil {
		t.Fatal(err)
	}
	show(1, "list of manifest", "apply")
	show(0, "status", "status") // failing
	s.must(t, 0, "adopt", "all-users", "--reason", "a test")
	show(0, "list of manifest", "apply")
	show(0, "verification", "verify")
	show(0, "list of head", "status", "--heads")
	d := s.startWith(t, strings.Replace(s.config(""), "daemon:\n", "daemon:\n  verify: \"@every 1s\"\n", 1))
	d.wait("verified")
	d.stop(syscall.SIGTERM)
	show(0, "status", "status")
	show(0, "version", "version")
	if err := os.WriteFile(filepath.Join(s.dir, "bad.yaml"), []byte("okta: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	show(1, "validation", "validate", "--config", "bad.yaml")
}

// shapes are the sections of docs/json.md, by their names.
type shapes struct {
	t        *testing.T
	sections map[string]map[string]string // field to its type
	seen     map[string]bool              // "section field"
	said     map[string]bool              // what has been found wrong
}

// wrong reports something once.
func (s *shapes) wrong(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !s.said[text] {
		s.said[text] = true
		s.t.Error(text)
	}
}

func readShapes(t *testing.T, page string) *shapes {
	t.Helper()
	s := &shapes{t: t, sections: map[string]map[string]string{}, seen: map[string]bool{}, said: map[string]bool{}}
	item := regexp.MustCompile("^( *)- ((?:`[^`]+`(?:, )?)+): ([^.\n]+)")
	section := ""
	var parents []string // of an item, by its depth: "entries[]."
	for line := range strings.Lines(page) {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.TrimSpace(name)
			s.sections[section] = map[string]string{}
			parents = []string{""}
			continue
		}
		m := item.FindStringSubmatch(line)
		if section == "" || m == nil {
			continue
		}
		depth := len(m[1]) / 2
		kind := regexp.MustCompile(`\[(\w+)\]\(#\w+\)`).ReplaceAllString(m[3], "$1")
		parent := parents[depth]
		parents = parents[:depth+1]
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(m[2], -1) {
			field := parent + name[1]
			s.sections[section][field] = kind
			if strings.HasPrefix(kind, "list of ") {
				field += "[]"
			}
			parents = append(parents[:depth+1], field+".")
		}
	}
	return s
}

// check holds a value against a type such as "list of plan" or "time or null".
func (s *shapes) check(kind string, v any, where string) {
	if rest, ok := strings.CutSuffix(kind, " or null"); ok {
		if v == nil {
			return
		}
		kind = rest
	}
	if element, ok := strings.CutPrefix(kind, "list of "); ok {
		list, ok := v.([]any)
		if !ok {
			s.wrong("%s is %T, want a list", where, v)
		}
		for _, e := range list {
			s.check(element, e, where+"[]")
		}
		return
	}
	if element, ok := strings.CutPrefix(kind, "map of "); ok {
		m, ok := v.(map[string]any)
		if !ok {
			s.wrong("%s is %T, want an object", where, v)
		}
		for _, e := range m {
			s.check(element, e, where+".*")
		}
		return
	}
	if _, section := s.sections[kind]; section {
		s.members(kind, "", v, where)
		return
	}
	if got := jsonKind(v, kind == "time"); got != kind {
		s.wrong("%s is %s, want %s", where, got, kind)
	}
}

func jsonKind(v any, timed bool) string {
	switch v := v.(type) {
	case string:
		if _, err := time.Parse(time.RFC3339, v); err == nil && timed {
			return "time"
		}
		return "string"
	case float64:
		return "number"
	case bool:
		return "boolean"
	case map[string]any:
		return "object"
	}
	return fmt.Sprintf("%T", v)
}

// members holds an object against the fields of a section that begin with
// prefix.
func (s *shapes) members(section, prefix string, v any, where string) {
	object, ok := v.(map[string]any)
	if !ok {
		s.wrong("%s is %T, want an object", where, v)
		return
	}
	for name := range object {
		if _, known := s.sections[section][prefix+name]; !known {
			s.wrong("%s.%s is not in docs/json.md, under %s", where, name, section)
		}
	}
	for field, kind := range s.sections[section] {
		name, ok := strings.CutPrefix(field, prefix)
		if !ok || strings.ContainsAny(name, ".[") {
			continue
		}
		value, there := object[name]
		kind, optional := strings.CutSuffix(kind, ", optional")
		if !there {
			if !optional {
				s.wrong("%s.%s is not there", where, name)
			}
			continue
		}
		if list, ok := value.([]any); value != nil && (!ok || len(list) > 0) {
			s.seen[section+" "+field] = true
		}
		s.member(section, field, kind, value, where+"."+name)
	}
}

// member holds a value against the type of a field. An object whose fields are
// in an indented list is checked against that list.
func (s *shapes) member(section, field, kind string, v any, where string) {
	below := func(prefix string) bool {
		for f := range s.sections[section] {
			if strings.HasPrefix(f, prefix) {
				return true
			}
		}
		return false
	}
	switch plain := strings.TrimSuffix(kind, " or null"); {
	case plain == "object" && v != nil && below(field+"."):
		s.members(section, field+".", v, where)
	case plain == "list of object" && below(field+"[]."):
		s.check("list of object", v, where)
		if list, ok := v.([]any); ok {
			for _, e := range list {
				s.members(section, field+"[].", e, where+"[]")
			}
		}
	default:
		s.check(kind, v, where)
	}
}

// unseen are the fields that no document had a value for.
func (s *shapes) unseen() (list []string) {
	for section, fields := range s.sections {
		for field := range fields {
			if !s.seen[section+" "+field] {
				list = append(list, section+" "+field)
			}
		}
	}
	slices.Sort(list)
	return list
}
