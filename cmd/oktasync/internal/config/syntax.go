package config

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

var (
	yamlError   = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	needsQuotes = regexp.MustCompile("(?:^|[:-] +|[\\[,] *)([@`%*&])")
)

// syntaxWords says in people's words what libyaml's words mean.
var syntaxWords = map[string]string{
	"did not find expected key":                      "the indentation does not fit the lines above",
	"did not find expected '-' indicator":            "the indentation does not fit the lines above",
	"mapping values are not allowed in this context": "a key does not fit here; a value with \": \" in it goes in quotes, and the keys of a block stand in one column",
	"could not find expected ':'":                    "a key is not followed by \":\"",
	"found unexpected end of stream":                 "a quote is not closed",
	"did not find expected ',' or ']'":               "a bracket is not closed, or a comma is missing",
	"did not find expected ',' or '}'":               "a brace is not closed, or a comma is missing",
	"did not find expected node content":             "a value is missing or begins with a sign that has a meaning of its own",
	"control characters are not allowed":             "there is a control character",
}

// syntaxProblem says where and why data is no YAML, given yaml.v3's error. That
// names the line above or where the block begins, and none for the first, so
// the place is looked for here; the column is where the line's text begins.
func syntaxProblem(data []byte, err error) (Position, string) {
	at, text := Position{1, 1}, err.Error()
	if m := yamlError.FindStringSubmatch(text); m != nil {
		at.Line, _ = strconv.Atoi("0" + m[1])
		text = m[2]
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	if len(lines) <= 500 {
		at.Line = 1 + longestYAML(lines)
	}
	at.Line = max(1, min(at.Line, len(lines)))
	line := strings.TrimRight(string(lines[at.Line-1]), "\r\n")
	at.Column = 1 + len(line) - len(strings.TrimLeft(line, " \t"))
	switch words, known := syntaxWords[text]; {
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		text = "lines are indented with spaces; this one has a tab"
	case needsQuotes.MatchString(line):
		text = "a value that begins with " + needsQuotes.FindStringSubmatch(line)[1] + " goes in quotes"
	case strings.Contains(line, "${") && strings.ContainsAny(strings.ReplaceAll(line, "${", ""), "[{"):
		text = "between brackets or braces a value with ${...} goes in quotes"
	case known:
		text = words
	default:
		text = "this is no YAML: " + text
	}
	return at, text
}

// longestYAML returns how many lines can be taken before they are no YAML
// whatever follows: the one after them has the error, or begins what has.
func longestYAML(lines [][]byte) int {
	for n := len(lines); n > 0; n-- {
		var doc yaml.Node
		if yaml.Unmarshal(bytes.Join(lines[:n], nil), &doc) == nil {
			return n
		}
	}
	return 0
}
