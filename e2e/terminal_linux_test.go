package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"oktasync/oktaclient/sandbox"
)

// openTerminal returns both ends of a new pseudo-terminal (pty(7)).
func openTerminal(t *testing.T, columns, rows uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows})
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// recording is what a program wrote to a terminal, as it came.
type recording struct {
	bytes strings.Builder
	took  time.Duration
}

// record runs a command with a terminal of this size.
func (s *site) record(t *testing.T, columns, rows uint16, args ...string) *recording {
	t.Helper()
	master, slave := openTerminal(t, columns, rows)
	cmd := s.command(t.Context(), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	r, began := &recording{}, time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(&r.bytes, master) // ends with EIO when the last slave is closed
	}()
	err := cmd.Wait()
	<-read
	r.took = time.Since(began)
	if err != nil {
		t.Fatalf("oktasync %s: %v\n%s", strings.Join(args, " "), err, r.bytes.String())
	}
	return r
}

// display is a terminal that knows what the program may use: printable ASCII,
// CR, LF, and ECMA-48's "erase to the end of the line". Its lines never scroll
// away.
type display struct {
	columns  int
	lines    [][]byte
	wrapped  []bool // whether a line goes on in the next one
	row, col int
}

func (d *display) put(b byte) {
	if d.col == d.columns { // terminals wrap when the character after the last column comes
		d.wrapped[d.row] = true
		d.row, d.col = d.row+1, 0
	}
	for len(d.lines) <= d.row {
		d.lines, d.wrapped = append(d.lines, nil), append(d.wrapped, false)
	}
	line := d.lines[d.row]
	for len(line) <= d.col {
		line = append(line, ' ')
	}
	line[d.col] = b
	d.lines[d.row] = line
	d.col++
}

// text is what stands there at the end, a line a line that was written.
func (d *display) text() string {
	var b strings.Builder
	for i, line := range d.lines {
		b.WriteString(strings.TrimRight(string(line), " "))
		if !d.wrapped[i] {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// play shows a recording, and returns each progress line as it was drawn: what
// comes between a CR and the erasure after it.
func (r *recording) play(t *testing.T, columns int) (d *display, drawn []string) {
	t.Helper()
	d = &display{columns: columns, lines: [][]byte{nil}, wrapped: []bool{false}}
	rest := r.bytes.String()
	start := -1 // where the line that is being drawn begins
	for i := 0; i < len(rest); i++ {
		switch b := rest[i]; {
		case b == '\r':
			d.col, start = 0, i+1
		case b == '\n':
			d.row, start = d.row+1, -1
			for len(d.lines) <= d.row {
				d.lines, d.wrapped = append(d.lines, nil), append(d.wrapped, false)
			}
		case strings.HasPrefix(rest[i:], "\x1b[K"):
			d.lines[d.row] = d.lines[d.row][:min(d.col, len(d.lines[d.row]))]
			if start >= 0 && i > start {
				drawn = append(drawn, rest[start:i])
			}
			start = -1
			i += 2
		case b < ' ' || b > '~':
			t.Fatalf("byte %#x at %d of %q", b, i, rest)
		default:
			if start >= 0 && d.col == columns {
				t.Errorf("a progress line wraps: %q", rest[start:i+1])
			}
			d.put(b)
		}
	}
	return d, drawn
}

// factLine is a line of what apply prints.
var factLine = regexp.MustCompile(`^(all-users: published \S+|  [a-z]+( [a-z]+)?  +\S.*)$`)

// The progress of a reading on terminals of two sizes: one line that never
// wraps, is drawn at most ten times a second, says what is known, and leaves
// nothing behind.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 20_000, Seed: 12, Latency: 100 * time.Millisecond, CachePages: true})
	for _, test := range []struct {
		columns, rows uint16
		says          string
	}{
		{60, 20, `^all-users: reading, \d+ users, \d+/s$`},
		{200, 50, `^all-users: reading, \d+ of 20000 users, done about \d\d:\d\d:\d\d, \d+/s$`},
	} {
		r := s.record(t, test.columns, test.rows, "apply")
		d, drawn := r.play(t, int(test.columns))
		says := regexp.MustCompile(test.says)
		found := false
		for _, line := range drawn {
			found = found || says.MatchString(line)
			if len(line) >= int(test.columns) {
				t.Errorf("%d columns: a line of %d: %q", test.columns, len(line), line)
			}
		}
		if !found {
			t.Errorf("%d columns: no line like %s in %q", test.columns, test.says, drawn)
		}
		if most := int(r.took.Seconds()*10) + 1; len(drawn) > most {
			t.Errorf("%d columns: drawn %d times in %v", test.columns, len(drawn), r.took)
		}
		for line := range strings.Lines(strings.TrimSpace(d.text()) + "\n") {
			if !factLine.MatchString(strings.TrimRight(line, "\n")) {
				t.Errorf("%d columns: %q was left behind", test.columns, line)
			}
		}
	}
	if long() {
		if r := s.record(t, 80, 24, "plan", "--quiet"); strings.Contains(r.bytes.String(), "\x1b") {
			t.Errorf("--quiet shows %q", r.bytes.String())
		}
	}
	if r := s.must(t, 0, "verify"); strings.ContainsAny(r.stdout+r.stderr, "\r\x1b") {
		t.Errorf("a pipe shows %q", r.stdout+r.stderr)
	}
	s.noViolations(t)
}

// What doctor finds is set in lines that fit a terminal, beside the marks, and in
// a narrow one below them. A pipe gets a line a finding.
func TestDoctorOnATerminal(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 30, Seed: 5})
	if err := os.Chmod(filepath.Join(s.dir, "client-key.pem"), 0o640); err != nil { // a warning, with its remedy
		t.Fatal(err)
	}
	words := func(text string) []string { // but numbers, such as the space that is left
		return slices.DeleteFunc(strings.Fields(text), func(word string) bool { return strings.ContainsAny(word, "0123456789") })
	}
	plain := s.must(t, 0, "doctor").stdout
	for _, columns := range []uint16{40, 78, 250} {
		margin := regexp.MustCompile(`^(|all is well|nothing failed.*|(ok|warning|-) +\w+ +\S.*| {26}\S.*)$`)
		if columns == 40 {
			margin = regexp.MustCompile(`^(|all is well|nothing failed.*|(ok|warning|-) +\w+| {4}\S.*)$`)
		}
		d, _ := s.record(t, columns, 24, "doctor", "--no-color").play(t, int(columns))
		text := d.text()
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\n")
			if oneWord := len(strings.Fields(line)) == 1; len(line) >= int(columns) && !oneWord || !margin.MatchString(line) {
				t.Errorf("%d columns: a line of %d: %q", columns, len(line), line)
			}
		}
		if !slices.Equal(words(text), words(plain)) {
			t.Errorf("%d columns:\n%s\nin a pipe:\n%s", columns, text, plain)
		}
	}
	if !strings.Contains(plain, "\n                          on this host: chmod 600 client-key.pem\n") || strings.Count(plain, "\n") != 25+1+2 {
		t.Errorf("in a pipe:\n%s", plain)
	}
}

