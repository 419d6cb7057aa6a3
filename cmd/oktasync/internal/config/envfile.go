package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Environment contains the variables of the process, and of a file of NAME=value
// lines. The process has priority.
type Environment struct {
	getenv func(string) (string, bool)
	File   string // "" if there is none
	values map[string]string
}

// NewEnvironment reads the environment file of opts, if there is one.
func NewEnvironment(opts Options) (*Environment, error) {
	e := &Environment{getenv: opts.Getenv, File: opts.EnvFile}
	if e.File == "" {
		return e, nil
	}
	data, err := ReadArgument(e.File, MaxFile)
	if err != nil {
		return nil, fmt.Errorf("read environment file: %w", err)
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, fmt.Errorf("%s is not text; if it is UTF-16, save it as UTF-8", e.File)
	}
	e.values, err = parseEnv(e.File, data)
	return e, err
}

// Lookup returns the value of a variable, and whether it is set.
func (e *Environment) Lookup(name string) (string, bool) {
	if value, ok := e.getenv(name); ok {
		return value, true
	}
	value, ok := e.values[name]
	return value, ok
}

// Resolve returns path, which is the value of a variable. If the value comes from the
// environment file, Resolve makes path relative to the folder of that file.
func (e *Environment) Resolve(name, path string) string {
	if _, ok := e.getenv(name); ok {
		return path
	}
	return resolve(baseDir(e.File), path)
}

// parseEnv parses a dotenv file: lines of NAME=value with comments, with or without
// `export`. A value is plain, in single quotes, or in double quotes with escapes
// such as \n and \". Variables in a value are not expanded. The error contains the
// file and line of each problem, but no value, because such files contain secrets.
func parseEnv(file string, data []byte) (map[string]string, error) {
	values, lines := make(map[string]string), make(map[string]int)
	var errs []error
	wrong := func(line int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s:%d: %s", file, line, fmt.Sprintf(format, args...)))
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if rest, ok := strings.CutPrefix(name, "export "); ok {
			name = rest
		}
		name = strings.TrimSpace(name)
		switch {
		case !found:
			wrong(i+1, "is not NAME=value")
			continue
		case !variableName.MatchString(name):
			wrong(i+1, "the name before \"=\" may contain only letters, digits and _")
			continue
		case lines[name] > 0:
			wrong(i+1, "%s is a duplicate of line %d", name, lines[name])
			continue
		}
		value, err := envValue(strings.TrimSpace(value))
		if err != nil {
			wrong(i+1, "%s: %v", name, err)
		}
		values[name], lines[name] = value, i+1
	}
	return values, errors.Join(errs...)
}

// envValue parses the value of a line, and removes its comment.
func envValue(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", errors.New("the value is not UTF-8")
	}
	if text == "" || text[0] != '\'' && text[0] != '"' {
		text = " " + text // a # at the beginning is a comment too
		for _, comment := range []string{" #", "\t#"} {
			text, _, _ = strings.Cut(text, comment)
		}
		return strings.TrimSpace(text), nil
	}
	quote, value, rest, closed := text[0], strings.Builder{}, text[1:], false
	for i := 0; i < len(rest) && !closed; i++ {
		switch c := rest[i]; {
		case c == quote:
			rest, closed = rest[i+1:], true
		case c == '\\' && quote == '"' && i+1 < len(rest):
			i++
			value.WriteString(unescaped(rest[i]))
		default:
			value.WriteByte(c)
		}
	}
	rest = strings.TrimSpace(rest)
	switch {
	case !closed:
		return "", errors.New("the closing quote is missing")
	case rest != "" && rest[0] != '#':
		return "", errors.New("there is text after the closing quote")
	}
	return value.String(), nil
}

// unescaped returns the meaning of \c in double quotes.
func unescaped(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 'r':
		return "\r"
	case 't':
		return "\t"
	case '"', '\\', '$', '\'':
		return string(c)
	}
	return "\\" + string(rune(c))
}
