package report

import (
	"cmp"
	"io"
	"maps"
	"slices"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
)

// maxNames bounds the memory of Names, for each resource. Further edges are printed with ids.
const maxNames = 200_000

// Names are the names of the records that changed edges connect, by their ids.
type Names map[*snapshot.Resource]map[string]string

// Add adds the ends of a changed edge, or the holder of a changed role. ReadFrom sets
// their names.
func (n Names) Add(r *snapshot.Resource, c *diff.Change) {
	if r == snapshot.RoleAssignments {
		n.addEnd(holderOf(c), c.Key["principal_id"])
		return
	}
	for i, end := range []*snapshot.Resource{r.Parent, r.Other} {
		if end != nil {
			n.addEnd(end, c.Key[r.Key[i]])
		}
	}
}

func (n Names) addEnd(r *snapshot.Resource, id string) {
	if n[r] == nil {
		n[r] = make(map[string]string)
	}
	if len(n[r]) < maxNames {
		n[r][id] = ""
	}
}

// holderOf returns the resource with the holder of a role. The client ID of a service app
// is mostly the id of the app.
func holderOf(c *diff.Change) *snapshot.Resource {
	switch c.Key["principal_type"] {
	case "GROUP":
		return snapshot.Groups
	case "CLIENT":
		return snapshot.Apps
	}
	return snapshot.Users
}

// ReadFrom sets the missing names from the records of s.
func (n Names) ReadFrom(s snapshot.Source) error {
	for _, r := range s.Recorded() {
		names := n[r]
		if !slices.Contains(slices.Collect(maps.Values(names)), "") {
			continue
		}
		records, err := s.Records(r)
		if err != nil {
			return err
		}
		if err := setNames(names, r, records); err != nil {
			return err
		}
	}
	return nil
}

func setNames(names map[string]string, r *snapshot.Resource, records diff.Reader) error {
	defer records.Close()
	for {
		record, err := records.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if name, wanted := names[string(record.Key)]; !wanted || name != "" {
			continue
		}
		if names[string(record.Key)], err = canonjson.Text(record.JSON, r.Label.Path); err != nil {
			return err
		}
	}
}

// Of returns the text for a changed record: its login or name, or its id. The text of an
// edge has the names of both ends, as in "app Payroll: group Sales". The text of an admin
// role is that of its holder.
func (n Names) Of(r *snapshot.Resource, c *diff.Change) string {
	if r == snapshot.RoleAssignments {
		holder, id := holderOf(c), c.Key["principal_id"]
		return cmp.Or(c.Label(), c.ID()) + ": " + holder.Noun + " " + cmp.Or(n[holder][id], id)
	}
	if r.Parent == nil {
		return cmp.Or(c.Label(), c.ID())
	}
	parent, other := c.Key[r.Key[0]], c.Key[r.Key[1]]
	text := r.Parent.Noun + " " + cmp.Or(n[r.Parent][parent], parent) + ": "
	if r.Other == nil {
		return text + cmp.Or(c.Label(), other)
	}
	if r.Other != snapshot.Users {
		text += r.Other.Noun + " "
	}
	return text + cmp.Or(n[r.Other][other], other)
}
