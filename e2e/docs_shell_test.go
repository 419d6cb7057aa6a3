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

// shell is a bash process that runs the commands of a page.
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
	s.in, err = s.cmd.StdinPipe()
	check(t, err)
	r, w, err := os.Pipe()
	check(t, err)
	s.cmd.Stdout, s.cmd.Stderr = w, w
	check(t, s.cmd.Start())
	w.Close()
	s.out = bufio.NewReader(r)
	t.Cleanup(func() { s.cmd.Process.Kill(); r.Close() })
	return s
}

// run runs a command and returns its output and status. A following `echo $?`
// prints the status.
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
	check(s.t, err)
	return strings.TrimSuffix(output, "\036"), status
}

func (s *shell) close() {
	s.in.Close()
	if err := s.cmd.Wait(); err != nil && !strings.HasPrefix(err.Error(), "exit status") {
		s.t.Error(err)
	}
}
