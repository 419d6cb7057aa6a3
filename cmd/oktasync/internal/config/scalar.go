package config

import (
	"encoding"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"oktasync/cmd/oktasync/internal/term"
)

// errMismatch is the error for a value of the wrong type.
var errMismatch = errors.New("mismatch")

// scalar decodes a value that is neither a list nor a mapping.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.ScalarNode {
		d.failValue(n, field, "expected %s, found %s", expected(v), described(n))
		return
	}
	text := n.Value
	quoted := n.Tag == "!!str" // or plain text
	if quoted && d.getenv != nil && strings.Contains(text, "${") {
		expanded, err := expand(text, d.getenv)
		if err != nil {
			d.failValue(n, field, "%v", err)
			return
		}
		text, quoted = expanded, false // a variable can be a number
	}
	switch err := setScalar(v, text, n.Tag, quoted); {
	case errors.Is(err, errMismatch):
		hint := ""
		if v.Kind() == reflect.String {
			hint = "; put it in quotes"
		}
		d.failValue(n, field, "expected %s, found %s%s", expected(v), described(n), hint)
	case err != nil:
		d.failValue(n, field, "%v", err)
	}
}

// setScalar sets v to the value of text. Numbers and booleans must not be quoted, and
// text that YAML reads as one of them must be.
func setScalar(v reflect.Value, text, tag string, quoted bool) error {
	var err error
	switch u, _ := v.Addr().Interface().(encoding.TextUnmarshaler); {
	case u != nil:
		return u.UnmarshalText([]byte(text))
	case v.Kind() == reflect.String:
		if tag != "!!str" && tag != "!!timestamp" {
			return errMismatch
		}
		v.SetString(text)
		return nil
	case v.Type() == reflect.TypeFor[time.Duration]():
		var d time.Duration
		d, err = time.ParseDuration(text)
		v.SetInt(int64(d))
		quoted = false
	case v.Kind() == reflect.Int:
		var i int
		i, err = strconv.Atoi(text)
		v.SetInt(int64(i))
	case v.Kind() == reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(text, 64)
		v.SetFloat(x)
	case text == "true" || text == "false":
		v.SetBool(text == "true")
	default:
		err = errMismatch
	}
	if err != nil || quoted {
		return errMismatch
	}
	return nil
}

// isText reports whether v parses its own text.
func isText(v reflect.Value) bool {
	_, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return ok
}

// expected describes the values of a field, for people.
func expected(v reflect.Value) string {
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		return "a duration with its unit, such as 30s, 15m or 2h"
	case v.Type() == reflect.TypeFor[Secret]():
		return "text"
	case isText(v):
		return "a percentage like 1% or a count like 25"
	}
	switch v.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	}
	return "text"
}

// described describes a value in the file, for people.
func described(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Tag == "!!bool" || n.Tag == "!!float" && !strings.ContainsAny(n.Value, "0123456789"): // .nan
		return term.Word(n.Value)
	case n.Tag == "!!int" || n.Tag == "!!float":
		return "the number " + term.Word(n.Value)
	}
	return "the text " + term.Quoted(n.Value)
}

// empty returns a hint about how to write an empty value.
func empty(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Slice:
		return ", or write [] for none"
	case reflect.String:
		return `, or write "" for none`
	}
	return ""
}
