package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

const units = "../deploy/systemd"

// box is an instance of this machine's systemd, as PID 1 in its own namespaces.
type box struct {
	t   *testing.T
	pid string
}

// newBox boots a box. Its file system is this machine's, with an overlay that
// contains the files of a folder.
func newBox(t *testing.T, files string) *box {
	t.Helper()
	needs(t, "systemctl", "unshare", "nsenter")
	if os.Getuid() != 0 {
		skip(t, "only root can boot systemd")
	}
	prepare, err := filepath.Abs("testdata/systemd/prepare.sh")
	check(t, err)
	cmd := exec.Command("sh", "testdata/systemd/box.sh", t.TempDir(), prepare)
	cmd.Env = append(os.Environ(), "BOX_FILES="+files)
	var out strings.Builder
	cmd.Stderr = &out
	stdin, err := cmd.StdinPipe()
	check(t, err)
	stdout, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the box ended with %v\n%s", err, &out)
		}
	})
	pid, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("systemd didn't start: %v\n%s", err, &out)
	}
	b := &box{t: t, pid: strings.TrimSpace(pid)}
	b.eventually("systemd is running", func() bool { return strings.Contains(b.try("systemctl", "is-system-running", "--wait"), "running") })
	return b
}

func (b *box) command(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--target", b.pid, "--all"}, args...)...)
}

// try runs a command in the box and returns its output. It ignores the status.
func (b *box) try(args ...string) string {
	out, _ := b.command(args...).CombinedOutput()
	return strings.TrimSpace(string(out))
}

// run is try for a command that must succeed.
func (b *box) run(args ...string) string {
	b.t.Helper()
	out, err := b.command(args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s: %v\n%s\n%s", strings.Join(args, " "), err, out, b.try("journalctl", "--no-pager", "-n", "30"))
	}
	return strings.TrimSpace(string(out))
}

func (b *box) write(path, text string) {
	b.t.Helper()
	cmd := b.command("sh", "-c", `mkdir -p "${1%/*}" && cat >"$1"`, "sh", path)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("write %s: %v\n%s", path, err, out)
	}
}

func (b *box) property(unit, name string) string {
	b.t.Helper()
	return b.run("systemctl", "show", "--value", "-p", name, unit)
}

// eventually waits until a condition is true.
func (b *box) eventually(what string, is func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("timeout: %s\n%s", what, b.try("journalctl", "--no-pager", "-n", "40"))
		}
	}
}

// logged waits for a line of the unit's journal that contains text, and returns
// the last one.
func (b *box) logged(unit, text string) string {
	b.t.Helper()
	var line string
	b.eventually(unit+" logs "+text, func() bool {
		for l := range strings.Lines(b.try("journalctl", "--no-pager", "-o", "cat", "-u", unit)) {
			if strings.Contains(l, text) {
				line = l
			}
		}
		return line != ""
	})
	return line
}

// boxFiles returns a folder with the files that an operator installs, as the
// comments in the units describe.
func boxFiles(t *testing.T, s *site) string {
	t.Helper()
	root := t.TempDir()
	for from, to := range map[string]string{
		filepath.Join(bin, "oktasync"):                 "usr/bin/oktasync",
		filepath.Join(units, "oktasync-as-service"):    "usr/bin/oktasync-as-service",
		s.path("client-key.pem"):                       "etc/oktasync/client-key.pem",
		s.path("ca.pem"):                               "etc/oktasync/ca.pem",
		filepath.Join(units, "oktasync.service"):       "etc/systemd/system/oktasync.service",
		filepath.Join(units, "oktasync@.service"):      "etc/systemd/system/oktasync@.service",
		filepath.Join(units, "oktasync-apply.service"): "etc/systemd/system/oktasync-apply.service",
		filepath.Join(units, "oktasync-apply.timer"):   "etc/systemd/system/oktasync-apply.timer",
	} {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(to, "usr/bin") {
			mode = 0o755
		} else if strings.Contains(to, "key") {
			mode = 0o600
		}
		copyFile(t, from, filepath.Join(root, to), mode)
	}
	config := s.path("unit.yaml")
	write(t, config, s.unitConfig("oktasync", everySecond))
	copyFile(t, config, filepath.Join(root, "etc/oktasync/oktasync.yaml"), 0o644)
	return root
}

// unitConfig returns a configuration with the paths that the units use.
func (s *site) unitConfig(state, more string) string {
	return strings.NewReplacer(
		"private_key_file: client-key.pem", "private_key_file: ${CREDENTIALS_DIRECTORY}/client-key",
		"path: snapshots", "path: ${STATE_DIRECTORY:-/var/lib/"+state+"}/snapshots",
	).Replace(s.daemonConfig(more))
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	in, err := os.Open(from)
	check(t, err)
	defer in.Close()
	check(t, os.MkdirAll(filepath.Dir(to), 0o755))
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, mode)
	check(t, err)
	_, err = io.Copy(out, in)
	check(t, err)
	check(t, out.Close())
}

