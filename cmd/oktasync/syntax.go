package main

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

var (
	yamlLine      = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	needsQuotes   = regexp.MustCompile("(?:^|[:-] +|[\\[,] *)([@`%*&])")
)

// syntaxProblem says where a file is no YAML and why, from yaml.v3's error. That
// gives a line, none for the first; the column is where the line's text begins.
func syntaxProblem(data []byte, err error) (position, string) {
	at := position{1, 1}
	text := err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			at.line = n
		}
	}
	lines := bytes.Split(data, []byte("\n"))
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		before, _, _ := bytes.Cut(data, []byte("*"+m[1]))
		at.line = 1 + bytes.Count(before, []byte("\n"))
	}
	at.line = min(at.line, len(lines))
	line := string(lines[at.line-1])
	at.column = 1 + len(line) - len(strings.TrimLeft(line, " \t"))
	switch {
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		text = "lines are indented with spaces; this one has a tab"
	case needsQuotes.MatchString(line):
		sign := needsQuotes.FindStringSubmatch(line)[1]
		text = "a value that begins with " + sign + " goes in quotes"
	case strings.Contains(line, "${") && strings.ContainsAny(strings.ReplaceAll(line, "${", ""), "[{"):
		text = "between brackets, a ${…} goes in quotes"
	default:
		text = "this is no YAML: " + text
	}
	return at, text
}
