package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/oktaclient/sandbox"
)

func (a *app) demoCommand() *cobra.Command {
	var dir string
	var users int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "The whole job on this machine, with no Okta org",
		Long: `Starts the built-in sandbox org on loopback, writes a configuration and keys,
and runs the real commands against it: plan, apply, what happens when people
join, move and leave, a guard that holds, and verify. It leaves its folder
behind for a closer look.`,
		Example: "  oktasync demo\n  oktasync demo --dir ./demo",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.demo(cmd.Context(), dir, users)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "empty `folder` to work in (default a new one in the temporary folder)")
	cmd.Flags().IntVar(&users, "users", 1000, "how many people the org has")
	return cmd
}

// leastDemo is how many people it takes for the guard to be of use.
const leastDemo = 50

func (a *app) demo(ctx context.Context, dir string, users int) error {
	if users < leastDemo {
		return fmt.Errorf("--users %d: the story needs at least %d", users, leastDemo)
	}
	dir, err := demoDir(dir)
	if err != nil {
		return err
	}
	site, err := newSandboxSite(dir, "127.0.0.1:0", sandbox.Config{Users: users, Seed: 1, CachePages: true}, true)
	if err != nil {
		return err
	}
	defer site.close()
	d := &demo{app: a, ctx: ctx, config: site.config}
	d.say("A sandbox org of %d made-up people answers at %s as Okta would.\nNo Okta account is involved, and nothing leaves this machine.", users, site.server.URL)
	d.show("What is declared: an export of all users.", site.config)

	d.step("The store is empty. plan reads the org and says what apply would do.")
	d.run(exitChanges, "plan", "--detailed-exitcode")
	d.step("apply publishes the first snapshot.")
	d.run(exitDone, "apply")

	site.org.Join(2)
	site.org.Move(3)
	site.org.Deactivate(2)
	site.org.Delete(2)
	d.step("A day goes by: 2 people join, 3 change department, 2 are deactivated, 2 are deleted.")
	d.run(exitChanges, "plan", "--detailed-exitcode")
	d.run(exitDone, "apply")
	d.step("Who was it? diff compares the newest two snapshots.")
	d.run(exitDone, "diff", "all-users")

	site.org.Wipe()
	d.step("Somebody takes the app's admin role away: Okta now answers 200 with an empty list.\nThe guard holds that reading back, and the newest snapshot stays.")
	d.run(exitHeld, "apply")
	d.run(exitDone, "list")
	d.step("verify reads every file and holds it against manifests, chain and journal.")
	d.run(exitDone, "verify")
	if d.err == nil {
		d.leave(filepath.Join(dir, "snapshots"))
	}
	return d.err
}

// demoDir returns an empty folder.
func demoDir(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "oktasync-demo-")
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return "", fmt.Errorf("--dir %s: must be empty or not there yet", dir)
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// demo tells the story. After an error it says nothing more.
type demo struct {
	app    *app
	ctx    context.Context // of the one command that the demo is
	config string
	steps  int
	err    error
}

func (d *demo) say(format string, args ...any) {
	if d.err == nil {
		fmt.Fprintln(d.app.stdout, d.paint("1", fmt.Sprintf(format, args...)))
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
}

// run runs a command as a person would, and wants it to end with status.
func (d *demo) run(status int, args ...string) {
	if d.err != nil {
		return
	}
	fmt.Fprintln(d.app.stdout, d.paint("36", "\n   $ oktasync "+strings.Join(args, " ")))
	var out bytes.Buffer
	got := run(d.ctx, append(args, "--config", d.config, "--log-level", "error", "--no-color"), &out, &out)
	d.indent(out.Bytes())
	if got != exitDone {
		fmt.Fprintf(d.app.stdout, "   (exit status %d)\n", got)
	}
	if d.ctx.Err() != nil {
		d.err = d.ctx.Err()
	} else if got != status {
		d.err = fmt.Errorf("the demo went wrong: `oktasync %s` ended with status %d instead of %d", strings.Join(args, " "), got, status)
	}
}

func (d *demo) indent(text []byte) {
	if d.err != nil {
		return
	}
	for line := range bytes.Lines(text) {
		fmt.Fprintf(d.app.stdout, "   %s", line)
	}
}

func (d *demo) leave(store string) {
	latest := filepath.Join(store, "all-users", "latest")
	d.say("\nThat was all of it. What it left behind:")
	fmt.Fprintf(d.app.stdout, "   %s\n\nTry:\n", latest)
	for _, command := range []string{
		fmt.Sprintf("(cd %s && sha256sum -c SHA256SUMS && zstd -t users.ndjson.zst)", latest),
		fmt.Sprintf("%s show all-users --format csv --store %s", d.program(), store),
		fmt.Sprintf("%s diff all-users --json --store %s", d.program(), store),
	} {
		fmt.Fprintf(d.app.stdout, "   %s\n", command)
	}
}

// program is what to type for oktasync: what was typed for the demo.
func (d *demo) program() string {
	if self, err := os.Executable(); err == nil && strings.Contains(self, "go-build") {
		return "go run ./cmd/oktasync"
	}
	return os.Args[0]
}

// paint colours text where standard output is a terminal.
func (d *demo) paint(code, text string) string {
	if !d.app.colour(d.app.stdout) {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
