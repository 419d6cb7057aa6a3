// Package report describes snapshots in words: counts, changes and queries.
//
// The commands and the daemon use it.
package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
)

func Query(d snapshot.DeclaredUsers) string {
	text := "all users"
	if d.Search != "" {
		text = "users with " + d.Search
	}
	if !d.IncludeDeprovisioned {
		return text + ", deprovisioned left out"
	}
	return text + ", deprovisioned included"
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

// Changes is the sentence on the difference from the snapshot before.
func Changes(u snapshot.Resource) string {
	switch u.Base {
	case snapshot.BaseNone:
		return "none to compare with, this is the first snapshot"
	case snapshot.BaseReset:
		return "not compared, the declaration asks for other users than before"
	}
	if text := KindCounts(u.Kinds); text != "" {
		return text
	}
	return "none"
}

// Kinds are in the order in which people ask for them.
var Kinds = []snapshot.Kind{
	snapshot.Joined, snapshot.Reactivated, snapshot.Moved, snapshot.Deactivated, snapshot.Deleted,
	snapshot.Suspended, snapshot.Unsuspended, snapshot.Changed,
}

// KindCounts is "3 moved, 2 joined", or "" where nothing changed.
func KindCounts(counts map[snapshot.Kind]int) string {
	var parts []string
	for _, kind := range Kinds {
		if n := counts[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return strings.Join(parts, ", ")
}

// ShortChanges is Changes for a column.
func ShortChanges(u snapshot.Resource) string {
	switch u.Base {
	case snapshot.BaseNone:
		return "first"
	case snapshot.BaseReset:
		return "other users declared"
	}
	if text := KindCounts(u.Kinds); text != "" {
		return text
	}
	return "none"
}

// Span is the name of one snapshot, or of the first and the last of many.
func Span(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return names[0] + " to " + names[len(names)-1]
}
