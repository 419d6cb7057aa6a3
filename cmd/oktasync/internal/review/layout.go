package review

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A layout says in which columns a file has what a check needs.
type layout struct {
	okta    bool           // a file of Okta, otherwise one of ours
	columns map[string]int // by header; of a file of Okta, by field
}

// The fields of a file of Okta, with the headers that they can have in lower case. The
// first header of user, resource, resource_name, entitlement, email and decided_by is that of the
// exported file, and the second that of the Admin Console:
// https://help.okta.com/en-us/content/topics/identity-governance/columns-campaign-details.htm
// (principalUserd is Okta's spelling). Those of decision and decided_at are guesses, from the
// filters of the report and the Reviews API. Another header can be named.
var oktaFields = map[string][]string{
	"user":          {"reviewitem.principaluserd", "user id", "reviewitem.principaluserid"},
	"email":         {"reviewitem.principaluseremail", "user email"},
	"resource":      {"reviewitem.resourceid", "resource id"},
	"resource_name": {"reviewitem.resourcename", "resource name"},
	"entitlement":   {"reviewitem.entitlementname", "entitlement"},
	"decided_by":    {"reviewitem.revieweremail", "reviewer email"},
	"decision":      {"reviewitem.certification", "certification", "reviewitem.decision", "decision"},
	"decided_at":    {"reviewitem.certified", "certified", "reviewitem.decided", "decided"},
}

// OktaFields are the fields of a file of Okta. All but decided_at are required.
var OktaFields = []string{"user", "resource", "decision", decidedByColumn, decidedAtColumn}

// layoutOf returns the layout of a file with this header, or nil if it isn't a header.
func layoutOf(header []string, headers map[string]string) (*layout, error) {
	l := &layout{columns: make(map[string]int)}
	var repeated error
	seen := make(map[string]bool) // in lower case
	for i, name := range header {
		name = strings.TrimSpace(name)
		lower := strings.ToLower(name)
		if seen[lower] && name != "" {
			repeated = fmt.Errorf("two columns have the name %s", short(name))
		}
		seen[lower], l.columns[name] = true, i
	}
	if has(l.columns, keyColumn) && has(l.columns, decisionColumn) {
		return l, repeated
	}
	l.okta = true
	columns, ambiguous := oktaColumns(header, headers)
	if l.columns = columns; !has(columns, "resource") {
		return nil, nil
	}
	return l, cmp.Or(repeated, ambiguous, l.check(OktaFields[:4]))
}

func has(columns map[string]int, name string) bool {
	_, ok := columns[name]
	return ok
}

// oktaColumns returns the columns of a file of Okta, by field. If two columns have one
// field, it also returns an error.
func oktaColumns(header []string, headers map[string]string) (columns map[string]int, ambiguous error) {
	columns = make(map[string]int)
	for _, field := range slices.Sorted(maps.Keys(oktaFields)) {
		known := oktaFields[field]
		if named := headers[field]; named != "" {
			known = []string{strings.ToLower(named)}
		}
		for i, name := range header {
			switch {
			case !slices.Contains(known, strings.ToLower(strings.TrimSpace(name))):
			case has(columns, field):
				ambiguous = &AmbiguousColumnError{field, header[columns[field]], name}
			default:
				columns[field] = i
			}
		}
	}
	return columns, ambiguous
}

// check returns an error that names the missing columns.
func (l *layout) check(wanted []string) error {
	var missing []string
	for _, name := range wanted {
		if !has(l.columns, name) {
			if l.okta {
				name += " (one of: " + strings.Join(oktaFields[name], ", ") + ")"
			}
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &MissingColumnsError{missing, l.okta}
}

// A MissingColumnsError means that a file lacks columns.
type MissingColumnsError struct {
	Columns []string
	Okta    bool // the file is one of Okta
}

func (e *MissingColumnsError) Error() string {
	if len(e.Columns) == 1 {
		return "lacks the column " + e.Columns[0]
	}
	return "lacks the columns " + strings.Join(e.Columns, ", ")
}

// An AmbiguousColumnError means that two columns of a file of Okta can be the same field.
type AmbiguousColumnError struct{ Field, First, Second string } // the headers are hostile

func (e *AmbiguousColumnError) Error() string {
	return fmt.Sprintf("the columns %s and %s both have the field %s", short(e.First), short(e.Second), e.Field)
}

// cell returns the cell of a column, or "" if the row or the file has none.
func (l *layout) cell(cells []string, column string) string {
	i, ok := l.columns[column]
	if !ok || i >= len(cells) {
		return ""
	}
	return cells[i]
}

// key returns the key of the item that a row is about.
func (l *layout) key(cells []string) string {
	if l.okta {
		return campaignKey(l.cell(cells, "resource"), l.cell(cells, "user"))
	}
	return strings.TrimSpace(l.cell(cells, keyColumn))
}

func campaignKey(resource, user string) string {
	return strings.TrimSpace(resource) + ":" + strings.TrimSpace(user)
}

// names returns how a row names its item.
func (l *layout) names(cells []string) []string {
	if l.okta {
		return []string{l.cell(cells, "email"), l.cell(cells, "resource_name"), l.cell(cells, "entitlement")}
	}
	return []string{l.cell(cells, "login"), l.cell(cells, "app_label"), l.cell(cells, "role_label"), l.cell(cells, "via"), l.cell(cells, "group_name")}
}

// The decisions in files of Okta, in lower case. The Reviews API has APPROVE, REVOKE and
// UNREVIEWED, and the event certification.campaign.item.decide has NORESPONSE.
var oktaDecisions = map[string]string{
	"approve": keep, "approved": keep, "revoke": revoke, "revoked": revoke,
	"unreviewed": "", "noresponse": "", "no response": "", "not reviewed": "",
}

// decision returns keep, revoke, "" for none, or another text.
func (l *layout) decision(cells []string) string {
	text := strings.ToLower(strings.TrimSpace(l.cell(cells, decisionColumn)))
	if decision, ok := oktaDecisions[text]; l.okta && ok {
		return decision
	}
	return text
}
