package term

import (
	"slices"
	"strings"
)

// Nearest returns the known word that was probably meant by word, or "".
func Nearest(word string, known []string) string {
	if len(word) > 100 {
		return ""
	}
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	best, bound := "", min(max(1, len(word)/3), 3)
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

// maxClosest is the greatest number of words that a Closest returns.
const maxClosest = 3

// A Closest collects the known texts that are nearest to a text: those that contain it, are
// contained in it, or differ in few characters. Case, spaces, hyphens and underscores don't
// count.
type Closest struct {
	text  string
	found []scored
}

type scored struct {
	text  string
	score int // 0 for equal texts
}

// NewClosest returns a Closest for a text.
func NewClosest(text string) *Closest { return &Closest{text: plainText(text)} }

var plainText = strings.NewReplacer("-", "", "_", "", " ", "").Replace

// Add takes a known text into account.
func (c *Closest) Add(known string) {
	text, other := strings.ToLower(c.text), strings.ToLower(plainText(known))
	score := 1
	switch {
	case len(text) == 0 || len(text) > 100 || len(other) > 100:
		return
	case text == other:
		score = 0
	case len(text) > 2 && strings.Contains(other, text), len(other) > 3 && strings.Contains(text, other):
	default:
		if score = 1 + distance(text, other); score > 1+min(max(1, len(text)/3), 3) {
			return
		}
	}
	if slices.ContainsFunc(c.found, func(s scored) bool { return s.text == known }) {
		return
	}
	c.found = append(c.found, scored{known, score})
	slices.SortStableFunc(c.found, func(a, b scored) int { return a.score - b.score })
	c.found = c.found[:min(len(c.found), maxClosest)]
}

// Words returns the nearest texts, quoted, the nearest first.
func (c *Closest) Words() (words []string) {
	for _, s := range c.found {
		words = append(words, Quoted(s.text))
	}
	return words
}

// distance returns the optimal string alignment distance of a and b: the number of
// characters to insert, delete, replace or swap with a neighbor.
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

// Suggestion returns "did you mean …?" if word is near a known word, and otherwise
// "use …" with all known words.
func Suggestion(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return "did you mean " + near + "?"
	}
	switch n := len(known); n {
	case 0:
		return "there is none"
	case 1:
		return "use " + known[0]
	default:
		return "use " + strings.Join(known[:n-1], ", ") + " or " + known[n-1]
	}
}
