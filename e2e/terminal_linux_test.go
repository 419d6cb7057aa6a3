package e2e

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"oktasync/oktaclient/sandbox"
)

// openTerminal returns both ends of a pseudo-terminal (pty(7)).
func openTerminal(t *testing.T, columns, rows uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	check(t, err)
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
	check(t, err)
	return master, slave
}

// recordTerminal returns a terminal. After finish, w has everything that was written
// to the terminal.
func recordTerminal(t *testing.T, columns, rows uint16, w io.Writer) (terminal *os.File, finish func()) {
	t.Helper()
	master, slave := openTerminal(t, columns, rows)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		io.Copy(w, master) // ends with EIO when the last slave is closed
	}()
	return slave, func() {
		slave.Close()
		<-copied
		master.Close()
	}
}

// recording contains the output of a program to a terminal.
type recording struct {
	bytes strings.Builder
	took  time.Duration
}

// record runs a command that must return status, on a terminal of this size.
func (s *site) record(t *testing.T, status int, columns, rows uint16, args ...string) *recording {
	t.Helper()
	r, began := &recording{}, time.Now()
	terminal, finish := recordTerminal(t, columns, rows, &r.bytes)
	cmd := s.command(t.Context(), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	err := cmd.Run()
	finish()
	r.took = time.Since(began)
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("oktasync %s: %v, want status %d\n%s", strings.Join(args, " "), err, status, r.bytes.String())
	}
	return r
}

// display is a terminal with unlimited lines. It supports only what the program
// may use: printable ASCII, CR, LF, and "erase to the end of the line" of ECMA-48.
type display struct {
	columns  int
	lines    [][]byte
	wrapped  []bool // whether a line continues in the next one
	row, col int
}

func (d *display) put(b byte) {
	if d.col == d.columns { // terminals wrap before the next character
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

// text returns what the display shows. Wrapped lines are joined.
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

// play shows a recording, and returns each progress line that was drawn: the text
// between a CR and the erasure after it.
func (r *recording) play(t *testing.T, columns int) (d *display, drawn []string) {
	t.Helper()
	d = &display{columns: columns, lines: [][]byte{nil}, wrapped: []bool{false}}
	rest := r.bytes.String()
	start := -1 // of the line that is being drawn
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

// factLine matches a line of the result of apply.
var factLine = regexp.MustCompile(`^(all-users: published \S+|  [a-z]+( [a-z]+)?  +\S.*)$`)

// With several rate-limit buckets, progress shows the requests of each one, their total
// and the expected end.
func TestProgressShowsRequestsByBucket(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 2000, Seed: 12, Groups: 40, Apps: 40, Latency: 50 * time.Millisecond, CachePages: true}, "okta.users.read", "okta.groups.read", "okta.apps.read")
	s.configure(t, allResources)
	s.must(t, 0, "apply")
	_, drawn := s.record(t, 0, 250, 50, "apply").play(t, 250)
	want := regexp.MustCompile(`, \d+ of about \d+ requests: apps \d+ of \d+, groups \d+ of \d+, users \d+ of \d+, done about \d\d:\d\d:\d\d`)
	if !slices.ContainsFunc(drawn, want.MatchString) {
		t.Errorf("no line like %s in %q", want, drawn)
	}
}

// apply shows its progress in one line that never wraps, is drawn at most ten
// times per second, and is erased at the end.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 10_000, Seed: 12, Latency: 100 * time.Millisecond, CachePages: true})
	for _, test := range []struct {
		columns, rows uint16
		want          string
	}{
		{60, 20, `^all-users: reading, \d+ users, \d+/s$`},
		{200, 50, `^all-users: reading, \d+ of 10000 users, done about \d\d:\d\d:\d\d, \d+/s$`},
	} {
		r := s.record(t, 0, test.columns, test.rows, "apply")
		d, drawn := r.play(t, int(test.columns))
		want := regexp.MustCompile(test.want)
		found := false
		for _, line := range drawn {
			found = found || want.MatchString(line)
			if len(line) >= int(test.columns) {
				t.Errorf("%d columns: a line of %d: %q", test.columns, len(line), line)
			}
		}
		if !found {
			t.Errorf("%d columns: no line like %s in %q", test.columns, test.want, drawn)
		}
		if most := int(r.took.Seconds()*10) + 1; len(drawn) > most {
			t.Errorf("%d columns: drawn %d times in %v", test.columns, len(drawn), r.took)
		}
		for line := range strings.Lines(strings.TrimSpace(d.text()) + "\n") {
			if !factLine.MatchString(strings.TrimRight(line, "\n")) {
				t.Errorf("%d columns: %q is left", test.columns, line)
			}
		}
	}
	s.org.Wipe() // a short read
	if r := s.record(t, 0, 80, 24, "plan", "--quiet"); strings.Contains(r.bytes.String(), "\x1b") {
		t.Errorf("--quiet shows %q", r.bytes.String())
	}
	if r := s.must(t, 0, "verify"); strings.ContainsAny(r.stdout+r.stderr, "\r\x1b") {
		t.Errorf("a pipe shows %q", r.stdout+r.stderr)
	}
	s.noViolations(t)
}

