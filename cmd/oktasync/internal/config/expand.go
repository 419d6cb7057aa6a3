package config

import (
	"fmt"
	"regexp"
	"strings"

	"oktasync/cmd/oktasync/internal/term"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${NAME} and ${NAME:-default} by values of variables, and $${ by
// ${. As in a shell, the default also replaces an empty variable. text is one value
// of a parsed file, so a variable can't add keys. The result is not expanded again,
// so a variable can't refer to others.
func expand(text string, getenv func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(text)
			return b.String(), nil
		}
		if literal, ok := strings.CutSuffix(before, "$"); ok {
			b.WriteString(literal + "${")
			text = rest
			continue
		}
		b.WriteString(before)
		inner, rest, found := strings.Cut(rest, "}")
		if !found {
			return "", fmt.Errorf("\"${\" has no \"}\"; write \"$${\" for a literal \"${\"")
		}
		value, err := variable(inner, getenv)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		text = rest
	}
}

// variable returns the value of a variable; inner is the text between the braces.
func variable(inner string, getenv func(string) (string, bool)) (string, error) {
	name, fallback, hasFallback := strings.Cut(inner, ":-")
	switch {
	case !variableName.MatchString(name):
		return "", fmt.Errorf("%s is not a variable; write ${NAME} or ${NAME:-default}", term.Quoted("${"+inner+"}"))
	case strings.Contains(fallback, "${"):
		return "", fmt.Errorf("the default of ${%s} can't contain a variable", name)
	}
	value, ok := getenv(name)
	if hasFallback && value == "" {
		return fallback, nil
	}
	if !ok {
		return "", fmt.Errorf("the environment has no %s; set it, or write ${%s:-default}", name, name)
	}
	return value, nil
}
