package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// commands reports whether r does something to a terminal, or to the text
// around it, in place of showing itself: controls, separators of lines, and what
// turns the direction of writing.
func commands(r rune) bool {
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// printable is text from elsewhere as it can be shown to a person, in one line:
// a login that holds commands must neither be carried out nor pass for a line of
// ours. They are written as in JSON.
func printable(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if !strings.ContainsFunc(text, commands) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if commands(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// printableText is printable for a text of several lines.
func printableText(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

// data is where users go as they are, but for a terminal: nobody wants what a
// user's title may do to it.
func (a *app) data() io.Writer {
	if !isTerminal(a.stdout) {
		return a.stdout
	}
	return &printableLines{w: a.stdout}
}

// printableLines writes printable text, and leaves line ends and tabs alone.
type printableLines struct {
	w    io.Writer
	held []byte // the end of the last write, a character that may go on
}

func (p *printableLines) Write(data []byte) (int, error) {
	text := append(p.held, data...)
	var b strings.Builder
	for len(text) > 0 && utf8.FullRune(text) && string(text) != "\r" {
		r, size := utf8.DecodeRune(text)
		if r == '\n' || r == '\t' || r == '\r' && text[1] == '\n' {
			b.WriteRune(r)
		} else {
			b.WriteString(printable(string(text[:size])))
		}
		text = text[size:]
	}
	p.held = bytes.Clone(text)
	if _, err := io.WriteString(p.w, b.String()); err != nil {
		return 0, err
	}
	return len(data), nil
}