// doctor wraps its findings to the width of a terminal. In a pipe, each finding is
// one line.
func TestDoctorOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 30, Seed: 5})
	check(t, os.Chmod(s.path("client-key.pem"), 0o640)) // a warning with a remedy
	words := func(text string) []string {               // without numbers, such as the free space
		return slices.DeleteFunc(strings.Fields(text), func(word string) bool { return strings.ContainsAny(word, "0123456789") })
	}
	plain := s.must(t, 0, "doctor").stdout
	for _, columns := range []uint16{40, 78, 250} {
		margin := regexp.MustCompile(`^(|all is well|nothing failed.*|(ok|warning|-) +\w+ +\S.*| {26}\S.*)$`)
		if columns == 40 {
			margin = regexp.MustCompile(`^(|all is well|nothing failed.*|(ok|warning|-) +\w+| {4}\S.*)$`)
		}
		d, _ := s.record(t, 0, columns, 24, "doctor", "--no-color").play(t, int(columns))
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

// No command shows a control character of a user's attribute or status on a
// terminal, in any format, and none prints one as text in a pipe.
func TestNoControlCharactersOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 30, Seed: 3})
	s.must(t, 0, "apply")
	const control = `\u001b]0;x\u0007\u001b[2J\r\n- deleted ceo\u009b31m\u202e`
	for i, id := range []string{"00uctl0000000000000a", "00uctl0000000000000b"} {
		check(t, s.putUser(id, fmt.Sprintf(`{"login":"%d%s@acme.example","email":"x@acme.example","title":"%[2]s"}`, i, control), "ACTIVE"))
	}
	check(t, s.org.Put(fmt.Appendf(nil, `{"id":"00uctl0000000000000c","status":"%s","created":"2026-01-01T00:00:00.000Z","lastUpdated":"2026-01-01T00:00:00.000Z","profile":{"login":"c@acme.example"}}`, control)))
	s.must(t, 0, "plan")
	s.must(t, 0, "apply")
	s.configure(t, "    users:\n      guard: {min: 200}\n")
	s.must(t, 3, "apply")
	for _, args := range [][]string{
		{"diff", "all-users"}, {"diff", "all-users", "--json"}, {"history", "all-users", "00uctl0000000000000a"},
		{"show", "all-users"}, {"show", "all-users", "--format", "csv"}, {"api", "/api/v1/users/00uctl0000000000000a"}, {"plan"},
		{"list"}, {"list", "--json"}, {"quarantine", "list", "--json"}, {"plan", "--json"}, {"apply", "--json", "--log-level", "debug", "--no-color"},
	} {
		status := 0
		if args[0] == "apply" {
			status = 3
		}
		r := s.record(t, status, 200, 50, args...)
		text := strings.NewReplacer("\r\r\n", "\n", "\r\n", "\n", "\r\x1b[K", "").Replace(r.bytes.String())
		if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' || r == '\u202e' }) {
			t.Errorf("oktasync %s shows %q", strings.Join(args, " "), text)
		}
		if !slices.Contains([]string{"plan", "apply", "list"}, args[len(args)-1]) && status == 0 && !strings.Contains(text, `\u001b]0;x`) {
			t.Errorf("oktasync %s doesn't show the text: %q", strings.Join(args, " "), text)
		}
	}
	for _, args := range [][]string{{"diff", "all-users"}, {"history", "all-users", "00uctl0000000000000b"}, {"plan"}} {
		if r := s.must(t, 0, args...); strings.ContainsAny(r.stdout, "\x1b\u009b\u202e\r") || strings.Contains(r.stdout, "\n- deleted") {
			t.Errorf("oktasync %s in a pipe shows %q", strings.Join(args, " "), r.stdout)
		}
	}
	s.noViolations(t)
}

