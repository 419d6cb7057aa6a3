package filter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	scim "github.com/scim2/filter-parser/v2"

	"oktasync/cmd/oktasync/internal/filter"
)

var now = time.Date(2026, 6, 30, 22, 0, 0, 0, time.UTC)

const user = `{"activated":null,"created":"2026-01-31T10:00:00.000Z","id":"00u1","lastLogin":"2026-03-01T08:30:00.000+01:00",` +
	`"profile":{"badge":9007199254740993,"bonus":0.5,"contractor":false,"department":"Straße \"Nord\"","empty":"","login":"Jane@acme.example",` +
	`"roles":["Admin","Auditor"],"scores":[3,40],"skills":[]},"status":"ACTIVE","targets":[{"id":"g1","type":"GROUP"},{"id":"a1","type":"APP"}]}`

func TestMatch(t *testing.T) {
	for expression, want := range map[string]bool{
		// Values ignore case, names don't.
		`status eq "active"`:                           true,
		`Status eq "ACTIVE"`:                           false,
		`STATUS pr or status PR`:                       true,
		`status ne "ACTIVE"`:                           false,
		`profile.login sw "JANE@"`:                     true,
		`profile.login co "ACME"`:                      true,
		`profile.login co "ane"`:                       true,
		`profile.login sw "ane"`:                       false,
		`profile.department eq "straße \"nord\""`:      true,
		`profile.department eq "strasse \"nord\""`:     false,
		`profile.department eq "stra\u00dfe \"nord\""`: true,

		// Texts are in the order of their characters, without case.
		`status gt "ABLE"`:   true,
		`status lt "b"`:      true,
		`status ge "active"`: true,
		`status gt "active"`: false,

		// Times are compared as times.
		`lastLogin eq "2026-03-01T07:30:00Z"`:     true,
		`lastLogin lt "2026-03-01T08:00:00.000Z"`: true,
		`lastLogin lt "2026-03-01"`:               false,
		`created sw "2026-01"`:                    true,
		`lastLogin lt now-90d`:                    true,
		`lastLogin lt now-18w`:                    false,
		`lastLogin gt NOW-125D`:                   true,
		`lastLogin lt now`:                        true,
		`lastLogin lt now+1h`:                     true,
		`status lt now`:                           false,

		// Numbers and booleans.
		`profile.badge eq 9007199254740993`: true,
		`profile.badge gt 9e15`:             true,
		`profile.badge lt -1`:               false,
		`profile.bonus le 0.50`:             true,
		`profile.bonus eq "0.5"`:            false,
		`status eq 1`:                       false,
		`profile.contractor eq false`:       true,
		`profile.contractor eq TRUE`:        false,
		`profile.contractor ne true`:        true,
		`profile.login eq true`:             false,

		// One element of a list that matches is enough, and ne needs that none is equal.
		`profile.roles eq "auditor"`:                   true,
		`profile.roles ne "auditor"`:                   false,
		`profile.roles ne "owner"`:                     true,
		`profile.scores gt 39`:                         true,
		`profile.scores gt 40`:                         false,
		`targets.type eq "APP" and targets.id eq "g1"`: true,
		`targets.type eq "ROLE"`:                       false,

		// null, "", [] and {} aren't present.
		`activated pr`:                      false,
		`profile.empty pr`:                  false,
		`profile.skills pr`:                 false,
		`profile.roles pr`:                  true,
		`profile.manager pr`:                false,
		`activated eq null`:                 true,
		`profile.manager eq null`:           true,
		`status ne null`:                    true,
		`profile.manager ne "x"`:            true,
		`profile.manager lt "x"`:            false,
		`profile.empty eq ""`:               true,
		`status.x pr or profile.login.x pr`: false,

		// and binds tighter than or.
		`status pr or status pr and nothing pr`:      true,
		`(status pr or status pr) and nothing pr`:    false,
		`not (nothing pr)`:                           true,
		`not(not (nothing pr))`:                      false,
		`nothing pr OR NOT ( nothing pr AND id pr )`: true,
		`not pr or id eq "00u1"`:                     true, // an attribute with the name not
	} {
		f, err := filter.Parse(expression, now)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
		} else if got := f.Match([]byte(user)); got != want {
			t.Errorf("%s: %v, want %v", expression, got, want)
		}
	}
}

