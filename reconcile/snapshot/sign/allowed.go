package sign

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// MaxAllowedSigners is the maximum size of an allowed_signers file.
const MaxAllowedSigners = 1 << 20

// AllowedSigners is the content of an allowed_signers file (ssh-keygen(1),
// ALLOWED SIGNERS). It is immutable. The file must not come from the store,
// because a person who can write to the store could add a key.
type AllowedSigners struct{ lines []allowedSigner }

type allowedSigner struct {
	principals    string // patterns
	key           []byte // in SSH wire format
	authority     bool   // the key certifies other keys
	namespaces    string // patterns; "": all
	after, before int64  // in seconds since 1970, both inclusive; 0: unbounded
}

// ParseAllowedSigners parses the content of an allowed_signers file. It reads
// every line as ssh-keygen does. It returns an error where ssh-keygen ignores
// the line or accepts an ambiguous one: a duplicate or empty option, an empty
// pattern, a negated principal, a quote or control character in the wrong place,
// a date that does not exist.
func ParseAllowedSigners(data []byte) (*AllowedSigners, error) {
	if len(data) > MaxAllowedSigners {
		return nil, fmt.Errorf("it is larger than %d bytes", MaxAllowedSigners)
	}
	a := new(AllowedSigners)
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.Trim(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		signer, err := parseAllowedSigner(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if !signer.authority { // certificates are not supported
			a.lines = append(a.lines, signer)
		}
	}
	if len(a.lines) == 0 {
		return nil, errors.New("it names no key")
	}
	return a, nil
}

// parseAllowedSigner parses PRINCIPALS [OPTIONS] KEYTYPE KEY [COMMENT].
func parseAllowedSigner(line string) (s allowedSigner, err error) {
	if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return s, errors.New("it contains a control character")
	}
	var rest string
	if s.principals, rest, err = cutPrincipals(line); err != nil {
		return s, err
	}
	if err := checkPatterns(s.principals); err != nil {
		return s, fmt.Errorf("principals: %w", err)
	}
	if strings.Contains(","+s.principals, ",!") {
		return s, errors.New("principals: a negated pattern is not supported")
	}
	rest = strings.TrimLeft(rest, " \t")
	if !startsWithKeyType(rest) {
		if rest, err = s.parseOptions(rest); err != nil {
			return s, err
		}
	}
	s.key, err = parseKey(rest)
	return s, err
}

// startsWithKeyType reports whether text begins with the name of a key type. No
// option begins like one.
func startsWithKeyType(text string) bool {
	return strings.HasPrefix(text, "ssh-") || strings.HasPrefix(text, "ecdsa-") || strings.HasPrefix(text, "sk-")
}

var errNoKey = errors.New("there is no key after the principals")

// cutPrincipals cuts the first field, which can be in quotes.
func cutPrincipals(line string) (principals, rest string, err error) {
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		if principals, rest, ok = strings.Cut(quoted, `"`); !ok {
			return "", "", errors.New("a quote is not closed")
		}
		if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
			return "", "", errors.New("there is no space after the quoted principals")
		}
		return principals, rest, nil
	}
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		return "", "", errNoKey
	}
	if strings.Contains(line[:end], `"`) {
		return "", "", errors.New("principals: a quote is not at the start")
	}
	return line[:end], line[end:], nil
}

// parseKey parses KEYTYPE KEY [COMMENT] and returns the key in wire format.
func parseKey(text string) ([]byte, error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(fields) < 2 {
		return nil, errNoKey
	}
	wire, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil {
		return nil, errNoKey
	}
	key, err := ssh.ParsePublicKey(wire)
	if err != nil || key.Type() != fields[0] {
		return nil, errNoKey
	}
	return key.Marshal(), nil
}

// parseOptions parses a list of options into s and returns the text after it.
func (s *allowedSigner) parseOptions(text string) (rest string, err error) {
	var seen []string
	for {
		end := strings.IndexAny(text, "=, \t")
		if end < 0 {
			return "", errNoKey
		}
		name := strings.ToLower(text[:end])
		text = text[end:]
		if slices.Contains(seen, name) {
			return "", fmt.Errorf("option %s is given twice", name)
		}
		seen = append(seen, name)
		var value string
		quoted := text[0] == '='
		if quoted {
			if value, text, err = unquote(text[1:]); err != nil {
				return "", fmt.Errorf("option %q: %w", name, err)
			}
		}
		if err := s.setOption(name, value, quoted); err != nil {
			return "", err
		}
		switch {
		case text == "":
			return "", errNoKey
		case text[0] == ',':
			text = text[1:]
		case text[0] == ' ' || text[0] == '\t':
			if s.after != 0 && s.before != 0 && s.before <= s.after {
				return "", errors.New("valid-before is not later than valid-after")
			}
			return text, nil
		default:
			return "", fmt.Errorf("option %s: there is no comma after the value", name)
		}
	}
}

func (s *allowedSigner) setOption(name, value string, hasValue bool) (err error) {
	switch {
	case name == "cert-authority" && !hasValue:
		s.authority = true
	case name == "namespaces" && hasValue:
		s.namespaces, err = value, checkPatterns(value)
	case name == "valid-after" && hasValue:
		s.after, err = parseSignerTime(value, time.Local)
	case name == "valid-before" && hasValue:
		s.before, err = parseSignerTime(value, time.Local)
	default:
		return fmt.Errorf("unknown option %.40q", name)
	}
	if err != nil {
		return fmt.Errorf("option %s: %w", name, err)
	}
	return nil
}

