package e2e

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bash completes words to the expected arguments, without the package
// bash-completion.
func TestBashCompletes(t *testing.T) {
	needs(t, "bash")
	s, snapshots, quarantined, env := newShellSite(t)
	shell := startTerminal(t, s.dir, env, "bash", "--noprofile", "--norc", "-i")
	shell.enter("source <(oktasync completion bash); PS1='<pro''mpt>'")
	shell.wait("<prompt>")
	shell.each(append(completions(snapshots, quarantined), [][2]string{
		{"oktasync ver\t", "<ver>"}, // verify or version
		{`oktasync list --config "other configs/one.yaml" al` + "\t", "<list><--config><other configs/one.yaml><all-users>"},
		{`oktasync list --config ~/other\ configs/one.yaml al` + "\t", "<list><--config><" + s.dir + "/other configs/one.yaml><all-users>"},
		{"oktasync list --config other\t", "<list><--config><other configs/>"},
		{"oktasync list --store snap\t", "<list><--store><snapshots/>"},
	}...))
	shell.enter("oktasync list --config $(touch ran) al\t\x15echo '<e''nd>'")
	shell.wait("<end>")
	if _, err := os.Stat(s.path("ran")); err == nil {
		t.Error("a completion ran a command of the line")
	}
}

func TestZshCompletes(t *testing.T) {
	needs(t, "zsh")
	s, snapshots, quarantined, env := newShellSite(t)
	shell := startTerminal(t, s.dir, env, "zsh", "-f", "-i")
	shell.enter("unsetopt zle_bracketed_paste; autoload -U compinit; compinit -u -D; source <(oktasync completion zsh); PS1='<pro''mpt>'")
	shell.wait("<prompt>")
	shell.each(completions(snapshots, quarantined))
}

// completions returns lines for any shell, and the arguments that result from
// them.
func completions(snapshots []string, quarantined string) [][2]string {
	newest, oldest := snapshots[0], snapshots[1]
	return [][2]string{
		{"oktasync li\tall\t", "<list><all-users>"},
		{"oktasync list ad\t--js\t", "<list><admins><--json>"},
		{"oktasync show all\t@" + oldest[:15] + "\t", "<show><all-users@" + oldest + ">"},
		{"oktasync show all-users@" + newest[:15] + "\t--format=cs\t", "<show><all-users@" + newest + "><--format=csv>"},
		{"oktasync quarantine dr\tall-users@\t", "<quarantine><drop><all-users@" + quarantined + ">"},
		{"oktasync diff all-users " + oldest[:15] + "\t" + newest[:15] + "\t", "<diff><all-users><" + oldest + "><" + newest + ">"},
		{"oktasync run cli\t", "<run><cli>"}, // a command without arguments completes no files
	}
}

// terminal is a shell on a pseudo-terminal.
type terminal struct {
	t    *testing.T
	keys io.Writer
	out  chan string
	rest string // output that wait has not returned
}

// startTerminal runs a shell on a terminal that is so wide that no line wraps.
func startTerminal(t *testing.T, dir string, env []string, shell ...string) *terminal {
	t.Helper()
	master, slave := openTerminal(t, 500, 50)
	cmd := exec.Command(shell[0], shell[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), append(env, "TERM=dumb")...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	check(t, cmd.Start())
	slave.Close()
	s := &terminal{t: t, keys: master, out: make(chan string)}
	go func() {
		defer close(s.out)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf) // EIO after the shell has ended
			if err != nil {
				return
			}
			s.out <- strings.ReplaceAll(string(buf[:n]), "\r", "")
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		for range s.out {
		}
		cmd.Wait()
	})
	return s
}

func (s *terminal) enter(line string) {
	s.t.Helper()
	_, err := io.WriteString(s.keys, line+"\n")
	check(s.t, err)
}

// each enters lines and checks the arguments that result from them.
func (s *terminal) each(lines [][2]string) {
	s.t.Helper()
	for _, line := range lines {
		s.enter(line[0])
		if got := s.wait("<end>"); !strings.HasSuffix(got, "\n"+line[1]) {
			s.t.Errorf("%q results in %q, want %q", line[0], got, line[1])
		}
		s.wait("<prompt>")
	}
}

// wait waits for text and returns the output before it.
func (s *terminal) wait(text string) string {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		if before, after, found := strings.Cut(s.rest, text); found {
			s.rest = after
			return before
		}
		select {
		case more, ok := <-s.out:
			if !ok {
				s.t.Fatalf("the shell ended without %q:\n%s", text, s.rest)
			}
			s.rest += more
		case <-deadline:
			s.t.Fatalf("the shell didn't show %q:\n%s", text, s.rest)
		}
	}
}