// On a terminal, the demo has pauses and colors.
func TestDemoOnATerminal(t *testing.T) {
	if !all() {
		t.Skip("takes ten seconds")
	}
	t.Parallel()
	s := &site{dir: t.TempDir()}
	r := s.record(t, 0, 100, 40, "demo", "--dir", "demo")
	if r.took < 5*time.Second {
		t.Errorf("the demo took %s, want pauses of 5 s at least", r.took)
	}
	for _, want := range []string{"\x1b[36m$ oktasync apply\x1b[0m", "\x1b[32mOK. ", "\x1b[31moktasync: error: "} {
		if !strings.Contains(r.bytes.String(), want) {
			t.Errorf("the demo doesn't show %q:\n%s", want, r.bytes.String())
		}
	}
}

// A guard's error on a terminal names ten users, the number of the others, and the
// command that shows them all. A pipe and the journal contain no names.
func TestGuardOnATerminal(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 80, Seed: 93})
	s.must(t, 0, "apply")
	s.org.Delete(30)
	s.org.Deactivate(12)
	shown := s.record(t, 3, 120, 40, "apply").bytes.String()
	named := regexp.MustCompile(`(?m)^  [-~] (not_listed|deactivated) +\S+@\S+`)
	if n := len(named.FindAllString(shown, -1)); n != 10 {
		t.Errorf("apply names %d users, want 10:\n%s", n, shown)
	}
	if want := regexp.MustCompile("… and 32 more; `oktasync quarantine diff all-users@[0-9TZ]+ --all` shows all changes"); !want.MatchString(shown) {
		t.Errorf("apply doesn't show %q:\n%s", want, shown)
	}

	address := regexp.MustCompile(`\S+@\S+\.\S+`)
	if r := s.must(t, 3, "apply"); address.MatchString(r.stderr) || r.stdout != "" {
		t.Errorf("apply names a user in a pipe:\n%s%s", r.stdout, r.stderr)
	}
	if journal := s.journal(t); address.MatchString(journal) {
		t.Errorf("the journal names a user:\n%s", journal)
	}
}

// plan, diff, quarantine diff and tables of show shorten their output only on a terminal,
// and name the flag that shows everything.
func TestShortOutputOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 200, Seed: 93})
	s.must(t, 0, "apply")
	s.org.Move(60)
	s.must(t, 0, "apply")
	s.org.Move(60)
	s.org.Delete(60)
	s.must(t, 3, "apply")
	for _, test := range []struct {
		command        string
		changes, shown int
	}{
		{"plan", 120, 50}, // at most 120: some of the people who moved are deleted
		{"diff all-users", 60, 50},
		{"quarantine diff all-users", 120, 100}, // 50 for each heading
		{"show all-users --columns id,status", 200, 50},
	} {
		args := strings.Fields(test.command)
		changes := func(text string) int {
			return len(regexp.MustCompile(`(?m)^(  [-+~]|00u\w+) `).FindAllString(text, -1))
		}
		whole := s.must(t, 0, args...).stdout
		if n := changes(whole); n <= test.shown || n > test.changes || strings.Contains(whole, "more; ") {
			t.Errorf("oktasync %s in a pipe prints %d changes:\n%s", test.command, n, whole)
		}
		short := s.record(t, 0, 120, 40, args...).bytes.String()
		if n := changes(short); n >= changes(whole) || n > test.shown || !strings.Contains(short, "more; --all prints them") {
			t.Errorf("oktasync %s on a terminal prints %d changes:\n%s", test.command, n, short)
		}
		if n := changes(s.record(t, 0, 120, 40, append(args, "--all")...).bytes.String()); n != changes(whole) {
			t.Errorf("oktasync %s --all on a terminal prints %d changes, want %d", test.command, n, changes(whole))
		}
	}
}

// The log is text with colors on a terminal, and without them in a pipe.
func TestLogOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 10, Seed: 131})
	shown := s.record(t, 0, 200, 50, "apply", "--log-level", "info").bytes.String()
	if !regexp.MustCompile(`\x1b\[[0-9;]+mINF\x1b\[0m token fetched`).MatchString(shown) {
		t.Errorf("a terminal shows %q", shown)
	}
	if piped := s.must(t, 0, "apply", "--log-level", "info").stderr; !regexp.MustCompile(`^[0-9:]{8} INF token fetched [^\x1b]+$`).MatchString(piped) {
		t.Errorf("a pipe has %q", piped)
	}
}

// An XLSX file isn't written to a terminal.
func TestReportOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 20, Seed: 97})
	s.must(t, 0, "apply")
	out := s.record(t, 1, 120, 40, "report", "all-users", "--format", "xlsx").bytes.String()
	if !strings.Contains(out, "error: an XLSX file can't be written to a terminal; add --output FILE") || strings.Contains(out, "PK\x03") {
		t.Errorf("report --format xlsx prints %q", out)
	}
}