// Whatever Okta's users hold, no command shows a control character of theirs on
// a terminal, and no text for people has one in a pipe either.
func TestNoCommandsForATerminal(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 30, Seed: 3})
	s.must(t, 0, "apply")
	const odd = `\u001b]0;x\u0007\u001b[2J\r\n- deleted ceo\u009b31m\u202e`
	for i, id := range []string{"00uodd0000000000000a", "00uodd0000000000000b"} {
		user := fmt.Sprintf(`{"id":%q,"status":"ACTIVE","created":"2026-01-01T00:00:00.000Z","lastUpdated":"2026-01-01T00:00:00.000Z","profile":{"login":"%d%s@acme.example","email":"x@acme.example","title":"%[3]s"}}`,
			id, i, odd)
		if err := s.org.Put([]byte(user)); err != nil {
			t.Fatal(err)
		}
	}
	s.must(t, 0, "plan")
	s.must(t, 0, "apply")
	for _, args := range [][]string{
		{"diff", "all-users"}, {"diff", "all-users", "--json"}, {"history", "all-users", "00uodd0000000000000a"},
		{"show", "all-users"}, {"show", "all-users", "--format", "csv"}, {"api", "/api/v1/users/00uodd0000000000000a"}, {"plan"},
	} {
		r := s.record(t, 200, 50, args...)
		text := strings.NewReplacer("\r\r\n", "\n", "\r\n", "\n", "\r\x1b[K", "").Replace(r.bytes.String())
		if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' || r == '\u202e' }) {
			t.Errorf("oktasync %s shows %q", strings.Join(args, " "), text)
		}
		if args[0] != "plan" && !strings.Contains(text, `\u001b]0;x`) {
			t.Errorf("oktasync %s does not show the title: %q", strings.Join(args, " "), text)
		}
	}
	for _, args := range [][]string{{"diff", "all-users"}, {"history", "all-users", "00uodd0000000000000b"}} {
		if r := s.must(t, 0, args...); strings.ContainsAny(r.stdout, "\x1b\u009b\u202e\r") || strings.Contains(r.stdout, "\n- deleted") {
			t.Errorf("oktasync %s in a pipe shows %q", strings.Join(args, " "), r.stdout)
		}
	}
	s.noViolations(t)
}

// On a terminal the demo is paced and in colours, and over before anybody
// leaves.
func TestDemoOnATerminal(t *testing.T) {
	if !long() {
		t.Skip("takes ten seconds")
	}
	t.Parallel()
	s := &site{dir: t.TempDir()}
	began := time.Now()
	s.must(t, 0, "demo", "--dir", "plain")
	plain := time.Since(began)
	r := s.record(t, 100, 40, "demo", "--dir", "paced")
	if pauses := r.took - plain; pauses < 5*time.Second || pauses > 14*time.Second {
		t.Errorf("the demo took %s on a terminal and %s without, want pauses of 5 to 14 s", r.took, plain)
	}
	for _, want := range []string{"\x1b[36m$ oktasync apply\x1b[0m", "\x1b[32meverything fits", "\x1b[31moktasync: error: "} {
		if !strings.Contains(r.bytes.String(), want) {
			t.Errorf("the demo lacks %q on a terminal:\n%s", want, r.bytes.String())
		}
	}
}
