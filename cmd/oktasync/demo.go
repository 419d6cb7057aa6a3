package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/oktaclient/sandbox"
)

func (a *app) demoCommand() *cobra.Command {
	var dir string
	var users int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show all steps on this machine, without an Okta org",
		Long: `Starts the built-in sandbox org on loopback, and writes a configuration and keys.
Then it changes people in the org, runs the real commands, such as plan, apply and
verify, and shows a read that the guard stops. It keeps its folder. On a terminal, it
takes about ten seconds.`,
		Example: "  oktasync demo\n  oktasync demo --dir ./demo",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.demo(cmd.Context(), dir, users)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "empty folder `DIR` to work in (default a new one in the temporary folder)")
	cmd.Flags().IntVar(&users, "users", 1000, "the number of people in the org")
	return cmd
}

// minDemoUsers is how many users the guard needs to stop a read.
const minDemoUsers = 50

func (a *app) demo(ctx context.Context, dir string, users int) (err error) {
	if users < minDemoUsers {
		return fmt.Errorf("--users %d: the demo needs at least %d", users, minDemoUsers)
	}
	named := dir != ""
	if dir, err = emptyDir(dir, "demo"); err != nil {
		return err
	}
	defer func() {
		if !named && err != nil && ctx.Err() != nil { // a stopped demo leaves nothing
			os.RemoveAll(dir)
		}
	}()
	site, err := newSandboxSite(dir, "127.0.0.1:0", sandbox.Config{Users: users, Seed: 1, CachePages: true, RateLimit: sandbox.Limits(10_000)}, // so that it waits for no limit
		sandbox.ClientApp{RequireDPoP: true, Scopes: sandboxScopes, Permissions: sandboxPermissions})
	if err != nil {
		return err
	}
	defer site.close()
	d := &demo{app: a, ctx: ctx, config: site.config, color: a.color(a.stdout), paced: term.IsTerminal(a.stdout)}
	d.say("A sandbox org of %d made-up people runs at %s and responds like Okta.\n"+
		"The commands below are the real ones, without --config. They need no Okta account,\nand nothing leaves this machine.", users, site.server.URL)
	d.show("oktasync.yaml declares an export of all users:", site.config)
	return d.showSteps(site, dir)
}

// steps shows a first snapshot, a day of changes, and a quarantined read.
func (d *demo) showSteps(site *sandboxSite, dir string) error {
	d.step("The store is empty. plan reads the org and prints what apply would publish.")
	d.run(exitChanges, "plan", "--detailed-exitcode")
	d.step("apply publishes the first snapshot, and prints the facts for a change ticket.")
	d.run(exitDone, "apply")

	site.org.Join(2)
	moved := site.org.Move(3)
	site.org.Deactivate(2)
	site.org.Delete(2)
	d.step("The next day: 2 people join, 3 change department, 2 are deactivated and 2 deleted.\nplan finds all of them, also the deleted ones; scripts use exit status 2.")
	d.run(exitChanges, "plan", "--detailed-exitcode")
	d.run(exitDone, "apply")
	d.step("diff compares any two snapshots, by name or date. The default is the newest two.")
	d.run(exitDone, "diff", "all-users")
	d.showAccess(site, moved[0])

	site.org.Wipe()
	d.step("An administrator removes the app's admin role: Okta now responds with status 200 and\nan empty list. A script would write an empty file. The guard stops the read: exit\nstatus 3, and the newest snapshot stays.")
	d.run(exitQuarantined, "apply", "all-users")
	d.run(exitDone, "list")
	d.step("verify compares every file with the manifests, the chain and the journal.")
	d.run(exitDone, "verify")
	if d.err == nil {
		d.printNext(dir, moved[0])
	}
	return d.err
}

// accessExport is added to the configuration, to show access.
const accessExport = `  - name: access
    users: {}
    groups: {}
    group_members: {}
    apps: {}
    app_users: {}
    app_groups: {}
    role_assignments: {}
`

// showAccess shows how a user gets an app and an admin role through a group.
func (d *demo) showAccess(site *sandboxSite, user string) {
	text, err := os.ReadFile(site.config)
	group, payroll := site.org.AddGroup("Payroll team", ""), site.org.AddApp("Payroll")
	err = errors.Join(err, site.org.AssignGroup(payroll, group, 0),
		os.WriteFile(site.config, bytes.Replace(text, []byte("daemon:\n"), []byte(accessExport+"daemon:\n"), 1), 0o600))
	if d.err = errors.Join(d.err, err); d.err != nil {
		return
	}
	d.step("A second export, access, also records groups, apps, members, assignments and admin roles.")
	d.run(exitDone, "apply", "access")
	d.err = errors.Join(d.err, site.org.AddMember(group, user),
		site.org.Roles().Grant(sandbox.RoleAssignment{PrincipalType: "GROUP", Principal: group, Type: "HELP_DESK_ADMIN"}))
	d.step("An administrator adds a person to the group Payroll team, and gives the group an admin\nrole. The app Payroll is assigned to this group, so the person gets the app and the role.\ndiff shows the three changes, and access lists all administrators.")
	d.run(exitDone, "apply", "access")
	d.run(exitDone, "diff", "access")
	d.run(exitDone, "access", "access", "--role", "all")
}

