package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What is typed into a real bash ends up as arguments, as a person would have it.
// The package bash-completion is not loaded.
func TestBashCompletes(t *testing.T) {
	needs(t, "bash")
	s, snapshots, reading, env := newTypingSite(t)
	shell := startTyping(t, s.dir, env, "bash", "--noprofile", "--norc", "-i")
	shell.enter("source <(oktasync completion bash); PS1='<pro''mpt>'")
	shell.wait("<prompt>")
	shell.each(append(typed(snapshots, reading), [][2]string{
		{"oktasync ver\t", "<ver>"}, // verify or version
		{`oktasync list --config "other configs/one.yaml" al` + "\t", "<list><--config><other configs/one.yaml><all-users>"},
		{`oktasync list --config ~/other\ configs/one.yaml al` + "\t", "<list><--config><" + s.dir + "/other configs/one.yaml><all-users>"},
		{"oktasync list --config other\t", "<list><--config><other configs/>"},
		{"oktasync list --store snap\t", "<list><--store><snapshots/>"},
	}...))
	shell.enter("oktasync list --config $(touch ran) al\t\x15echo '<e''nd>'")
	shell.wait("<end>")
	if _, err := os.Stat(filepath.Join(s.dir, "ran")); err == nil {
		t.Error("a completion ran what was typed")
	}
}

func TestZshCompletes(t *testing.T) {
	needs(t, "zsh")
	s, snapshots, reading, env := newTypingSite(t)
	shell := startTyping(t, s.dir, env, "zsh", "-f", "-i")
	shell.enter("unsetopt zle_bracketed_paste; autoload -U compinit; compinit -u -D; source <(oktasync completion zsh); PS1='<pro''mpt>'")
	shell.wait("<prompt>")
	shell.each(typed(snapshots, reading))
}

// typed is what is typed into each shell, and the arguments that it makes.
func typed(snapshots []string, reading string) [][2]string {
	newest, oldest := snapshots[0], snapshots[1]
	return [][2]string{
		{"oktasync li\tall\t", "<list><all-users>"},
		{"oktasync list ad\t--js\t", "<list><admins><--json>"},
		{"oktasync show all\t@" + oldest[:15] + "\t", "<show><all-users@" + oldest + ">"},
		{"oktasync show all-users@" + newest[:15] + "\t--format=cs\t", "<show><all-users@" + newest + "><--format=csv>"},
		{"oktasync quarantine dr\tall-users@\t", "<quarantine><drop><all-users@" + reading + ">"},
		{"oktasync diff all-users " + oldest[:15] + "\t" + newest[:15] + "\t", "<diff><all-users><" + oldest + "><" + newest + ">"},
		{"oktasync run cli\t", "<run><cli>"}, // no files where there are no arguments
	}
}

// typing is a shell on a pseudo-terminal.
type typing struct {
	t    *testing.T
	keys io.Writer
	seen chan string
	rest string
}

// startTyping runs a shell on a terminal too wide for lines to wrap.
func startTyping(t *testing.T, dir string, env []string, shell ...string) *typing {
	t.Helper()
	master, slave := openTerminal(t, 500, 50)
	cmd := exec.Command(shell[0], shell[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), append(env, "TERM=dumb")...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	s := &typing{t: t, keys: master, seen: make(chan string)}
	go func() {
		defer close(s.seen)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf) // EIO once the shell is gone
			if err != nil {
				return
			}
			s.seen <- strings.ReplaceAll(string(buf[:n]), "\r", "")
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		for range s.seen {
		}
		cmd.Wait()
	})
	return s
}

// enter types a line.
func (s *typing) enter(line string) {
	s.t.Helper()
	if _, err := io.WriteString(s.keys, line+"\n"); err != nil {
		s.t.Fatal(err)
	}
}

// each types lines and holds what becomes of them against what they should.
func (s *typing) each(lines [][2]string) {
	s.t.Helper()
	for _, line := range lines {
		s.enter(line[0])
		if got := s.wait("<end>"); !strings.HasSuffix(got, "\n"+line[1]) {
			s.t.Errorf("%q becomes %q, want %q", line[0], got, line[1])
		}
		s.wait("<prompt>")
	}
}

// wait returns what the terminal shows before text.
func (s *typing) wait(text string) string {
	s.t.Helper()
	deadline := time.After(time.Minute)
	for {
		if before, after, found := strings.Cut(s.rest, text); found {
			s.rest = after
			return before
		}
		select {
		case more, ok := <-s.seen:
			if !ok {
				s.t.Fatalf("the shell ended without %q:\n%s", text, s.rest)
			}
			s.rest += more
		case <-deadline:
			s.t.Fatalf("the shell did not show %q:\n%s", text, s.rest)
		}
	}
}
