package sandbox

import (
	"cmp"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Okta has two similar languages ("Okta API: filter" and "search", "User query
// options"). filter accepts few attributes, eq, and comparisons of dates. Its values
// are case-sensitive. search accepts nearly all attributes, and also sw, co and pr.
// Its values are case-insensitive. Both accept and, or and parentheses, but not the
// operator not. Any other expression is E0000031.

// predicate reports whether an object matches an expression.
type predicate func(*object) bool

// condition is a parsed expression. No object whose lastUpdated is outside of the
// span matches.
type condition struct {
	matches predicate
	span    span
}

// language is the syntax of an expression.
type language struct {
	resource          *resource
	search            bool            // case-insensitive operators and values
	profileAttributes map[string]bool // names of profile attributes
}

// syntaxError is the cause of an E0000031.
type syntaxError string

func (e syntaxError) Error() string { return string(e) }

const (
	errSyntax = syntaxError("Invalid search syntax.")
	errQuery  = syntaxError("Invalid search query.")
)

func (l language) compile(expression string) (c condition, err error) {
	tokens, err := lex(expression)
	if err != nil {
		return c, err
	}
	p := parser{language: l, tokens: tokens}
	if l.resource.oneComparison {
		c, err = p.parseTerm(maxDepth)
	} else {
		c, err = p.parseOr(0)
	}
	if err == nil && len(p.tokens) > 0 {
		err = errSyntax
	}
	return c, err
}

// lex splits an expression into parentheses, quoted strings and words.
func lex(s string) (tokens []string, err error) {
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		end := 1
		switch {
		case s[0] == '(' || s[0] == ')':
		case s[0] == '"':
			for end < len(s) && s[end] != '"' {
				if s[end] == '\\' {
					end++
				}
				end++
			}
			if end++; end > len(s) || !json.Valid([]byte(s[:end])) {
				return nil, errSyntax
			}
		default:
			if end = strings.IndexAny(s, ` ()"`); end < 0 {
				end = len(s)
			}
		}
		tokens = append(tokens, s[:end])
		s = s[end:]
	}
	return tokens, nil
}

type parser struct {
	language
	tokens []string
}

func (p *parser) next() string {
	if len(p.tokens) == 0 {
		return ""
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

// accept consumes the next token if it is the operator.
func (p *parser) accept(operator string) bool {
	if len(p.tokens) > 0 && p.operator(p.tokens[0]) == operator {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

func (p *parser) operator(token string) string {
	if p.search {
		return strings.ToLower(token)
	}
	return token
}

const maxDepth = 32 // of parentheses

func (p *parser) parseOr(depth int) (condition, error) {
	left, err := p.parseAnd(depth)
	for err == nil && p.accept("or") {
		var right condition
		a := left.matches
		right, err = p.parseAnd(depth)
		left = condition{func(obj *object) bool { return a(obj) || right.matches(obj) }, left.span.or(right.span)}
	}
	return left, err
}

func (p *parser) parseAnd(depth int) (condition, error) {
	left, err := p.parseTerm(depth)
	for err == nil && p.accept("and") {
		var right condition
		a := left.matches
		right, err = p.parseTerm(depth)
		left = condition{func(obj *object) bool { return a(obj) && right.matches(obj) }, left.span.and(right.span)}
	}
	return left, err
}

func (p *parser) parseTerm(depth int) (c condition, err error) {
	first := p.next()
	if first == "(" && depth < maxDepth {
		inner, err := p.parseOr(depth + 1)
		if err == nil && p.next() != ")" {
			err = errSyntax
		}
		return inner, err
	}
	if first == "" || strings.ContainsAny(first, `()"`) {
		return c, errSyntax
	}
	op := p.operator(p.next())
	if op == "pr" && p.search {
		if !p.allows(first, "pr") {
			return c, errQuery
		}
		return condition{func(obj *object) bool { return obj.present(first) }, always}, nil
	}
	if orderings[op] == nil && op != "sw" && op != "co" {
		return c, errSyntax
	}
	c.span = always
	c.matches, err = p.comparison(first, op, p.next(), &c.span)
	return c, err
}

// allows reports whether the language has the attribute, and the operator for it.
func (l language) allows(attr, op string) bool {
	date := slices.Contains(dateAttributes, attr)
	ordering := op == "gt" || op == "ge" || op == "lt" || op == "le"
	if !l.search {
		return slices.Contains(l.resource.filter, attr) && (op == "eq" || ordering && date)
	}
	profile, inProfile := strings.CutPrefix(attr, "profile.")
	switch {
	case inProfile && !l.profileAttributes[profile], !inProfile && !slices.Contains(l.resource.search, attr):
		return false
	case op == "co":
		return slices.Contains(l.resource.contains, attr)
	case op == "sw":
		return !date
	}
	return true
}

// comparison compiles attr op value, and narrows the span if it can.
func (p *parser) comparison(attr, op, value string, span *span) (predicate, error) {
	if !p.allows(attr, op) {
		return nil, errQuery
	}
	accepts := orderings[op]
	switch {
	case value == "":
		return nil, errSyntax
	case slices.Contains(dateAttributes, attr):
		t, err := time.Parse(`"`+timeLayout+`"`, value)
		if err != nil {
			return nil, errQuery
		}
		want := t.UnixMilli()
		if attr == "lastUpdated" {
			*span = spanOf(op, want)
		}
		return func(obj *object) bool {
			at := obj.date(attr)
			return at != 0 && accepts(cmp.Compare(at, want))
		}, nil
	case value[0] == '"':
		return p.textual(attr, op, unquote([]byte(value)), accepts), nil
	case !p.search:
		return nil, errSyntax // in a filter every value is a string
	case value == "true" || value == "false":
		if op != "eq" {
			return nil, errQuery
		}
		return anyElement(attr, func(v []byte) bool { return string(v) == value }), nil
	}
	number, _, err := big.ParseFloat(value, 10, 128, big.ToNearestEven)
	if err != nil || op == "sw" || op == "co" || !json.Valid([]byte(value)) {
		return nil, errSyntax
	}
	return anyElement(attr, func(v []byte) bool {
		n, _, err := big.ParseFloat(string(v), 10, 128, big.ToNearestEven)
		return err == nil && accepts(n.Cmp(number))
	}), nil
}

// textual compiles a comparison with a string.
func (p *parser) textual(attr, op, want string, accepts func(int) bool) predicate {
	fold := func(s string) string { return s }
	if p.search {
		fold = strings.ToLower
	}
	want = fold(want)
	if attr == "status" {
		return func(obj *object) bool { return textMatches(op, fold(obj.status), want, accepts) }
	}
	if attr == "id" {
		return func(obj *object) bool { return textMatches(op, fold(obj.id()), want, accepts) }
	}
	return anyElement(attr, func(v []byte) bool {
		return v[0] == '"' && textMatches(op, fold(unquote(v)), want, accepts)
	})
}

func textMatches(op, have, want string, accepts func(int) bool) bool {
	switch op {
	case "sw":
		return strings.HasPrefix(have, want)
	case "co":
		return strings.Contains(have, want)
	}
	return accepts(strings.Compare(have, want))
}

// anyElement returns the predicate that an element of the attribute's array, or
// its single value, matches.
func anyElement(attr string, matches func(value []byte) bool) predicate {
	return func(obj *object) bool {
		value := get(obj.text(), attr)
		if value == nil {
			return false
		}
		for v := range elements(value) {
			if matches(v) {
				return true
			}
		}
		return false
	}
}

// orderings are the results of a three-way comparison that each operator accepts.
var orderings = map[string]func(int) bool{
	"eq": func(c int) bool { return c == 0 },
	"gt": func(c int) bool { return c > 0 },
	"ge": func(c int) bool { return c >= 0 },
	"lt": func(c int) bool { return c < 0 },
	"le": func(c int) bool { return c <= 0 },
}