// unquote parses a quoted value, in which \" is a quote, and returns the text
// after it.
func unquote(text string) (value, rest string, err error) {
	text, ok := strings.CutPrefix(text, `"`)
	if !ok {
		return "", "", errors.New("the value is not in quotes")
	}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return strings.ReplaceAll(text[:i], `\"`, `"`), text[i+1:], nil
		case strings.HasPrefix(text[i:], `\"`):
			i++
		}
	}
	return "", "", errors.New("a quote is not closed")
}

// parseSignerTime parses YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS and returns
// seconds since 1970. The time is UTC if Z or UTC follows. Otherwise it is in
// zone. As in ssh-keygen, it is then standard time, also in summer.
func parseSignerTime(text string, zone *time.Location) (int64, error) {
	upper := strings.ToUpper(text)
	digits, utc := strings.CutSuffix(upper, "Z")
	if !utc {
		digits, utc = strings.CutSuffix(upper, "UTC")
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		t, err := time.Parse(layout, digits)
		if err != nil || len(digits) != len(layout) {
			continue
		}
		seconds := t.Unix()
		if !utc {
			seconds -= standardOffset(time.Unix(seconds, 0).In(zone))
		}
		if seconds > 0 {
			return seconds, nil
		}
	}
	return 0, fmt.Errorf("%q is not a time; examples: 20261123Z, 202611230600Z", text)
}

// standardOffset returns the standard offset of t's zone, in seconds east of
// UTC, as it is around t.
func standardOffset(t time.Time) int64 {
	near := t
	for days := 1; near.IsDST() && days < 365; days++ {
		if near = t.AddDate(0, 0, -days); near.IsDST() {
			near = t.AddDate(0, 0, days)
		}
	}
	_, offset := near.Zone()
	return int64(offset)
}

// Check returns the principal that key belongs to, if its signatures in
// namespace are accepted at the time at. If there are principals, only lines for one
// of them count, as with ssh-keygen -I, and Check returns this one. Otherwise, it
// returns the patterns of the line.
func (a *AllowedSigners) Check(key ssh.PublicKey, namespace string, at time.Time, principals ...string) (principal string, err error) {
	wire, now := key.Marshal(), at.Unix()
	err = errors.New("is by a key that is not among the allowed signers")
	for _, s := range a.lines {
		if !bytes.Equal(s.key, wire) {
			continue
		}
		principal := s.principals
		if len(principals) > 0 {
			i := slices.IndexFunc(principals, func(p string) bool { return matchList(s.principals, p) })
			if i < 0 {
				err = fmt.Errorf("is by a key of %s, and only %s is accepted", s.principals, strings.Join(principals, ", "))
				continue
			}
			principal = principals[i]
		}
		switch {
		case s.namespaces != "" && !matchList(s.namespaces, namespace):
			err = fmt.Errorf("is by a key of %s that is not allowed for %s", principal, namespace)
		case now < s.after:
			err = fmt.Errorf("is by a key of %s that was not valid yet", principal)
		case s.before != 0 && now > s.before:
			err = fmt.Errorf("is by a key of %s that was no longer valid", principal)
		default:
			return principal, nil
		}
	}
	return "", err
}

// Allows returns an error if signatures of snapshots that s makes at the time
// at are not accepted.
func (a *AllowedSigners) Allows(s *Signer, at time.Time) error {
	_, err := a.Check(s.Key(), Snapshot, at)
	return err
}

// maxPattern is the longest pattern that ssh-keygen compares.
const maxPattern = 1022

func checkPatterns(patterns string) error {
	for pattern := range strings.SplitSeq(patterns, ",") {
		pattern = strings.TrimPrefix(pattern, "!")
		if pattern == "" {
			return errors.New("a pattern is empty")
		}
		if len(pattern) > maxPattern {
			return fmt.Errorf("a pattern is longer than %d bytes", maxPattern)
		}
	}
	return nil
}

// matchList reports whether text matches a pattern-list (ssh_config(5),
// PATTERNS): at least one pattern, and no negated one.
func matchList(patterns, text string) bool {
	matched := false
	for pattern := range strings.SplitSeq(patterns, ",") {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if matchPattern(pattern, text) {
			if negated {
				return false
			}
			matched = true
		}
	}
	return matched
}

// matchPattern matches text against a pattern with * and ?.
func matchPattern(pattern, text string) bool {
	first, rest, ok := strings.Cut(pattern, "*")
	if !ok {
		return len(pattern) == len(text) && matchPrefix(pattern, text)
	}
	if !matchPrefix(first, text) {
		return false
	}
	text = text[len(first):]
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more { // the end of the text matches the end of the pattern
			return len(part) <= len(text) && matchPrefix(part, text[len(text)-len(part):])
		}
		for !matchPrefix(part, text) {
			if text == "" {
				return false
			}
			text = text[1:]
		}
		text, rest = text[len(part):], next
	}
}

// matchPrefix matches the start of text against a pattern with only ?.
func matchPrefix(pattern, text string) bool {
	if len(pattern) > len(text) {
		return false
	}
	for i := range len(pattern) {
		if pattern[i] != '?' && pattern[i] != text[i] {
			return false
		}
	}
	return true
}
