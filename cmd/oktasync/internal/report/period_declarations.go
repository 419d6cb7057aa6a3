package report

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"oktasync/cmd/oktasync/internal/document"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

// A circumstance is a change of how the snapshots of a period were made or kept.
type circumstance struct {
	key                                   string
	at                                    snapshot.Time
	name, what, before, after, by, reason string // name is that of the snapshot
}

// declarations returns the section about the changes of how snapshots were made.
func (p *period) declarations(r *reads) (document.Section, error) {
	var rows []circumstance
	before := &p.o.From.Manifest
	for _, s := range p.snapshots {
		list, err := circumstances(before, &s.Manifest)
		if err != nil {
			return document.Section{}, err
		}
		rows, before = append(rows, list...), &s.Manifest
	}
	for e, err := range r.allEvents() {
		if err != nil {
			return document.Section{}, err
		}
		switch e.Event.Event {
		case snapshot.EventAdopted, snapshot.EventPruned, snapshot.EventDropped:
			if e.later && !r.includes(e.Snapshot) {
				continue
			}
			rows = append(rows, circumstance{key: "journal/" + strconv.Itoa(e.line), at: e.Time, name: e.Snapshot, what: e.Event.Event, after: e.NewHead, by: e.User, reason: e.Reason})
		}
	}
	slices.SortStableFunc(rows, func(a, b circumstance) int { return a.at.Compare(b.at.Time) })
	method := []string{
		"Changes between consecutive manifests, also those of pruned snapshots: declaration, tool, client, signing key. Guards that a person overrode. " +
			"Events of the journal: adopted (a person accepted the export as it was), pruned (records were removed by retention or on request), dropped (a quarantined read was removed). " +
			"Later events are listed if they are about a snapshot or a quarantined read of the period.",
	}
	if p.broken {
		method = append(method, p.brokenText())
	}
	return document.Section{
		ID: "declarations", Title: "Changes of the declaration, tool, client, key and guard", Method: method,
		Columns: columns("at", "snapshot", "what", "before", "after", "by", "reason"),
		Rows: func(yield func(document.Row, error) bool) {
			for _, c := range rows {
				if !yield(document.Row{Key: c.key, Cells: []string{c.at.String(), c.name, c.what, c.before, c.after, c.by, c.reason}}, nil) {
					return
				}
			}
		},
	}, nil
}

// circumstances returns what differs between two consecutive manifests.
func circumstances(before, after *snapshot.Manifest) (list []circumstance, err error) {
	add := func(what, was, is string) {
		if was != is {
			list = append(list, circumstance{key: "manifest/" + after.Snapshot + "/" + what, at: after.Signed, name: after.Snapshot, what: what, before: was, after: is})
		}
	}
	was, err := declared(before)
	if err != nil {
		return nil, err
	}
	is, err := declared(after)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(was)
	maps.Copy(all, is)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		add("declared "+path, was[path], is[path])
	}
	add("tool", toolText(before.Tool), toolText(after.Tool))
	add("client_id", before.Client.ClientID, after.Client.ClientID)
	add("scopes", strings.Join(before.Client.Scopes, " "), strings.Join(after.Client.Scopes, " "))
	add("dpop", strconv.FormatBool(before.Client.DPoP), strconv.FormatBool(after.Client.DPoP))
	add("signing key", signedBy(before), signedBy(after))
	if by := after.Run.Override; by != nil {
		add("guard override", "", by.Guard)
		list[len(list)-1].by, list[len(list)-1].reason = by.User, by.Reason
	}
	return list, nil
}

func signedBy(m *snapshot.Manifest) string {
	if m.SignedBy == nil {
		return "none"
	}
	return *m.SignedBy
}

// declared returns the JSON values of the declaration of m, by path.
func declared(m *snapshot.Manifest) (map[string]string, error) {
	text, err := canonjson.Marshal(m.Declared)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string)
	return values, addValues(values, "", text)
}

// addValues adds the values in an object in canonical form, except objects.
func addValues(values map[string]string, prefix string, object []byte) error {
	m := canonjson.MembersOf(object)
	for m.Next() {
		path := prefix + string(m.Name)
		if !canonjson.IsObject(m.Value) {
			values[path] = string(m.Value)
		} else if err := addValues(values, path+".", m.Value); err != nil {
			return err
		}
	}
	return m.Err
}
