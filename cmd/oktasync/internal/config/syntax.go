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

// syntaxWords explains the errors of libyaml.
var syntaxWords = map[string]string{
	"did not find expected key":                      "the indentation doesn't match the lines above",
	"did not find expected '-' indicator":            "the indentation doesn't match the lines above",
	"mapping values are not allowed in this context": "a key is not allowed here; quote a value that contains \": \", and align the keys of a block",
	"could not find expected ':'":                    "\":\" is missing after a key",
	"found unexpected end of stream":                 "the closing quote is missing",
	"did not find expected ',' or ']'":               "a closing bracket or a comma is missing",
	"did not find expected ',' or '}'":               "a closing brace or a comma is missing",
	"did not find expected node content":             "a value is missing, or begins with a special character; quote it",
	"control characters are not allowed":             "contains a control character",
}

// syntaxProblem returns the position and the text of an error of yaml.v3. The error
// itself names the line above, the line where the block begins, or none.
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
		text = "the line is indented with a tab; use spaces"
	case needsQuotes.MatchString(line):
		text = "quote a value that begins with " + needsQuotes.FindStringSubmatch(line)[1]
	case strings.Contains(line, "${") && strings.ContainsAny(strings.ReplaceAll(line, "${", ""), "[{"):
		text = "quote a value with ${...} within brackets or braces"
	case known:
		text = words
	default:
		text = "not YAML: " + text
	}
	return at, text
}

// longestYAML returns the number of lines before the error: the most lines that are
// valid YAML by themselves.
func longestYAML(lines [][]byte) int {
	for n := len(lines); n > 0; n-- {
		var doc yaml.Node
		if yaml.Unmarshal(bytes.Join(lines[:n], nil), &doc) == nil {
			return n
		}
	}
	return 0
}