// shortTimeouts makes systemd restart the service within seconds.
const shortTimeouts = "[Service]\nWatchdogSec=5s\nTimeoutAbortSec=1s\nRestartSec=100ms\n"

// boxStep is a step of TestSystemd.
type boxStep struct {
	name string
	run  func(*testing.T, *box, *site)
}

func TestSystemd(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 50, Seed: 41})
	b := newBox(t, boxFiles(t, s))
	steps := []boxStep{
		{"units", systemdAcceptsUnits},
		{"start", systemdStarts},
		{"log", systemdLogs},
		{"commands as the service", systemdRunsCommands},
		{"reload", systemdReloads},
		{"TLS and users from credentials", systemdServesTLS},
		{"restart by the watchdog and after a crash", systemdRestarts},
		{"stop", systemdStops},
		{"invalid configuration", systemdRejectsConfig},
		{"timer", systemdRunsTimer},
		{"several orgs", systemdRunsInstances},
	}
	if all() { // builds the program twice
		needs(t, "dpkg", "mandoc")
		steps = append(steps, packageSteps...)
	}
	for _, step := range steps {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, &box{t, b.pid}, s) }) {
			return // each step continues from the previous one
		}
	}
	s.noViolations(t)
}

func systemdStarts(t *testing.T, b *box, _ *site) {
	b.write("/etc/systemd/system/oktasync.service.d/test.conf", shortTimeouts)
	b.run("systemctl", "daemon-reload")
	b.run("systemctl", "start", "oktasync") // returns after READY=1
	if text := b.property("oktasync", "StatusText"); !strings.HasPrefix(text, "1 export") {
		t.Errorf("StatusText = %q", text)
	}
	b.logged("oktasync", "snapshot published")
	if got := b.run("stat", "-c", "%U %a", "/var/lib/oktasync/snapshots/all-users/journal.ndjson"); got != "oktasync 600" {
		t.Errorf("the journal is %s, want oktasync 600", got)
	}
	manifest := b.run("cat", "/var/lib/oktasync/snapshots/all-users/latest/manifest.json")
	if !regexp.MustCompile(`"user":"oktasync \(uid \d+\)"`).MatchString(manifest) {
		t.Errorf("the manifest doesn't name the user of the service: %s", manifest)
	}
}

func systemdLogs(t *testing.T, b *box, s *site) {
	s.org.Inject(sandbox.Fault{Forever: true, Status: 403, Code: "E0000006"})
	b.logged("oktasync", "reconcile failed")
	s.org.ClearFaults()
	entry := func(matches ...string) (fields map[string]string) {
		out := b.run(append([]string{"journalctl", "--no-pager", "-n", "1", "-o", "json", "EXPORT=all-users"}, matches...)...)
		if err := json.Unmarshal([]byte(out), &fields); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return fields
	}
	if got := entry("SEQUENCE=1"); got["PRIORITY"] != "6" || got["USERS"] != "50" || got["_SYSTEMD_UNIT"] != "oktasync.service" ||
		!strings.HasPrefix(got["MESSAGE"], "snapshot published export=all-users ") {
		t.Errorf("entry = %v", got)
	}
	if got := entry("PRIORITY=3"); !strings.Contains(got["ERR"], "E0000006") {
		t.Errorf("entry = %v", got)
	}
}

func systemdRunsCommands(t *testing.T, b *box, _ *site) {
	if out := b.run("oktasync-as-service", "plan"); !strings.Contains(out, "50 users") {
		t.Errorf("plan: %s", out)
	}
	b.run("oktasync-as-service", "verify")
	b.run("oktasync", "list", "--store", "/var/lib/oktasync/snapshots") // as root, without a configuration
	if err := b.command("oktasync-as-service", "show", "no-such-export").Run(); err == nil {
		t.Error("a command that fails returned status 0")
	}
	out := b.try("oktasync-as-service", "show", "a $HOME 'b' \"c\"")
	if !strings.Contains(out, `$HOME`) {
		t.Errorf("an argument was changed: %s", out)
	}
}

