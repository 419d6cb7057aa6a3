package config

import (
	"fmt"
	"regexp"
	"strings"

	"oktasync/cmd/oktasync/internal/term"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${NAME} and ${NAME:-default} by variables, and $${ by ${.
// As in a shell, the default also stands in for a variable that is empty. It
// works on one value of a parsed file, so that no variable can add keys, and
// looks at nothing twice, so that no variable can name others.
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
			return "", fmt.Errorf("\"${\" without its \"}\"; \"$${\" stands for a literal \"${\"")
		}
		value, err := variable(inner, getenv)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		text = rest
	}
}

func variable(inner string, getenv func(string) (string, bool)) (string, error) {
	name, fallback, hasFallback := strings.Cut(inner, ":-")
	switch {
	case !variableName.MatchString(name):
		return "", fmt.Errorf("%s is no variable; one is written ${NAME} or ${NAME:-default}", term.Quoted("${"+inner+"}"))
	case strings.Contains(fallback, "${"):
		return "", fmt.Errorf("the default of ${%s} can't hold a variable", name)
	}
	value, ok := getenv(name)
	if hasFallback && value == "" {
		return fallback, nil
	}
	if !ok {
		return "", fmt.Errorf("the environment has no %s; ${%s:-default} would give a default", name, name)
	}
	return value, nil
}
