package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// AllowedSigners says whose signatures count, and when: an allowed_signers
// file as ssh-keygen(1) describes it, with the options namespaces, valid-after
// and valid-before. A line with cert-authority vouches for nobody here. The
// file must not come from the store: whoever can change that could change it.
type AllowedSigners struct{ lines []allowedSigner }

type allowedSigner struct {
	principals    string
	key           []byte
	namespaces    string    // patterns; "": all
	after, before time.Time // zero: unbounded
}

// ParseAllowedSigners parses what is in an allowed_signers file.
func ParseAllowedSigners(data []byte) (*AllowedSigners, error) {
	a := new(AllowedSigners)
	n := 0
	for line := range bytes.Lines(data) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		signer, authority, err := parseAllowedSigner(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if !authority {
			a.lines = append(a.lines, signer)
		}
	}
	if len(a.lines) == 0 {
		return nil, errors.New("it names no key")
	}
	return a, nil
}

func parseAllowedSigner(line []byte) (s allowedSigner, authority bool, err error) {
	end := bytes.IndexAny(line, " \t")
	if line[0] == '"' {
		if end = bytes.IndexByte(line[1:], '"') + 2; end < 2 {
			return s, false, errors.New("a quote is not closed")
		}
	}
	if end < 0 {
		return s, false, errors.New("there is no key after the principals")
	}
	s.principals = strings.Trim(string(line[:end]), `"`)
	key, _, options, _, err := ssh.ParseAuthorizedKey(line[end:])
	if err != nil {
		return s, false, errors.New("there is no key after the principals")
	}
	s.key = key.Marshal()
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(name) {
		case "cert-authority":
			authority = true
		case "namespaces":
			s.namespaces = value
		case "valid-after":
			s.after, err = parseSignerTime(value)
		case "valid-before":
			s.before, err = parseSignerTime(value)
		default:
			err = fmt.Errorf("unknown option %q", name)
		}
		if err != nil {
			return s, false, err
		}
	}
	return s, authority, nil
}

// parseSignerTime reads a time as ssh-keygen(1) has it: YYYYMMDD or
// YYYYMMDDHHMM[SS], in this machine's zone unless a Z follows.
func parseSignerTime(text string) (time.Time, error) {
	digits, utc := strings.CutSuffix(text, "Z")
	zone := time.Local
	if utc {
		zone = time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if t, err := time.ParseInLocation(layout, digits, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time; one looks like 20261123Z or 202611230600Z", text)
}

// Allow returns the principals whose key this is, or why it does not count for
// what was signed at the time at.
func (a *AllowedSigners) Allow(key ssh.PublicKey, at time.Time) (principals string, err error) {
	wire := key.Marshal()
	err = errors.New("is by a key that is not among the allowed signers")
	for _, s := range a.lines {
		switch {
		case !bytes.Equal(s.key, wire):
		case s.namespaces != "" && !matchList(s.namespaces, SignNamespace):
			err = fmt.Errorf("is by a key of %s that is not allowed for %s", s.principals, SignNamespace)
		case at.Before(s.after):
			err = fmt.Errorf("is by a key of %s that was not valid yet", s.principals)
		case !s.before.IsZero() && at.After(s.before):
			err = fmt.Errorf("is by a key of %s that was no longer valid", s.principals)
		default:
			return s.principals, nil
		}
	}
	return "", err
}

// Allows says why signatures that s makes at the time at would not count, nil
// where they would.
func (a *AllowedSigners) Allows(s *Signer, at time.Time) error {
	_, err := a.Allow(s.key.PublicKey(), at)
	return err
}

// matchList matches text against patterns as ssh_config(5) has them: separated
// by commas, with * and ?, and ! before those that must not match.
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

func matchPattern(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	if pattern[0] == '*' {
		for pattern = strings.TrimLeft(pattern, "*"); ; text = text[1:] {
			if matchPattern(pattern, text) {
				return true
			}
			if text == "" {
				return false
			}
		}
	}
	return text != "" && (pattern[0] == '?' || pattern[0] == text[0]) && matchPattern(pattern[1:], text[1:])
}
