package main

import (
	"fmt"
	"regexp"
	"strings"
)

// nearest returns the one of known that word is likely a misspelling of, or "".
func nearest(word string, known []string) string {
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	best, bound := "", min(max(1, len(word)/3), 3)
	if len(word) > 100 {
		return ""
	}
	for _, k := range known {
		if len(k) > 3 && strings.HasPrefix(word, k) || len(word) > 2 && strings.HasPrefix(k, word) {
			return k
		}
		if d := distance(plain(word), plain(k)); d <= bound {
			best, bound = k, d-1
		}
	}
	return best
}

// distance is how many letters must be put in, left out, replaced or swapped
// with their neighbour to make b of a.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.\[\]@-]{1,60}$`)

// shown is a word of the user's for a message: as it is where it is plain, and
// otherwise quoted and cut, so that nothing odd or long gets onto a terminal.
func shown(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return quoted(s)
}

func quoted(s string) string {
	if strings.Contains(s, "-----BEGIN") { // pasted into the wrong place
		return "of a key"
	}
	if r := []rune(s); len(r) > 60 {
		s = string(r[:57]) + "..."
	}
	return fmt.Sprintf("%q", s)
}
