package verify

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

// A changeCheck checks changes that can't be computed again, because the snapshot before was
// pruned. It compares the removals with the transcript and the records.
type changeCheck struct {
	resource *snapshot.Resource
	rules    diff.Rules
	removals bool // are checked
	said     snapshot.Counts
	found    diff.Counts
	again    []byte // a line
}

// checkChangesFile counts the lines of a changes file. If the changes can't be computed
// again, it checks each of them.
func (c *checkedSnapshot) checkChangesFile(r io.Reader, file snapshot.File) error {
	resource := snapshot.ResourceNamed(strings.TrimSuffix(file.Name, ".changes.ndjson"))
	var each *changeCheck
	if resource != nil && c.differences[resource.Name] == nil {
		check, done, err := c.newChangeCheck(resource)
		if err != nil {
			return err
		}
		defer done()
		each = check
	}
	lines := snapshot.NewLineReader(r)
	for {
		line, err := lines.Next()
		if err == io.EOF {
			return cmp.Or(rowsError(lines.N, file), each.end())
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", lines.N+1, err)
		}
		if err := each.add(line); err != nil {
			return fmt.Errorf("line %d: %w", lines.N, err)
		}
	}
}

// newChangeCheck returns a check of changes. The caller must call done.
func (c *checkedSnapshot) newChangeCheck(r *snapshot.Resource) (check *changeCheck, done func() error, err error) {
	declared := c.Manifest.Declared
	check = &changeCheck{resource: r, said: c.Manifest.Resources[r.Name]}
	check.found.Kinds = make(map[diff.Kind]int)
	check.rules, _ = snapshot.RulesFor(r, nil, declared)
	check.rules.Kind = func(t diff.Transition) (diff.Kind, error) { return r.Kind(t, declared.Resources[r.Name], time.Time{}) }
	check.rules.Proofs = c.transcript.Proofs[r.ProvedBy().Name]
	if c.wrong[snapshot.RequestsFile] || r.Parent != nil && c.wrong[r.Parent.RecordsFile()] {
		return check, func() error { return nil }, nil
	}
	check.removals = true
	done, err = snapshot.OpenParents(c, r, &check.rules)
	return check, done, err
}

// add checks a line of the file.
func (c *changeCheck) add(line []byte) error {
	if c == nil {
		return nil
	}
	change, err := diff.ParseChange(line)
	if err == nil {
		c.again, err = change.Line(c.again[:0])
	}
	if err != nil || !bytes.Equal(c.again, line) {
		return errors.New("not a change in canonical form")
	}
	if c.said.Kinds[change.Kind] == 0 { // so few kinds are counted
		return fmt.Errorf("the manifest has no change of the kind %.60q", change.Kind)
	}
	c.found.Kinds[change.Kind]++
	switch change.Op {
	case diff.OpAdded:
		c.found.Added++
	case diff.OpChanged:
		c.found.Changed++
	case diff.OpRemoved:
		c.found.Removed++
		return c.checkRemoval(change, line)
	default:
		return fmt.Errorf("unknown op %.60q", change.Op)
	}
	return nil
}

// checkRemoval compares a removal with the one that its record, the transcript and the
// parents give.
func (c *changeCheck) checkRemoval(change *diff.Change, line []byte) error {
	if !c.removals {
		return nil
	}
	key, err := c.resource.AppendKey(nil, change.Before)
	if err != nil {
		return err
	}
	removed, err := c.rules.Removed(key, change.Before)
	if err != nil {
		return err
	}
	c.again, err = removed.Line(c.again[:0])
	switch {
	case err != nil:
		return err
	case change.Proof != removed.Proof:
		return fmt.Errorf("the proof of a removal is not in %s", snapshot.RequestsFile)
	case change.Kind != removed.Kind:
		return fmt.Errorf("a removal is %s, and its proof shows %s", change.Kind, removed.Kind)
	case !bytes.Equal(c.again, line):
		return errors.New("the key or the name of a removal is not that of its record")
	}
	return nil
}

// end compares the counts of the changes with the manifest.
func (c *changeCheck) end() error {
	switch {
	case c == nil:
		return nil
	case c.said.Added != c.found.Added || c.said.Changed != c.found.Changed || c.said.Removed != c.found.Removed || !maps.Equal(c.said.Kinds, c.found.Kinds):
		return errors.New("the manifest has other counts of changes")
	case c.rules.Parents == nil || c.found.Removed == 0:
		return nil
	}
	return c.rules.Parents.Finish()
}
