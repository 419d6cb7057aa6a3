// Package report selects the content of a report for people, and describes snapshots in
// words: counts, changes and queries.
//
// The command report uses Build (build.go), which returns a document with a cover
// (cover.go) and sections: administrators.go, accounts.go (dormant, locked and other
// accounts), deprovisioned.go, managers.go, and period*.go. The other commands and the daemon
// use the texts in report.go. Start reading at [Build] and [Changes]. names.go finds the names
// of the two ends of an edge, and people.go the name, department and manager of users.
package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// Query describes which records of a declaration are read: "all users,
// deprovisioned included; all groups".
func Query(d snapshot.Declaration) string {
	var parts []string
	for _, r := range snapshot.Resources() {
		if declared, ok := d.Resources[r.Name]; ok {
			parts = append(parts, query(r, declared.Narrowing))
		}
	}
	return strings.Join(parts, "; ")
}

func query(r *snapshot.Resource, n *snapshot.Narrowing) string {
	text := "all " + r.Name
	if n == nil {
		return text
	}
	if n.Search != "" {
		text = r.Name + " with " + n.Search
	}
	if !n.IncludeDeprovisioned {
		return text + ", deprovisioned left out"
	}
	return text + ", deprovisioned included"
}

// Records lists the number of records by resource: "300 users, 12 groups".
func Records(counts map[string]snapshot.Counts) string {
	var parts []string
	for _, r := range recorded(counts) {
		parts = append(parts, r.Plural(counts[r.Name].Total))
	}
	return strings.Join(parts, ", ")
}

func recorded(counts map[string]snapshot.Counts) []*snapshot.Resource {
	m := snapshot.Manifest{Resources: counts}
	return m.Recorded()
}

// Statuses lists the counts by status, largest first.
func Statuses(byStatus map[string]int) string {
	if len(byStatus) == 0 {
		return "none"
	}
	statuses := slices.SortedFunc(maps.Keys(byStatus), func(a, b string) int {
		return cmp.Or(cmp.Compare(byStatus[b], byStatus[a]), strings.Compare(a, b))
	})
	parts := make([]string, len(statuses))
	for i, status := range statuses {
		parts[i] = fmt.Sprintf("%d %s", byStatus[status], status)
	}
	return strings.Join(parts, ", ")
}

// Changes describes the changes since the snapshot before: "3 moved, 2 joined".
// If there are several resources, it names each one that has changed. first
// reports that there is no snapshot before.
func Changes(counts map[string]snapshot.Counts, first bool) string {
	if first {
		return "none to compare with, this is the first snapshot"
	}
	return changes(counts, map[string]string{
		snapshot.BaseNone:  "not compared, because the previous snapshot doesn't record them",
		snapshot.BaseReset: "not compared, because other records were declared or the previous records were erased",
	})
}

// ShortChanges is like Changes, for a column.
func ShortChanges(counts map[string]snapshot.Counts, first bool) string {
	if first {
		return "first"
	}
	return changes(counts, map[string]string{snapshot.BaseNone: "newly recorded", snapshot.BaseReset: "not compared"})
}

// changes describes the changes by resource. bases has the texts for resources that
// were not compared, by base.
func changes(counts map[string]snapshot.Counts, bases map[string]string) string {
	list := recorded(counts)
	var parts []string
	for _, r := range list {
		text, ok := bases[counts[r.Name].Base]
		if !ok {
			text = KindCounts(r, counts[r.Name].Kinds)
		}
		if text != "" && len(list) > 1 {
			text = r.Name + ": " + text
		}
		if text != "" {
			parts = append(parts, text)
		}
	}
	return cmp.Or(strings.Join(parts, "; "), "none")
}

// Unsettled explains `settled: false`.
const Unsettled = "the org changed until the end of the read, so some records can be outdated"

// Unreconciled returns why control totals are `reconciled: false`. c may be nil. It
// returns "" if they are reconciled, or if there are none.
func Unreconciled(c *snapshot.Control) string {
	if c == nil || c.Reconciled {
		return ""
	}
	var parts []string
	if e := c.Everyone; e != nil && e.Counted < e.Okta {
		parts = append(parts, fmt.Sprintf("%d of %d users", e.Counted, e.Okta))
	}
	if g := c.Groups; g != nil && g.Counted < g.Okta {
		parts = append(parts, fmt.Sprintf("%d of %d group members", g.Counted, g.Okta))
	}
	if len(parts) == 0 {
		return "Okta counts other members than the app sees"
	}
	return "the app sees " + strings.Join(parts, " and ") + " that Okta counts, so its role may cover only a part of the org"
}

// Unavailable returns why resources could not be read, by name: "app_users: the app has
// no admin role for it". It returns "" if all were read.
func Unavailable(resources map[string]snapshot.Counts) string {
	var parts []string
	for _, r := range snapshot.Resources() {
		if counts, ok := resources[r.Name]; ok && !counts.IsAvailable() {
			parts = append(parts, r.Name+": "+counts.Reason)
		}
	}
	return strings.Join(parts, "; ")
}

// Carried describes the records of groups that an incremental refresh has not read: "90
// of 100 group members, read since 2026-11-23 06:00 UTC". It returns "" if all were read.
func Carried(resources map[string]snapshot.Counts, zone *time.Location) string {
	counts := resources[snapshot.GroupMembers.Name]
	if counts.CarriedSince == nil {
		return ""
	}
	return fmt.Sprintf("%d of %s, read since %s", counts.Carried, snapshot.GroupMembers.Plural(counts.Total), counts.CarriedSince.In(zone).Format("2006-01-02 15:04 MST"))
}

// KindCounts lists the changes of a resource by kind: "3 moved, 2 joined". It
// returns "" if nothing changed.
func KindCounts(r *snapshot.Resource, counts map[diff.Kind]int) string {
	var parts []string
	for _, kind := range r.Kinds {
		if n := counts[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return strings.Join(parts, ", ")
}

// Span returns the name of the only snapshot, or the names of the first and the last one.
func Span(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return names[0] + " to " + names[len(names)-1]
}

// RoleChanges returns the number of changes of admin roles as text, or "" if there are
// none.
func RoleChanges(resources map[string]snapshot.Counts) string {
	kinds := resources[snapshot.RoleAssignments.Name].Kinds
	if len(kinds) == 0 {
		return ""
	}
	noun := "administrator roles"
	if kinds[diff.Granted] == 1 {
		noun = "administrator role"
	}
	text := fmt.Sprintf("%d %s granted, %d revoked", kinds[diff.Granted], noun, kinds[diff.Revoked])
	if n := kinds[diff.Changed]; n > 0 {
		text += fmt.Sprintf(", %d changed", n)
	}
	return text
}
