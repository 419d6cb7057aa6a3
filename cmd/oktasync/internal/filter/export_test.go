package filter

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Text returns the expression with all parentheses and single spaces, in SCIM's grammar.
func (f *Filter) Text() string { return textOf(f.root) }

func textOf(n node) string {
	switch n := n.(type) {
	case or:
		return joined(n, " or ")
	case and:
		return joined(n, " and ")
	case not:
		return "not (" + textOf(n.node) + ")"
	case comparison:
		text := n.path + " " + n.operator
		switch n.value.kind {
		case textValue:
			if n.operator == "pr" {
				return text
			}
			quoted, _ := json.Marshal(n.value.text)
			return text + " " + string(quoted)
		case nullValue:
			return text + " null"
		case timeValue:
			return text + " now"
		}
		return text + " " + n.value.text
	}
	panic(fmt.Sprintf("%T", n))
}

// joined returns terms in parentheses. A term with the same operator needs none.
func joined[N interface {
	node
	~[]node
}](terms N, operator string) string {
	var parts []string
	for _, n := range terms {
		text := textOf(n)
		if _, same := n.(N); same {
			text = text[1 : len(text)-1]
		}
		parts = append(parts, text)
	}
	return "(" + strings.Join(parts, operator) + ")"
}
