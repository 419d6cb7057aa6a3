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
		Short: "The whole job on this machine, with no Okta org",
		Long: `Starts the built-in sandbox org on loopback, writes a configuration and keys,
and runs the real commands against it: plan, apply, what happens when people
join, move and leave, a guard that holds, and verify. It leaves its folder
behind for a closer look. On a terminal it takes some ten seconds, so that one
can read along.`,
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

func (a *app) demo(ctx context.Context, dir string, users int) (err error) {
	if users < leastDemo {
		return fmt.Errorf("--users %d: the story needs at least %d", users, leastDemo)
	}
	named := dir != ""
	if dir, err = freshDir(dir, "demo"); err != nil {
		return err
	}
	defer func() {
		if !named && err != nil && ctx.Err() != nil { // nobody will look for half of a story
			os.RemoveAll(dir)
		}
	}()
	site, err := newSandboxSite(dir, "127.0.0.1:0", sandbox.Config{Users: users, Seed: 1, CachePages: true}, true)
	if err != nil {
		return err
	}
	defer site.close()
	d := &demo{app: a, ctx: ctx, config: site.config, colour: a.colour(a.stdout), paced: term.IsTerminal(a.stdout)}
	d.say("A sandbox org of %d made-up people answers at %s as Okta would.\n"+
		"Every command below is the real one, with --config left out. No Okta account is\ninvolved, and nothing leaves this machine.", users, site.server.URL)
	d.show("oktasync.yaml declares an export of all users:", site.config)
	return d.tell(site, dir)
}

// tell is the story: a first snapshot, a day of changes, a reading that is held
// back.
func (d *demo) tell(site *sandboxSite, dir string) error {
	d.step("The store is empty. plan reads the org and says what apply would do.\nIt publishes nothing.")
	d.run(exitChanges, "plan", "--detailed-exitcode")
	d.step("apply publishes the first snapshot, and ends with facts for a change ticket.")
	d.run(exitDone, "apply")

	site.org.Join(2)
	moved := site.org.Move(3)
	site.org.Deactivate(2)
	site.org.Delete(2)
	d.step("A day goes by: 2 people join, 3 change department, 2 are deactivated and 2 deleted.\nplan sees each of them, the deleted ones too; exit status 2 says so to a script.")
	d.run(exitChanges, "plan", "--detailed-exitcode")
	d.run(exitDone, "apply")
	d.step("Who was it? An auditor asks between any two snapshots, by name or date;\ndiff by itself compares the newest two.")
	d.run(exitDone, "diff", "all-users")

	site.org.Wipe()
	d.step("Somebody takes the app's admin role away: Okta now answers with status 200 and an\nempty list. A script would write an empty file. The guard holds the reading back:\nexit status 3, and the newest snapshot stays.")
	d.run(exitHeld, "apply")
	d.run(exitDone, "list")
	d.step("verify reads every file and holds it against manifests, chain and journal.")
	d.run(exitDone, "verify")
	if d.err == nil {
		d.leave(dir, moved[0])
	}
	return d.err
}

// freshDir returns an empty folder: dir, or where that is "" a new one.
func freshDir(dir, what string) (string, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "oktasync-"+what+"-")
		if err != nil {
			err = config.WithHint(fmt.Errorf("no folder can be made in %s: %w", os.TempDir(), err), "name one with --dir")
		}
		return made, err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return "", fmt.Errorf("--dir %s: must be empty or not there yet", dir)
	}
	return dir, makeDir(dir)
}

// makeDir makes the folder that --dir names.
func makeDir(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		return fmt.Errorf("--dir %s: can't be made: %s: %w", dir, path.Path, path.Err)
	}
	return err
}

// demo tells a story. After an error it says nothing more.
type demo struct {
	app    *app
	ctx    context.Context // of the one command that the demo is
	config string
	colour bool
	paced  bool // there is somebody who reads along
	steps  int
	err    error
}

// The pauses of a paced demo, eight seconds in all.
const (
	afterCommand = 400 * time.Millisecond
	afterOutput  = 600 * time.Millisecond
)

// pause gives whoever reads along a moment.
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
		fmt.Fprintln(d.app.stdout, d.paint(bold, fmt.Sprintf(format, args...)))
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

// run runs a command as a person would, and wants it to end with status.
func (d *demo) run(status int, args ...string) {
	if d.err != nil {
		return
	}
	fmt.Fprintln(d.app.stdout, "\n   "+d.paint(cyan, "$ oktasync "+strings.Join(args, " ")))
	d.pause(afterCommand)
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
	d.pause(afterOutput)
}

func (d *demo) indent(text []byte) {
	if d.err != nil {
		return
	}
	for line := range bytes.Lines(text) {
		line := strings.TrimRight(string(line), "\n")
		fmt.Fprintln(d.app.stdout, strings.TrimRight("   "+d.paint(lineColour(line), line), " "))
	}
}

// leave says what is there now, and what to try on it.
func (d *demo) leave(dir, person string) {
	store, sums := filepath.Join(dir, "snapshots"), "sha256sum -c SHA256SUMS"
	if runtime.GOOS == "darwin" {
		sums = "shasum -a 256 -c SHA256SUMS"
	}
	d.say("\nThat was all of it: two snapshots, a reading held back, and a chain that fits.\nThey are in %s. Try:", store)
	for _, try := range []struct{ why, command string }{
		{"check the newest snapshot with nothing of ours", fmt.Sprintf("(cd %s && %s)", term.ShellWord(filepath.Join(store, "all-users", "latest")), sums)},
		{"all that is known of one person who moved", fmt.Sprintf("%s history all-users %s --store %s", d.program(), person, term.ShellWord(store))},
		{"the users, for a spreadsheet", fmt.Sprintf("%s show all-users --format csv --store %s", d.program(), term.ShellWord(store))},
	} {
		fmt.Fprintf(d.app.stdout, "\n   # %s\n   %s\n", try.why, d.paint(cyan, try.command))
	}
	fmt.Fprintln(d.app.stdout, "\nThen your own org: \"The first snapshot\" in README.md.")
}

// program is what to type for oktasync: what was typed for the demo.
func (d *demo) program() string {
	if self, err := os.Executable(); err == nil && strings.Contains(self, "go-build") {
		return "go run ./cmd/oktasync"
	}
	return term.ShellWord(os.Args[0])
}

// Colours, as ECMA-48 selects them.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// lineColour is the colour of a line of output, "" for most.
func lineColour(line string) string {
	text := strings.TrimSpace(line)
	switch {
	case strings.HasPrefix(text, "+ "), strings.HasPrefix(text, "everything fits"):
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

// paint colours text, a line at a time, where there is a terminal.
func (d *demo) paint(code, text string) string {
	if !d.colour || code == "" {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = "\x1b[" + code + "m" + line + "\x1b[0m"
		}
	}
	return strings.Join(lines, "\n")
}
