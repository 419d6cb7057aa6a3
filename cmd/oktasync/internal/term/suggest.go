package term

import "strings"

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

// Suggestion returns "did you mean …?" if word is near a known word, and
// otherwise "there are …" with all known words.
func Suggestion(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return "did you mean " + near + "?"
	}
	switch n := len(known); n {
	case 0:
		return "there is none"
	case 1:
		return "there is " + known[0]
	default:
		return "there are " + strings.Join(known[:n-1], ", ") + " and " + known[n-1]
	}
}