// emptyDir returns an empty folder: dir, or a new one if dir is "".
func emptyDir(dir, what string) (string, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "oktasync-"+what+"-")
		if err != nil {
			err = config.WithHint(fmt.Errorf("create a folder in %s: %w", os.TempDir(), err), "name a folder with --dir")
		}
		return made, err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return "", fmt.Errorf("--dir %s: must be empty, or not exist", dir)
	}
	return dir, makeDir(dir)
}

// demo runs the steps. After an error it prints nothing more.
type demo struct {
	app    *app
	ctx    context.Context // of the command demo
	config string
	color  bool
	paced  bool // with pauses, for a terminal
	steps  int
	err    error
}

// The pauses of a paced demo take eight seconds in all.
const (
	afterCommand = 400 * time.Millisecond
	afterOutput  = 600 * time.Millisecond
)

// pause waits in a paced demo.
func (d *demo) pause(how time.Duration) {
	if d.err != nil || !d.paced {
		return
	}
	select {
	case <-time.After(how):
	case <-d.ctx.Done():
		d.err = d.ctx.Err()
	}
}

func (d *demo) say(format string, args ...any) {
	if d.err == nil {
		d.print(bold, fmt.Sprintf(format, args...))
	}
}

func (d *demo) step(text string) {
	d.steps++
	d.say("\n%d. %s", d.steps, text)
}

func (d *demo) show(title, file string) {
	data, err := os.ReadFile(file)
	if err != nil && d.err == nil {
		d.err = err
	}
	d.say("\n%s", title)
	d.indent(data)
	d.pause(afterOutput)
}

// run runs a command and expects an exit status.
func (d *demo) run(status int, args ...string) {
	if d.err != nil {
		return
	}
	d.print(cyan, "\n   $ oktasync "+strings.Join(args, " "))
	d.pause(afterCommand)
	var out bytes.Buffer
	a := &app{getenv: os.LookupEnv, membershipLag: -1} // the sandbox has none
	got := a.execute(d.ctx, append(args, "--config", d.config, "--log-level", "error", "--no-color"), &out, &out)
	d.indent(out.Bytes())
	if got != exitDone {
		fmt.Fprintf(d.app.stdout, "   (exit status %d)\n", got)
	}
	if d.ctx.Err() != nil {
		d.err = d.ctx.Err()
	} else if got != status {
		d.err = fmt.Errorf("demo failed: `oktasync %s` has exit status %d, want %d", strings.Join(args, " "), got, status)
	}
	d.pause(afterOutput)
}

func (d *demo) indent(text []byte) {
	if d.err != nil {
		return
	}
	for line := range bytes.Lines(text) {
		line := strings.TrimRight(string(line), "\n")
		d.print(lineColor(line), strings.TrimRight("   "+line, " "))
	}
}

// printNext prints where the snapshots are, and what to try.
func (d *demo) printNext(dir, person string) {
	store, sums := filepath.Join(dir, "snapshots"), "sha256sum -c SHA256SUMS"
	if runtime.GOOS == "darwin" {
		sums = "shasum -a 256 -c SHA256SUMS"
	}
	d.say("\nThe sandbox org stops now, so only commands that read the store still work. The export\nall-users has two snapshots and a quarantined read. The store is in\n%s. Try:", store)
	for _, try := range []struct{ why, command string }{
		{"check the newest snapshot without oktasync", fmt.Sprintf("(cd %s && %s)", term.ShellWord(filepath.Join(store, "all-users", "latest")), sums)},
		{"all changes of one person who moved", fmt.Sprintf("%s history all-users %s --store %s", d.program(), person, term.ShellWord(store))},
		{"the users as CSV", fmt.Sprintf("%s show all-users --format csv --store %s", d.program(), term.ShellWord(store))},
	} {
		fmt.Fprintf(d.app.stdout, "\n   # %s\n", try.why)
		d.print(cyan, "   "+try.command)
	}
	fmt.Fprintln(d.app.stdout, "\nNext, your own org: \"The first snapshot\" in README.md.")
}

// program returns the command that started the demo.
func (d *demo) program() string {
	if self, err := os.Executable(); err == nil && strings.Contains(self, "go-build") {
		return "go run ./cmd/oktasync"
	}
	return term.ShellWord(os.Args[0])
}

// Colors of ECMA-48.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// lineColor returns the color of a line of output, and "" for most lines.
func lineColor(line string) string {
	text := strings.TrimSpace(line)
	switch {
	case strings.HasPrefix(text, "+ "), strings.HasPrefix(text, "OK. "):
		return green
	case strings.HasPrefix(text, "- ") && !strings.HasPrefix(text, "- name:"), strings.HasPrefix(text, "oktasync: error:"):
		return red
	case strings.HasPrefix(text, "~ "), strings.HasPrefix(text, "oktasync: hint:"):
		return yellow
	case strings.HasPrefix(text, "Plan: "), strings.Contains(text, ": published "):
		return bold
	}
	return ""
}

// print prints text. On a terminal, each line has a color; "" is none.
func (d *demo) print(color, text string) {
	if !d.color || color == "" {
		fmt.Fprintln(d.app.stdout, text)
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		content := strings.TrimLeft(line, " ")
		indent := line[:len(line)-len(content)]
		if content != "" {
			content = "\x1b[" + color + "m" + term.Safe(content) + "\x1b[0m"
		}
		fmt.Fprintln(term.Unescaped(d.app.stdout), indent+content)
	}
}
