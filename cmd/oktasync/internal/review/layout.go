package review

import (
	"cmp"
	"fmt"
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

// OktaFields are the fields of a file of Okta without which nothing can be checked, and
// decided_at.
var OktaFields = []string{"user", "resource", "decision", decidedByColumn, decidedAtColumn}

// layoutOf returns the layout of a file with this header, or nil if it isn't a header.
func layoutOf(header []string, headers map[string]string) (*layout, error) {
	l := &layout{columns: make(map[string]int)}
	var repeated error
	for i, name := range header {
		name = strings.TrimSpace(name)
		if _, twice := l.columns[name]; twice && name != "" {
			repeated = fmt.Errorf("two columns have the name %s", short(name))
		}
		l.columns[name] = i
	}
	_, hasKey := l.columns[keyColumn]
	_, hasDecision := l.columns[decisionColumn]
	if hasKey && hasDecision {
		return l, repeated
	}
	l.okta, l.columns = true, oktaColumns(header, headers)
	if _, ok := l.columns["resource"]; !ok {
		return nil, nil
	}
	return l, cmp.Or(repeated, l.check(OktaFields[:4]))
}

// oktaColumns returns the columns of a file of Okta, by field.
func oktaColumns(header []string, headers map[string]string) map[string]int {
	columns := make(map[string]int)
	for field, known := range oktaFields {
		if named := headers[field]; named != "" {
			known = []string{strings.ToLower(named)}
		}
		for _, name := range known {
			i := slices.IndexFunc(header, func(is string) bool { return strings.ToLower(strings.TrimSpace(is)) == name })
			if _, found := columns[field]; i >= 0 && !found {
				columns[field] = i
			}
		}
	}
	return columns
}

// check returns an error that names the missing columns.
func (l *layout) check(wanted []string) error {
	var missing []string
	for _, name := range wanted {
		if _, ok := l.columns[name]; !ok {
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
