package sandbox

import (
	"cmp"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Okta has two languages that look alike ("Okta API: filter" and "search",
// "User query options"). filter knows six attributes, eq, and ordering on
// lastUpdated, and its values are case-sensitive. search knows nearly all
// attributes, also sw, co and pr, and its values are not. Both have and, or and
// parentheses, neither has not. Everything else is E0000031.

// predicate says whether a user fits an expression.
type predicate func(*object) bool

// condition is an expression, understood. Nobody fits it whose lastUpdated is
// outside of the span.
type condition struct {
	fits predicate
	span span
}

// language is what an expression may be made of.
type language struct {
	resource *resource
	search   bool            // operators in any case, values without case
	known    map[string]bool // names of profile attributes
}

var dateAttributes = []string{"created", "activated", "statusChanged", "lastUpdated", "lastMembershipUpdated"}

// syntaxError is why an expression was refused; E0000031's cause.
type syntaxError string

func (e syntaxError) Error() string { return string(e) }

const (
	errSyntax = syntaxError("Invalid search syntax.")
	errQuery  = syntaxError("Invalid search query.")
)

// compile turns an expression into a condition.
func (l language) compile(expression string) (c condition, err error) {
	tokens, err := lex(expression)
	if err != nil {
		return c, err
	}
	p := parser{language: l, tokens: tokens}
	c, err = p.either(0)
	if err == nil && len(p.tokens) > 0 {
		err = errSyntax
	}
	return c, err
}

// lex cuts an expression into parentheses, quoted strings and bare words.
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

// word takes the next token if it is the operator.
func (p *parser) word(operator string) bool {
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

func (p *parser) either(depth int) (condition, error) {
	left, err := p.both(depth)
	for err == nil && p.word("or") {
		var right condition
		a := left.fits
		right, err = p.both(depth)
		left = condition{func(u *object) bool { return a(u) || right.fits(u) }, left.span.or(right.span)}
	}
	return left, err
}

func (p *parser) both(depth int) (condition, error) {
	left, err := p.term(depth)
	for err == nil && p.word("and") {
		var right condition
		a := left.fits
		right, err = p.term(depth)
		left = condition{func(u *object) bool { return a(u) && right.fits(u) }, left.span.and(right.span)}
	}
	return left, err
}

func (p *parser) term(depth int) (c condition, err error) {
	first := p.next()
	if first == "(" && depth < maxDepth {
		inner, err := p.either(depth + 1)
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
		return condition{func(u *object) bool { return u.present(first) }, always}, nil
	}
	if !slices.Contains([]string{"eq", "sw", "co", "gt", "ge", "lt", "le"}, op) {
		return c, errSyntax
	}
	c.span = always
	c.fits, err = p.comparison(first, op, p.next(), &c.span)
	return c, err
}

// allows says whether the language knows the attribute, and the operator on it.
func (l language) allows(attr, op string) bool {
	date := slices.Contains(dateAttributes, attr)
	ordering := op == "gt" || op == "ge" || op == "lt" || op == "le"
	if !l.search {
		return slices.Contains(l.resource.filter, attr) && (op == "eq" || ordering && date)
	}
	profile, inProfile := strings.CutPrefix(attr, "profile.")
	switch {
	case inProfile && !l.known[profile], !inProfile && !slices.Contains(l.resource.search, attr):
		return false
	case op == "co":
		return slices.Contains(l.resource.contains, attr)
	case op == "sw":
		return !date
	}
	return true
}

// comparison compiles attr op value, and narrows the span where it can.
func (p *parser) comparison(attr, op, value string, span *span) (predicate, error) {
	if !p.allows(attr, op) {
		return nil, errQuery
	}
	holds := ordered(op)
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
		return func(u *object) bool {
			at := u.date(attr)
			return at != 0 && holds(cmp.Compare(at, want))
		}, nil
	case value[0] == '"':
		return p.textual(attr, op, unquote([]byte(value)), holds), nil
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
		return err == nil && holds(n.Cmp(number))
	}), nil
}

// textual compiles the comparison with a string.
func (p *parser) textual(attr, op, want string, holds func(int) bool) predicate {
	fold := func(s string) string { return s }
	if p.search {
		fold = strings.ToLower
	}
	want = fold(want)
	if attr == "status" {
		return func(u *object) bool { return textHolds(op, fold(u.status), want, holds) }
	}
	if attr == "id" {
		return func(u *object) bool { return textHolds(op, fold(u.id()), want, holds) }
	}
	return anyElement(attr, func(v []byte) bool {
		return v[0] == '"' && textHolds(op, fold(unquote(v)), want, holds)
	})
}

func textHolds(op, have, want string, holds func(int) bool) bool {
	switch op {
	case "sw":
		return strings.HasPrefix(have, want)
	case "co":
		return strings.Contains(have, want)
	}
	return holds(strings.Compare(have, want))
}

// anyElement is the predicate that some element of the attribute's value fits:
// of an array any, else the value itself.
func anyElement(attr string, fits func(value []byte) bool) predicate {
	return func(u *object) bool {
		value := get(u.text(), attr)
		if value == nil {
			return false
		}
		for v := range elements(value) {
			if fits(v) {
				return true
			}
		}
		return false
	}
}

// ordered returns what an operator wants of a three-way comparison.
func ordered(op string) func(int) bool {
	switch op {
	case "gt":
		return func(c int) bool { return c > 0 }
	case "ge":
		return func(c int) bool { return c >= 0 }
	case "lt":
		return func(c int) bool { return c < 0 }
	case "le":
		return func(c int) bool { return c <= 0 }
	}
	return func(c int) bool { return c == 0 }
}

func (u *object) date(attr string) int64 {
	switch attr {
	case "created":
		return u.created
	case "activated":
		return u.activated
	case "statusChanged":
		return u.statusChanged
	case "lastMembershipUpdated":
		return u.membershipAt
	}
	return u.lastUpdated
}

func (u *object) present(attr string) bool {
	value := get(u.text(), attr)
	return value != nil && string(value) != "null"
}

// lacking is the sort key of an absent value: after everything else. Where Okta
// puts those is not known.
const lacking = "\xff"

// sortKey is what the user is sorted by: without case, as Okta does it.
func (u *object) sortKey(attr string) string {
	if slices.Contains(dateAttributes, attr) {
		if u.date(attr) == 0 {
			return lacking
		}
		return time.UnixMilli(u.date(attr)).UTC().Format(timeLayout)
	}
	if s := text(u.text(), attr); s != "" {
		return strings.ToLower(s)
	}
	if v := get(u.text(), attr); v != nil && string(v) != "null" {
		return string(v)
	}
	return lacking
}
