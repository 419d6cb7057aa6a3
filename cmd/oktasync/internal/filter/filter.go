// Package filter selects records by an expression in Okta's filter language, which is
// that of SCIM (RFC 7644, section 3.4.2.2), such as
//
//	status eq "ACTIVE" and (lastLogin lt now-90d or not (profile.manager pr))
//
// Package listing uses it. Start reading at [Parse]. filter.go has the parser; match.go
// compares records with a parsed expression.
package filter

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of an expression. They also bound the time that a record takes.
const (
	MaxLength = 10_000 // bytes
	MaxDepth  = 100    // nested parentheses
)

// A SyntaxError is an error in an expression.
type SyntaxError struct {
	Column  int // in characters, from 1
	Problem string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Problem) }

// A Filter is an expression. It is safe for concurrent use.
type Filter struct {
	root  node
	paths []string
}

// Paths returns the attributes in the expression, each once.
func (f *Filter) Paths() []string { return slices.Clone(f.paths) }

// Match reports whether a record in canonical form matches. A record that isn't
// canonical can match or not.
func (f *Filter) Match(record []byte) bool { return f.root.match(record) }

// operators are the operators of a comparison, in the order of Okta's documentation.
var operators = []string{"eq", "ne", "gt", "ge", "lt", "le", "co", "sw", "pr"}

// Parse parses an expression. now is the value of the word now, as in now-90d. An error is
// a *SyntaxError.
func Parse(text string, now time.Time) (*Filter, error) {
	p := &parser{text: text, now: now}
	switch {
	case len(text) > MaxLength:
		return nil, p.fail("the filter has %d bytes; at most %d are possible", len(text), MaxLength)
	case !utf8.ValidString(text):
		return nil, p.fail("the filter isn't valid UTF-8")
	}
	root, err := p.or()
	if err == nil && p.pos < len(text) {
		err = p.fail("expected and, or, or the end of the filter")
	}
	if err != nil {
		return nil, err
	}
	return &Filter{root, p.paths}, nil
}

// A parser reads text from pos on.
type parser struct {
	text  string
	pos   int
	depth int
	now   time.Time
	paths []string
}

func (p *parser) fail(problem string, args ...any) error {
	return &SyntaxError{utf8.RuneCountInString(p.text[:p.pos]) + 1, fmt.Sprintf(problem, args...)}
}

// or parses terms that are joined by or.
func (p *parser) or() (node, error) {
	terms, err := p.joined("or", p.and)
	if len(terms) == 1 {
		return terms[0], err
	}
	return or(terms), err
}

// and parses terms that are joined by and.
func (p *parser) and() (node, error) {
	terms, err := p.joined("and", p.term)
	if len(terms) == 1 {
		return terms[0], err
	}
	return and(terms), err
}

func (p *parser) joined(operator string, parse func() (node, error)) (terms []node, err error) {
	for {
		term, err := parse()
		if err != nil {
			return nil, err
		}
		terms = append(terms, term)
		if !strings.EqualFold(p.peek(), operator) {
			return terms, nil
		}
		p.word()
	}
}

// term parses a comparison, or an expression in parentheses after not or alone.
func (p *parser) term() (node, error) {
	p.space()
	before := p.pos
	if strings.EqualFold(p.word(), "not") && p.opens() {
		inner, err := p.parentheses()
		return not{inner}, err
	}
	p.pos = before
	if p.opens() {
		return p.parentheses()
	}
	return p.comparison()
}

// opens reports whether an opening parenthesis follows.
func (p *parser) opens() bool {
	p.space()
	return strings.HasPrefix(p.text[p.pos:], "(")
}

func (p *parser) parentheses() (node, error) {
	if p.depth == MaxDepth {
		return nil, p.fail("more than %d nested parentheses", MaxDepth)
	}
	open := p.pos
	p.depth++
	p.pos++
	inner, err := p.or()
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(p.text[p.pos:], ")") {
		if p.pos < len(p.text) {
			return nil, p.fail("expected and, or, or a closing parenthesis")
		}
		p.pos = open
		return nil, p.fail("the parenthesis isn't closed")
	}
	p.depth--
	p.pos++
	p.space()
	return inner, nil
}

var pathSyntax = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_-]*(\.[A-Za-z_$][A-Za-z0-9_-]*)*$`)

func (p *parser) comparison() (node, error) {
	begin := p.pos
	c := comparison{path: p.word()}
	if !pathSyntax.MatchString(c.path) {
		p.pos = begin
		return nil, p.fail("expected an attribute, such as profile.department")
	}
	begin = p.pos
	c.operator = strings.ToLower(p.word())
	if !slices.Contains(operators, c.operator) {
		p.pos = begin
		return nil, p.fail("expected an operator: %s", strings.Join(operators, ", "))
	}
	if !slices.Contains(p.paths, c.path) {
		p.paths = append(p.paths, c.path)
	}
	if c.operator == "pr" {
		return c, nil
	}
	begin = p.pos
	var err error
	if c.value, err = p.value(); err != nil {
		return nil, err
	}
	if problem := c.value.problem(c.operator); problem != "" {
		p.pos = begin
		return nil, p.fail("%s", problem)
	}
	return c, nil
}

var (
	numberSyntax   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	relativeSyntax = regexp.MustCompile(`^now(?:([+-][0-9]{1,6})([hdw]))?$`)
)

// units are the units of relative times.
var units = map[string]time.Duration{"h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}

// value parses the value of a comparison.
func (p *parser) value() (value, error) {
	begin := p.pos
	if strings.HasPrefix(p.text[p.pos:], `"`) {
		return p.string()
	}
	word := strings.ToLower(p.word())
	if m := relativeSyntax.FindStringSubmatch(word); m != nil {
		n, _ := strconv.Atoi(m[1]) // "": 0
		return value{kind: timeValue, time: p.now.Add(time.Duration(n) * units[m[2]])}, nil
	}
	switch {
	case word == "true" || word == "false":
		return value{kind: boolValue, text: word}, nil
	case word == "null":
		return value{kind: nullValue}, nil
	case numberSyntax.MatchString(word):
		number, err := strconv.ParseFloat(word, 64)
		if err == nil {
			return value{kind: numberValue, text: word, number: number}, nil
		}
	}
	p.pos = begin
	return value{}, p.fail(`expected a value: a text or a time in double quotes, a number, true, false, null, or a time such as now-90d`)
}

// string parses a JSON string.
func (p *parser) string() (value, error) {
	begin := p.pos
	for p.pos++; p.pos < len(p.text) && p.text[p.pos] != '"'; p.pos++ {
		if p.text[p.pos] == '\\' {
			p.pos++
		}
	}
	if p.pos >= len(p.text) {
		p.pos = begin
		return value{}, p.fail("the text has no closing quote")
	}
	p.pos++
	var text string
	if json.Unmarshal([]byte(p.text[begin:p.pos]), &text) != nil {
		p.pos = begin
		return value{}, p.fail("the text isn't a valid JSON string")
	}
	p.space()
	return newText(text), nil
}

// word moves behind the word at pos and the spaces after it.
func (p *parser) word() string {
	word := p.peek()
	p.pos += len(word)
	p.space()
	return word
}

// peek returns the word at pos, which ends before a space, a quote or a parenthesis.
func (p *parser) peek() string {
	rest := p.text[p.pos:]
	if end := strings.IndexAny(rest, " \t\r\n\"()"); end >= 0 {
		return rest[:end]
	}
	return rest
}

func (p *parser) space() {
	p.pos = len(p.text) - len(strings.TrimLeft(p.text[p.pos:], " \t\r\n"))
}
