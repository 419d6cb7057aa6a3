package term

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Plural returns "1 export" or "3 exports".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// List returns "users, groups and apps".
func List(items []string) string {
	last := len(items) - 1
	if last < 1 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:last], ", ") + " and " + items[last]
}

// Grouped returns 1234567 as 1,234,567.
func Grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Bytes returns a size with its unit: "512 B", "3.2 GiB", "10 MiB".
func Bytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/1024, 0
	for size >= 1024 && unit < 4 {
		size, unit = size/1024, unit+1
	}
	return fmt.Sprintf("%s %ciB", strings.TrimSuffix(fmt.Sprintf("%.1f", size), ".0"), "KMGTP"[unit])
}

// Duration returns a duration without units that are zero: 2h, not 2h0m0s.
func Duration(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

const maxWord = 60 // characters

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.\[\]@-]+$`)

// Word returns a word from the user for a message. It quotes and shortens a word with
// special characters.
func Word(s string) string {
	if len(s) <= maxWord && plainWord.MatchString(s) {
		return s
	}
	return Quoted(s)
}

// Quoted returns s in quotes, with at most 60 characters. It doesn't show a private key
// that was pasted into the wrong place.
func Quoted(s string) string {
	if strings.Contains(s, "-----BEGIN") {
		return "of a key"
	}
	if r := []rune(s); len(r) > maxWord {
		s = string(r[:maxWord-3]) + "..."
	}
	return fmt.Sprintf("%q", s)
}

var shellWord = regexp.MustCompile(`^[A-Za-z0-9_./-]+$`)

// ShellWord quotes a word for a POSIX shell where it needs quotes.
func ShellWord(word string) string {
	if shellWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Wrap joins words with spaces, and breaks lines that would have more than
// columns columns.
func Wrap(words []string, columns int) string {
	var b strings.Builder
	at := 0
	for _, word := range words {
		switch {
		case at == 0:
		case at+1+width(word) > columns:
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

// width returns the largest width of a text, in columns.
func width(text string) (columns int) {
	for _, r := range text {
		columns += widthOf(r)
	}
	return columns
}

// widthOf returns the largest width of a character: 2 columns, unless it is ASCII.
func widthOf(r rune) int {
	if r < 0x80 {
		return 1
	}
	return 2
}
