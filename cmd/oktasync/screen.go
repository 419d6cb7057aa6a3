package main

import (
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// screen is a terminal with a line at its end that is drawn over and over, and
// that whatever else is written there takes away first. It holds no colours.
type screen struct {
	out     io.Writer
	columns func() int // asked before each drawing, as windows change

	mu     sync.Mutex
	text   func() []string // what the line says, the most important first; nil: there is none
	drawn  string          // "": nothing
	within bool            // somebody's own line has not ended yet
}

// newScreen returns the screen behind w; nil where w is no terminal, or one
// that can't take a line away.
func (a *app) newScreen(w io.Writer) *screen {
	if kind, _ := a.getenv("TERM"); kind == "dumb" || !isTerminal(w) {
		return nil
	}
	return &screen{out: w, columns: func() int { return columnsOf(w) }}
}

// columnsOf is how wide the terminal is that w writes to; 0 where it is none.
func columnsOf(w io.Writer) int {
	if !isTerminal(w) {
		return 0
	}
	if columns, _, err := term.GetSize(int(w.(interface{ Fd() uintptr }).Fd())); err == nil && columns > 0 {
		return columns
	}
	return 80
}

const (
	patience = time.Second            // what is done by then shows no line
	redraw   = 250 * time.Millisecond // at most so often
)

// show draws what text says until stop is called, which takes the line away.
func (s *screen) show(text func() []string) (stop func()) {
	s.mu.Lock()
	s.text = text
	s.mu.Unlock()
	done := make(chan struct{})
	var drawing sync.WaitGroup
	drawing.Go(func() {
		next := time.NewTimer(patience)
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

// Codes of ECMA-48, which every terminal knows that is one.
const (
	toStart   = "\r"
	eraseRest = "\x1b[K"
)

func (s *screen) draw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == nil || s.within {
		return
	}
	line := fit(s.text(), s.columns()-1) // some terminals wrap behind the last column
	if line == s.drawn {
		return
	}
	s.drawn = line
	io.WriteString(s.out, toStart+line+eraseRest)
}

func (s *screen) eraseLocked() {
	if s.drawn != "" {
		s.drawn = ""
		io.WriteString(s.out, toStart+eraseRest)
	}
}

// fit joins as many parts as there are columns for. Of the first one there is
// as much as fits.
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

// width is how many columns a text takes at most: two for what is not ASCII, as
// that is the most that a character takes.
func width(text string) (columns int) {
	for _, r := range text {
		columns += widthOf(r)
	}
	return columns
}

func widthOf(r rune) int {
	if r < 0x80 {
		return 1
	}
	return 2
}

func cut(text string, columns int) string {
	for i, r := range text {
		if columns -= widthOf(r); columns < 0 {
			return text[:i]
		}
	}
	return text
}

// inLines sets words in lines of at most so many columns.
func inLines(words []string, most int) string {
	var b strings.Builder
	at := 0
	for _, word := range words {
		switch {
		case at == 0:
		case at+1+width(word) > most:
			b.WriteByte('\n')
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += width(word)
	}
	return b.String()
}

// above writes to the terminal that a screen is on, past its line.
type above struct {
	*screen
	file *os.File
}

func (w above) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.eraseLocked()
	if len(p) > 0 {
		w.within = !strings.HasSuffix(string(p), "\n")
	}
	return w.file.Write(p)
}

// Fd is the terminal's.
func (w above) Fd() uintptr { return w.file.Fd() }

// over returns w, or a writer to it that leaves the line of s alone.
func (s *screen) over(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok && s != nil && isTerminal(w) {
		return above{s, f}
	}
	return w
}
