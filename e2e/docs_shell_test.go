package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// shell is one bash that runs the commands of a page, as a reader's would.
type shell struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func newShell(t *testing.T, dir string, env ...string) *shell {
	t.Helper()
	s := &shell{t: t, cmd: exec.Command("bash")}
	s.cmd.Dir = dir
	s.cmd.Env = append(os.Environ(), env...)
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = w, w
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	s.out = bufio.NewReader(r)
	t.Cleanup(func() { s.cmd.Process.Kill(); r.Close() })
	return s
}

// run runs a command and returns what came on both outputs, and its status,
// which `echo $?` sees next.
func (s *shell) run(command string) (output string, status int) {
	s.t.Helper()
	fmt.Fprintf(s.in, "{ (exit $status)\n%s\n} </dev/null; status=$?; printf '\\036%%d\\n' $status\n", command)
	output, err := s.out.ReadString('\036')
	if err != nil {
		s.t.Fatalf("%s: the shell ended: %v\n%s", command, err, output)
	}
	line, err := s.out.ReadString('\n')
	if err == nil {
		status, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSuffix(output, "\036"), status
}

func (s *shell) close() {
	s.in.Close()
	if err := s.cmd.Wait(); err != nil && !strings.HasPrefix(err.Error(), "exit status") {
		s.t.Error(err)
	}
}
