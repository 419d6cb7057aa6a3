package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// printResult prints the facts of one reconcile, for a change ticket or an
// auditor's working papers.
func printResult(w io.Writer, export reconcile.Export, r reconcile.Result) {
	if r.Outcome == reconcile.Unchanged {
		fmt.Fprintf(w, "%s: no changes since %s; nothing published (snapshot: on_change)\n", export.Name, r.Plan.Previous.Name())
		if len(r.Pruned) > 0 {
			fmt.Fprintf(w, "  pruned %s, %s\n", term.Plural(len(r.Pruned), "snapshot"), spanText(r.Pruned))
		}
		return
	}
	m := r.Snapshot.Manifest
	u := m.Resources.Users
	zone := export.Location()
	fmt.Fprintf(w, "%s: published %s\n", export.Name, m.Snapshot)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("org", "%s", m.Org.URL)
	row("client", "%s (scopes %s, %s)", m.Client.ClientID, strings.Join(m.Client.Scopes, " "), tokenKind(m.Client.DPoP))
	row("query", "%s", queryText(m.Declared.Users))
	row("users", "%d: %s", u.Total, statusText(u.ByStatus))
	row("changes", "%s", changesText(u))
	row("started", "%s", m.Read.Started.In(zone).Format(timeLayout))
	row("finished", "%s", m.Read.Finished.In(zone).Format(timeLayout))
	row("run by", "%s on %s", m.Run.User, m.Run.Host)
	if m.Run.Override != nil {
		row("override", "the guard was overridden by %s: %s", m.Run.Override.User, m.Run.Override.Reason)
	}
	row("sequence", "%d", m.Sequence)
	if m.SignedBy != nil {
		row("signed by", "%s", *m.SignedBy)
	}
	row("manifest", "sha256 %s", r.Snapshot.Digest)
	row("folder", "%s", r.Snapshot.Dir())
	if len(r.Pruned) > 0 {
		row("pruned", "%s, %s", term.Plural(len(r.Pruned), "snapshot"), spanText(r.Pruned))
	}
	t.Flush()
}

const timeLayout = "2006-01-02 15:04:05 -07:00 MST"

func tokenKind(dpop bool) string {
	if dpop {
		return "DPoP"
	}
	return "Bearer"
}

func queryText(d snapshot.DeclaredUsers) string {
	text := "all users"
	if d.Search != "" {
		text = "users with " + d.Search
	}
	if !d.IncludeDeprovisioned {
		return text + ", deprovisioned left out"
	}
	return text + ", deprovisioned included"
}

// statusText lists the counts by status, largest first.
func statusText(byStatus map[string]int) string {
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

// changesText is the sentence on the difference from the snapshot before.
func changesText(u snapshot.Resource) string {
	switch u.Base {
	case snapshot.BaseNone:
		return "none to compare with, this is the first snapshot"
	case snapshot.BaseReset:
		return "not compared, the declaration asks for other users than before"
	}
	if text := kindsText(u.Kinds); text != "" {
		return text
	}
	return "none"
}

// kinds are in the order in which people ask for them.
var kinds = []snapshot.Kind{
	snapshot.Joined, snapshot.Reactivated, snapshot.Moved, snapshot.Deactivated, snapshot.Deleted,
	snapshot.Suspended, snapshot.Unsuspended, snapshot.Changed,
}

// kindsText is "3 moved, 2 joined", or "" where nothing changed.
func kindsText(counts map[snapshot.Kind]int) string {
	var parts []string
	for _, kind := range kinds {
		if n := counts[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return strings.Join(parts, ", ")
}

// writeJSON prints v as one indented JSON document.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
