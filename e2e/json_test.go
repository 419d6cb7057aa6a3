package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// Each command with --json prints one document that matches docs/json.md. Each
// field of that page has a value in at least one document.
func TestJSON(t *testing.T) {
	t.Parallel()
	needs(t, "ssh-keygen")
	schema := readSchema(t, read(t, "../docs/json.md"))
	s := newSite(t, sandbox.Config{Seed: 1, Users: 120}, append(usersAndGroups, "okta.apps.read", "okta.roles.read")...)
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
			t.Errorf("oktasync %s: more than one document", strings.Join(args, " "))
		}
		schema.check(kind, doc, "oktasync "+strings.Join(args, " ")+": ")
		return doc
	}
	runCommands(t, s, show)
	for _, path := range schema.unseen() {
		t.Errorf("docs/json.md: no document has %s", path)
	}
}

// runCommands runs commands for every state of a store.
func runCommands(t *testing.T, s *site, show func(status int, kind string, args ...string) any) {
	t.Helper()
	s.sh(t, "ssh-keygen -q -t ed25519 -N '' -f signing-key")
	authority := newStampingAuthority(t)
	store := "  signing_key_file: signing-key\n  timestamp_url: " + authority.url + "\n  timestamp_ca_file: " + authority.ca + "\n"
	config := func(more string) {
		s.configure(t, "    schedule: \"@daily\"\n    users: {}\n    groups: {}\n    group_members: {refresh: incremental}\n    group_rules: {optional: true}\n    apps: {}\n    app_users: {}\n    app_groups: {}\n    role_assignments: {}\n"+more, "store:\n", "store:\n"+store)
	}
	show(0, "initialization", "init", "--config", "made.yaml", "--signing-key", "--change-request")
	config("    factors: {}\n")
	show(0, "validation", "validate") // with a warning
	config("")
	show(0, "validation", "validate")
	show(0, "list of finding", "doctor")
	for _, role := range []string{sandbox.RoleHalf, sandbox.RoleReadOnly} {
		check(t, s.register(func(app *sandbox.ClientApp) {
			app.Role, app.Scopes = role, append(app.Scopes, "okta.groups.read", "okta.apps.read", "okta.roles.read")
			app.Permissions = []string{"okta.iam.read"}
		}))
		show(0, "list of plan", "plan")
	}
	show(0, "list of manifest", "apply")
	joined := s.org.Join(2)
	check(t, s.org.Roles().Grant(sandbox.RoleAssignment{PrincipalType: "USER", Principal: joined[0], Type: "READ_ONLY_ADMIN"}))
	moved := s.org.Move(2)
	s.org.Deactivate(1)
	s.org.Delete(1)
	auditors, archive := s.org.AddGroup("Auditors", ""), s.org.AddApp("Archive")
	check(t, errors.Join(s.org.AssignUser(archive, moved[0], ""), s.org.AssignGroup(archive, auditors, 0)))
	show(2, "list of plan", "plan", "--detailed-exitcode")
	s.org.Inject(sandbox.Fault{Path: "/api/v1/groups/rules", Forever: true, Status: 401, Code: "E0000015"})
	show(0, "list of plan", "plan")
	show(0, "list of manifest", "apply")
	show(0, "status", "status") // without rules
	s.org.ClearFaults()
	show(0, "diff", "diff", "all-users")
	show(0, "history", "history", "all-users", moved[0])
	show(0, "access", "access", "all-users", "--app", "Archive")
	show(0, "access", "access", "all-users", "--user", moved[0], "--from", "@-1")
	show(0, "access", "access", "all-users", "--role", "all", "--from", "@-1")
	rows := s.must(t, 0, "report", "all-users", "--review", "manager", "--format", "csv").stdout
	write(t, s.path("review.csv"), regexp.MustCompile(`,,,,,(\d+T\d+Z)`).ReplaceAllString(rows, ",keep,,2020-02-02,"+moved[0]+",$1"))
	show(1, "review", "review", "check", "review.csv", "--against", "all-users@@")
	show(0, "status", "status")

	s.org.Delete(40)
	show(3, "list of plan", "plan", "--detailed-exitcode")
	show(3, "list of manifest", "apply")
	show(0, "list of quarantined", "quarantine", "list")
	show(0, "diff", "quarantine", "diff", "all-users")
	show(0, "status", "status") // quarantined
	s.must(t, 0, "quarantine", "release", "all-users", "--reason", "a test")
	show(0, "list of manifest", "apply")
	show(0, "list of manifest", "list") // with the release
	s.must(t, 0, "verify")

	check(t, os.Remove(s.path("snapshots/all-users/latest/users.csv")))
	show(0, "list of plan", "plan") // users.csv is missing
	show(0, "status", "status")     // and reported
	show(1, "verification", "verify")
	config("    retain: {last: 2}\n")
	show(0, "list of plan", "plan")
	show(0, "list of manifest", "apply")
	show(0, "history", "history", "all-users", moved[0])
	newest, err := os.Readlink(s.path("snapshots/all-users/latest"))
	check(t, err)
	check(t, os.RemoveAll(s.path("snapshots/all-users", newest)))
	show(1, "list of manifest", "apply")
	show(0, "status", "status") // failing
	s.must(t, 0, "adopt", "all-users", "--reason", "a test")
	show(0, "list of manifest", "apply")
	show(0, "verification", "verify")
	show(0, "list of head", "status", "--heads")
	s.configure(t, "    users: {include_deprovisioned: false}\n    groups: {}\n    group_members: {}\n", "store:\n", "store:\n"+store)
	show(0, "list of manifest", "apply") // with members who aren't recorded
	d := s.startWith(t, strings.Replace(s.daemonConfig("", `verify: "@every 1s"`), "store:\n", "store:\n"+store, 1))
	d.wait("verified")
	d.stop(syscall.SIGTERM)
	show(0, "status", "status")
	show(0, "version", "version")
	write(t, s.path("bad.yaml"), "okta: {}\n")
	show(1, "validation", "validate", "--config", "bad.yaml")
}

// schema contains the sections of docs/json.md.
type schema struct {
	t        *testing.T
	sections map[string]map[string]string // field to its type
	seen     map[string]bool              // "section field"
	reported map[string]bool              // errors
}

// wrong reports an error once.
func (s *schema) wrong(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !s.reported[text] {
		s.reported[text] = true
		s.t.Error(text)
	}
}

func readSchema(t *testing.T, page string) *schema {
	t.Helper()
	s := &schema{t: t, sections: map[string]map[string]string{}, seen: map[string]bool{}, reported: map[string]bool{}}
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

// check checks that a value has a type such as "list of plan" or "time or null".
func (s *schema) check(kind string, v any, where string) {
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

// members checks an object against the fields of a section that begin with
// prefix.
func (s *schema) members(section, prefix string, v any, where string) {
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
				s.wrong("%s.%s is missing", where, name)
			}
			continue
		}
		if list, ok := value.([]any); value != nil && (!ok || len(list) > 0) {
			s.seen[section+" "+field] = true
		}
		s.member(section, field, kind, value, where+"."+name)
	}
}

// member checks a value against the type of a field. An object whose fields are
// in an indented list is checked against that list.
func (s *schema) member(section, field, kind string, v any, where string) {
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

// unseen returns the fields that have no value in any document.
func (s *schema) unseen() (list []string) {
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