func systemdReloads(t *testing.T, b *box, s *site) {
	pid := b.property("oktasync", "MainPID")
	b.write("/etc/oktasync/oktasync.yaml", s.unitConfig("oktasync", everySecond+"    timeout: 1h\n"))
	b.run("systemctl", "reload", "oktasync")
	if out := b.logged("oktasync", "configuration reloaded"); !strings.Contains(out, "exports[all-users].timeout") {
		t.Errorf("log = %s", out)
	}
	b.write("/etc/oktasync/oktasync.yaml", "exprots: []\n")
	b.run("systemctl", "reload", "oktasync")
	b.logged("oktasync", "configuration not reloaded")
	b.write("/etc/oktasync/oktasync.yaml", s.unitConfig("oktasync", everySecond))
	b.run("systemctl", "reload", "oktasync")
	b.eventually("the unit is active again", func() bool { return b.property("oktasync", "ActiveState") == "active" })
	if now := b.property("oktasync", "MainPID"); now != pid {
		t.Errorf("a reload replaced process %s by %s", pid, now)
	}
}

func systemdRestarts(t *testing.T, b *box, _ *site) {
	for i, signal := range []string{"SIGSTOP", "SIGKILL"} {
		pid := b.property("oktasync", "MainPID")
		b.run("systemctl", "kill", "--kill-whom=main", "--signal="+signal, "oktasync")
		b.eventually("a new process after "+signal, func() bool {
			now := b.property("oktasync", "MainPID")
			return now != pid && now != "0" && b.property("oktasync", "ActiveState") == "active"
		})
		if got := b.property("oktasync", "NRestarts"); got != strconv.Itoa(i+1) {
			t.Errorf("NRestarts = %s after %s, want %d", got, signal, i+1)
		}
	}
	if out := b.run("journalctl", "--no-pager", "-u", "oktasync", "-o", "cat"); !strings.Contains(out, "Watchdog timeout") {
		t.Error("the journal has no watchdog timeout")
	}
	b.run("oktasync", "verify", "--store", "/var/lib/oktasync/snapshots")
}

func systemdStops(t *testing.T, b *box, _ *site) {
	b.run("systemctl", "stop", "oktasync")
	b.logged("oktasync", "daemon stopped")
	if state, result := b.property("oktasync", "ActiveState"), b.property("oktasync", "Result"); state != "inactive" || result != "success" {
		t.Errorf("the unit is %s, %s", state, result)
	}
	b.run("oktasync", "verify", "--store", "/var/lib/oktasync/snapshots")
}

func systemdRejectsConfig(t *testing.T, b *box, s *site) {
	b.write("/etc/oktasync/oktasync.yaml", "exprots: []\n")
	if err := b.command("systemctl", "start", "oktasync").Run(); err == nil {
		t.Error("the service started")
	}
	b.logged("oktasync", "did you mean exports?")
	if out := b.run("journalctl", "--no-pager", "-u", "oktasync", "_COMM=oktasync", "-p", "err", "-o", "cat"); !strings.Contains(out, "did you mean") {
		t.Errorf("errors in the journal: %s", out)
	}
	b.run("systemctl", "stop", "oktasync")
	b.write("/etc/oktasync/oktasync.yaml", s.unitConfig("oktasync", everySecond))
}

func systemdRunsTimer(t *testing.T, b *box, _ *site) {
	before := b.run("readlink", "/var/lib/oktasync/snapshots/all-users/latest")
	b.write("/etc/systemd/system/oktasync-apply.timer.d/test.conf", "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2\nAccuracySec=10ms\nRandomizedDelaySec=0\n")
	b.run("systemctl", "daemon-reload")
	b.run("systemctl", "start", "oktasync-apply.timer")
	b.eventually("the timer has run apply", func() bool {
		return b.run("readlink", "/var/lib/oktasync/snapshots/all-users/latest") != before
	})
	b.run("systemctl", "stop", "oktasync-apply.timer")
	b.eventually("apply has ended", func() bool { return b.property("oktasync-apply", "ActiveState") == "inactive" })
	if result := b.property("oktasync-apply", "Result"); result != "success" {
		t.Errorf("Result = %s", result)
	}
}

func systemdRunsInstances(t *testing.T, b *box, s *site) {
	key := b.run("cat", "/etc/oktasync/client-key.pem") + "\n"
	for _, org := range []string{"acme", "umbrella"} {
		b.write(fmt.Sprintf("/etc/oktasync/%s.yaml", org), s.unitConfig("oktasync-"+org, everySecond))
		b.write(fmt.Sprintf("/etc/oktasync/%s.pem", org), key)
		b.run("systemctl", "start", "oktasync@"+org)
	}
	for _, org := range []string{"acme", "umbrella"} {
		b.logged("oktasync@"+org, "snapshot published")
		b.run("oktasync-as-service", "--instance", org, "verify")
	}
	b.run("systemctl", "stop", "oktasync@acme", "oktasync@umbrella")
}