func TestParseRejects(t *testing.T) {
	for expression, want := range map[string]string{
		``:                     `column 1: expected an attribute, such as profile.department`,
		`"x" eq 1`:             `column 1: expected an attribute, such as profile.department`,
		`profile. eq 1`:        `column 1: expected an attribute, such as profile.department`,
		`status`:               `column 7: expected an operator: eq, ne, gt, ge, lt, le, co, sw, pr`,
		`status ew "E"`:        `column 8: expected an operator: eq, ne, gt, ge, lt, le, co, sw, pr`,
		`status = "E"`:         `column 8: expected an operator: eq, ne, gt, ge, lt, le, co, sw, pr`,
		`status eq ACTIVE`:     `column 11: expected a value: a text or a time in double quotes, a number, true, false, null, or a time such as now-90d`,
		`x lt now-90m`:         `column 6: expected a value: a text or a time in double quotes, a number, true, false, null, or a time such as now-90d`,
		`x lt 1e999`:           `column 6: expected a value: a text or a time in double quotes, a number, true, false, null, or a time such as now-90d`,
		`é eq 1`:               `column 1: expected an attribute, such as profile.department`,
		`x eq "é" y`:           `column 10: expected and, or, or the end of the filter`,
		`status eq "E`:         `column 11: the text has no closing quote`,
		`status eq "\x"`:       `column 11: the text isn't a valid JSON string`,
		`status co 5`:          `column 11: co needs a text in double quotes`,
		`status sw now`:        `column 11: sw needs a text in double quotes`,
		`status gt true`:       `column 11: gt needs a text, a time or a number`,
		`status le null`:       `column 11: le needs a text, a time or a number`,
		`status pr and`:        `column 14: expected an attribute, such as profile.department`,
		`(status pr or (x pr)`: `column 1: the parenthesis isn't closed`,
		`(status pr x`:         `column 12: expected and, or, or a closing parenthesis`,
		`status pr)`:           `column 10: expected and, or, or the end of the filter`,
		`x eq 1 or ` + strings.Repeat("(", filter.MaxDepth+1): `column 111: more than 100 nested parentheses`,
		strings.Repeat("x", filter.MaxLength+1):               `column 1: the filter has 10001 bytes; at most 10000 are possible`,
		"x eq \"\xff\"":                                       `column 1: the filter isn't valid UTF-8`,
	} {
		_, err := filter.Parse(expression, now)
		if syntax := (*filter.SyntaxError)(nil); !errors.As(err, &syntax) || err.Error() != want {
			t.Errorf("Parse(%.40s) = %v, want %s", expression, err, want)
		}
	}
}

func TestPaths(t *testing.T) {
	f, err := filter.Parse(`profile.a.b pr and (status pr or not (profile.a.b eq 1))`, now)
	if err != nil || strings.Join(f.Paths(), " ") != "profile.a.b status" {
		t.Errorf("Paths() = %q, %v", f.Paths(), err)
	}
	if !filter.Has([]byte(user), "activated") || !filter.Has([]byte(user), "targets.type") || filter.Has([]byte(user), "profile.manager") {
		t.Error("Has() is wrong")
	}
}

// FuzzParse compares the parser with an independent one, for the expressions that both
// accept: that one has no paths of three parts and no relative times, and this one has
// no URNs, no conditions in brackets, and no operator ew.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`status eq "ACTIVE" and (lastLogin lt now-90d or not (profile.manager pr))`,
		`a pr or b.c ne -1.5E+3 and not(d co "x\"y\u0041") or e eq null`,
		`(a sw "" and (b le 10)) or c gt 0 and d ge true`,
		`not pr`, `a.b.c eq 1`, `a eq "`, `((((a pr))))`, "a\teq\n1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		if strings.Count(expression, "(")+strings.Count(expression, "[") > 4 || len(expression) > 200 {
			return // the time of the other parser is exponential
		}
		ours, err := filter.Parse(expression, now)
		theirs, theirErr := scim.ParseFilterNumber([]byte(expression))
		if err != nil {
			if theirErr == nil && isCommon(theirs) && utf8.ValidString(expression) && len(expression) <= filter.MaxLength && !strings.Contains(err.Error(), "nested") {
				t.Errorf("Parse(%q): %v, and the other parser accepts it", expression, err)
			}
			return
		}
		ours.Match([]byte(user))
		text := ours.Text()
		again, err := filter.Parse(text, now)
		if err != nil || again.Text() != text {
			t.Fatalf("Parse(%q) = %s, for which Parse returns %v", expression, text, err)
		}
		if theirErr != nil {
			return // white space or one of its limits
		}
		if got := scimText(theirs); got != text {
			t.Errorf("Parse(%q) = %s, and the other parser returns %s", expression, text, got)
		}
	})
}

// isCommon reports whether this parser must accept an expression of the other one.
func isCommon(e scim.Expression) bool {
	switch e := e.(type) {
	case *scim.LogicalExpression:
		return isCommon(e.Left) && isCommon(e.Right)
	case *scim.NotExpression:
		return isCommon(e.Expression)
	case *scim.AttributeExpression:
		_, isText := e.CompareValue.(string)
		number, isNumber := e.CompareValue.(json.Number)
		_, tooLarge := number.Float64()
		switch {
		case e.AttributePath.URIPrefix != nil || e.Operator == scim.EW || isNumber && tooLarge != nil:
			return false
		case e.Operator == scim.CO || e.Operator == scim.SW:
			return isText
		case e.Operator == scim.GT || e.Operator == scim.GE || e.Operator == scim.LT || e.Operator == scim.LE:
			return isText || isNumber
		}
		return true
	}
	return false
}

// scimText returns an expression of the other parser in the form of Filter.Text.
func scimText(e scim.Expression) string {
	switch e := e.(type) {
	case *scim.LogicalExpression:
		return "(" + scimTerm(e.Left, e.Operator) + " " + string(e.Operator) + " " + scimTerm(e.Right, e.Operator) + ")"
	case *scim.NotExpression:
		return "not (" + scimText(e.Expression) + ")"
	case *scim.AttributeExpression:
		text := e.AttributePath.String() + " " + string(e.Operator)
		switch value := e.CompareValue.(type) {
		case string:
			var decoded string
			json.Unmarshal([]byte(`"`+value+`"`), &decoded)
			quoted, _ := json.Marshal(strings.ToLower(decoded))
			return text + " " + string(quoted)
		case nil:
			if e.Operator == scim.PR {
				return text
			}
			return text + " null"
		default:
			return text + " " + fmt.Sprint(value)
		}
	}
	return fmt.Sprintf("%T", e)
}

func scimTerm(e scim.Expression, operator scim.LogicalOperator) string {
	text := scimText(e)
	if l, ok := e.(*scim.LogicalExpression); ok && l.Operator == operator {
		return text[1 : len(text)-1]
	}
	return text
}
