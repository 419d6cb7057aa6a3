package term

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// isControl reports whether a terminal interprets r instead of showing it:
// control characters, line separators, and characters that change the direction
// of the text.
func isControl(r rune) bool {
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// Safe returns text that isn't from oktasync, such as a login, in one line that a
// terminal can show. Control characters are escaped as in JSON.
func Safe(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if !strings.ContainsFunc(text, isControl) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if isControl(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// SafeLines is Safe for a text of several lines.
func SafeLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = Safe(line)
	}
	return strings.Join(lines, "\n")
}

// NewSafeWriter returns a writer that escapes control characters if w is a
// terminal. It keeps line ends and tabs. It returns w itself if w is no terminal.
func NewSafeWriter(w io.Writer) io.Writer {
	if !IsTerminal(w) {
		return w
	}
	return &safeWriter{w: w}
}

// Unescaped returns the writer below a safe writer, for text with colors, and w
// itself if it isn't a safe writer.
func Unescaped(w io.Writer) io.Writer {
	if s, ok := w.(*safeWriter); ok {
		return s.w
	}
	return w
}

type safeWriter struct {
	w    io.Writer
	rest []byte // the start of a character that the next write may complete
}

// Fd returns the file descriptor of the terminal, for IsTerminal.
func (s *safeWriter) Fd() uintptr { return s.w.(interface{ Fd() uintptr }).Fd() }

func (s *safeWriter) Write(data []byte) (int, error) {
	text := append(s.rest, data...)
	var b strings.Builder
	for len(text) > 0 && utf8.FullRune(text) && string(text) != "\r" {
		r, size := utf8.DecodeRune(text)
		if r == '\n' || r == '\t' || r == '\r' && text[1] == '\n' {
			b.WriteRune(r)
		} else {
			b.WriteString(Safe(string(text[:size])))
		}
		text = text[size:]
	}
	s.rest = bytes.Clone(text)
	if _, err := io.WriteString(s.w, b.String()); err != nil {
		return 0, err
	}
	return len(data), nil
}
