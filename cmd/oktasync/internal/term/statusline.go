package term

import (
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

const (
	// Delay is how long a task runs before its status line appears.
	Delay = time.Second

	redraw = 250 * time.Millisecond // the interval between two drawings
)

// Control sequences of ECMA-48.
const (
	lineStart = "\r"
	eraseLine = "\x1b[K"
)

// StatusLine is the last line of a terminal, redrawn while a task runs. Other
// output to the terminal goes through Writer, which erases the line first.
type StatusLine struct {
	out     io.Writer
	columns func() int // the current width of the window

	mu      sync.Mutex
	text    func() []string // the parts of the line, the most important first; nil: no line
	drawn   string          // the line on the terminal; "": none
	midLine bool            // other output has not ended its line yet
}

// NewStatusLine returns the status line of the terminal that w writes to. It
// returns nil if w is no terminal, or if kind, the value of TERM, is "dumb".
func NewStatusLine(w io.Writer, kind string) *StatusLine {
	if kind == "dumb" || !IsTerminal(w) {
		return nil
	}
	return &StatusLine{out: w, columns: func() int { return Columns(w) }}
}

// IsTerminal reports whether w writes to a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// Columns returns the width of the terminal that w writes to, and 0 if w is no
// terminal.
func Columns(w io.Writer) int {
	if !IsTerminal(w) {
		return 0
	}
	if columns, _, err := term.GetSize(int(w.(interface{ Fd() uintptr }).Fd())); err == nil && columns > 0 {
		return columns
	}
	return 80
}

// Show draws the parts that text returns until stop is called. stop erases the
// line.
func (s *StatusLine) Show(text func() []string) (stop func()) {
	s.mu.Lock()
	s.text = text
	s.mu.Unlock()
	done := make(chan struct{})
	var drawing sync.WaitGroup
	drawing.Go(func() {
		next := time.NewTimer(Delay)
		defer next.Stop()
		for {
			select {
			case <-done:
				return
			case <-next.C:
				s.draw()
				next.Reset(redraw)
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		drawing.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.text = nil
		s.eraseLocked()
	})
}

func (s *StatusLine) draw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == nil || s.midLine {
		return
	}
	line := fit(s.text(), s.columns()-1) // some terminals wrap after the last column
	if line == s.drawn {
		return
	}
	s.drawn = line
	io.WriteString(s.out, lineStart+line+eraseLine)
}

func (s *StatusLine) eraseLocked() {
	if s.drawn != "" {
		s.drawn = ""
		io.WriteString(s.out, lineStart+eraseLine)
	}
}

// fit joins as many parts as fit into columns. It cuts the first part if that
// alone is too long.
func fit(parts []string, columns int) string {
	line := ""
	for i, part := range parts {
		joined := part
		if i > 0 {
			joined = line + ", " + part
		}
		if width(joined) > columns {
			if i == 0 {
				line = cut(part, columns)
			}
			break
		}
		line = joined
	}
	return line
}

func cut(text string, columns int) string {
	for i, r := range text {
		if columns -= widthOf(r); columns < 0 {
			return text[:i]
		}
	}
	return text
}

// Writer returns a writer to w that erases the status line first, if w is a
// terminal. It returns w itself if s is nil or w is no terminal.
func (s *StatusLine) Writer(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok && s != nil && IsTerminal(w) {
		return writer{s, f}
	}
	return w
}

// writer writes to the terminal of a status line.
type writer struct {
	*StatusLine
	file *os.File
}

func (w writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.eraseLocked()
	if len(p) > 0 {
		w.midLine = !strings.HasSuffix(string(p), "\n")
	}
	return w.file.Write(p)
}

// Fd returns the file descriptor of the terminal, for IsTerminal.
func (w writer) Fd() uintptr { return w.file.Fd() }
