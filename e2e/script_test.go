package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"oktasync/oktaclient/sandbox"
)

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(program())+string(filepath.ListSeparator)+os.Getenv("PATH"))
			env.Values[siteKey{}] = new(*site)
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "mounts" {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			return exec.Command("unshare", "-m", "true").Run() == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"org":        orgCommand,
			"people":     peopleCommand,
			"user":       userCommand,
			"role":       roleCommand,
			"group":      groupCommand,
			"control":    controlCommand,
			"fault":      faultCommand,
			"violations": violationsCommand,
			"status":     statusCommand,
		},
	})
}

// siteKey is the key of a script's site.
type siteKey struct{}

func siteOf(ts *testscript.TestScript) *site {
	s, ok := ts.Value(siteKey{}).(**site)
	if !ok || *s == nil {
		ts.Fatalf("the script has no org yet")
	}
	return *s
}

// orgCommand starts an org: `org users=100 deprovisioned=5 role=none
// scopes=okta.users.read,okta.groups.read`.
func orgCommand(ts *testscript.TestScript, _ bool, args []string) {
	cfg := sandbox.Config{Seed: 1, Users: 100, RateLimit: sandbox.Limits(100_000), Control: true}
	app := sandbox.ClientApp{RequireDPoP: true}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		var err error
		switch name {
		case "users":
			cfg.Users, err = strconv.Atoi(value)
		case "deprovisioned":
			cfg.Deprovisioned, err = strconv.Atoi(value)
		case "role":
			app.Role = value
		case "scopes":
			app.Scopes = strings.Split(value, ",")
		case "permissions":
			app.Permissions = strings.Split(value, ",")
		case "dpop":
			app.RequireDPoP = value != "off"
		default:
			ts.Fatalf("org: unknown setting %s", name)
		}
		ts.Check(err)
	}
	s, err := serveSite(ts.Getenv("WORK"), cfg, app)
	ts.Check(err)
	ts.Defer(func() { s.server.Close() })
	ts.Setenv("ORG_URL", s.server.URL)
	ts.Setenv("CLIENT_ID", clientID)
	checker, err := filepath.Abs("../docs/check.py")
	ts.Check(err)
	ts.Setenv("CHECKER", checker)
	*ts.Value(siteKey{}).(**site) = s
}

// peopleCommand changes users: `people join 2`.
func peopleCommand(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(changePeople(siteOf(ts).org, args[0], strings.Join(args[1:], "")))
}

// changePeople makes a change to a number of users. The number is "" for a change
// that takes none.
func changePeople(org *sandbox.Org, change, number string) error {
	n, err := strconv.Atoi(cmp.Or(number, "0"))
	if err != nil {
		return err
	}
	switch change {
	case "join":
		org.Join(n)
	case "move":
		org.Move(n)
	case "touch":
		org.Touch(n)
	case "deactivate":
		org.Deactivate(n)
	case "delete":
		org.Delete(n)
	case "wipe":
		org.Wipe()
	case "restore":
		org.Restore()
	default:
		return fmt.Errorf("unknown change %s", change)
	}
	return nil
}

// userCommand creates or replaces a user: `user 00u1 '{"login":"a@acme.example"}'
// SUSPENDED`. The default status is ACTIVE.
func userCommand(ts *testscript.TestScript, _ bool, args []string) {
	status := "ACTIVE"
	if len(args) > 2 {
		status = args[2]
	}
	ts.Check(siteOf(ts).putUser(args[0], args[1], status))
}

// putUser creates or replaces a user with this profile.
func (s *site) putUser(id, profile, status string) error {
	return s.org.Put(fmt.Appendf(nil,
		`{"id":%q,"status":%q,"created":"2026-01-01T00:00:00.000Z","lastUpdated":"2026-01-01T00:00:00.000Z","profile":%s}`, id, status, profile))
}

// roleCommand replaces the role of the app: `role group:Sales`. Its scopes are
// okta.users.read, or those that follow.
func roleCommand(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(siteOf(ts).register(func(app *sandbox.ClientApp) {
		app.Role = args[0]
		for _, arg := range args[1:] {
			if permission, ok := strings.CutPrefix(arg, "permission="); ok {
				app.Permissions = append(app.Permissions, permission)
			} else {
				app.Scopes = append(app.Scopes, arg)
			}
		}
	}))
}

// groupCommand changes a group: `group add NAME`, `group set NAME PATH JSON`,
// `group delete NAME`.
func groupCommand(ts *testscript.TestScript, _ bool, args []string) {
	org := siteOf(ts).org
	if args[0] == "add" {
		org.AddGroup(args[1], "")
		return
	}
	for id, group := range org.GroupsJSON() {
		if !bytes.Contains(group, fmt.Appendf(nil, `"name":%q`, args[1])) {
			continue
		}
		switch args[0] {
		case "set":
			ts.Check(org.SetGroup(id, args[2], []byte(args[3])))
		case "delete":
			ts.Check(org.DeleteGroup(id))
		default:
			ts.Fatalf("group: unknown change %s", args[0])
		}
		return
	}
	ts.Fatalf("group: no group %s", args[1])
}

// controlCommand changes the org by its control API: `control add-member group=Pilots
// user=ada@acme.example`. Names, labels and logins stand for ids.
func controlCommand(ts *testscript.TestScript, _ bool, args []string) {
	s, query := siteOf(ts), url.Values{}
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		if key == "group" || key == "app" || key == "user" || key == "id" {
			value = s.idOf(value)
		}
		query.Set(key, value)
	}
	resp, err := s.server.Client().Post(s.server.URL+"/sandbox/"+args[0]+"?"+query.Encode(), "", nil)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("control: %s", body)
	}
}

// idOf returns the id of the object with a login, name or label, or text if there is
// none.
func (s *site) idOf(text string) string {
	for _, objects := range []iter.Seq2[string, []byte]{s.org.UsersJSON(), s.org.GroupsJSON(), s.org.AppsJSON(), s.org.RulesJSON(), s.org.APITokensJSON()} {
		for id, json := range objects {
			for _, member := range []string{"login", "name", "label"} {
				if bytes.Contains(json, fmt.Appendf(nil, "%q:%q", member, text)) {
					return id
				}
			}
		}
	}
	return text
}

// faultCommand makes the org fail: `fault forever broken-json`, `fault nth=2
// status=500`, `fault clear`.
func faultCommand(ts *testscript.TestScript, _ bool, args []string) {
	if args[0] == "clear" {
		siteOf(ts).org.ClearFaults()
		return
	}
	f, err := sandbox.ParseFault(strings.Join(args, ","))
	ts.Check(err)
	siteOf(ts).org.Inject(f)
}

// violationsCommand fails if the client sent a request that a correct client
// doesn't send.
func violationsCommand(ts *testscript.TestScript, neg bool, _ []string) {
	found := siteOf(ts).org.Stats().Violations
	if (len(found) > 0) != neg {
		ts.Fatalf("violations: %q", found)
	}
}

// statusCommand runs a command that must return an exit status: `status 3
// oktasync apply`.
func statusCommand(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status = %d, want %d", got, want)
	}
}
