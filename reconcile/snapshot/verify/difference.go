package verify

import (
	"context"
	"io"
	"maps"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/readahead"
)

// rulesAfter returns how a resource is compared with before, and the base that
// follows. follows is false if before isn't the predecessor.
func (c *checkedSnapshot) rulesAfter(r *snapshot.Resource, before *checkedSnapshot) (rules diff.Rules, base string, follows bool) {
	if !c.follows(before) {
		return diff.Rules{}, "", false
	}
	var manifest *snapshot.Manifest
	if base := before.base(r); base != nil {
		manifest = &base.Manifest
	}
	rules, base = snapshot.RulesFor(r, manifest, c.Manifest.Declared)
	rules.Proofs = c.transcript.Proofs[r.ProvedBy().Name]
	return rules, base, true
}

// compare compares records with those of before. It returns nil if there is
// nothing to compare.
func (c *checkedSnapshot) compare(ctx context.Context, r *snapshot.Resource, before *checkedSnapshot, records diff.Reader) (*difference, error) {
	rules, basis, follows := c.rulesAfter(r, before)
	before = before.base(r)
	if !follows || basis != snapshot.BasePrevious || !before.correct[r.Name] || !c.opened[snapshot.RequestsFile] {
		return nil, nil
	}
	content, err := before.Content(r)
	if err != nil {
		return nil, err
	}
	base := snapshot.RecordsIn(readahead.New(cancelReader{ctx, content}, io.Discard), r)
	defer base.Close()
	if r.Parent != nil && c.wrong[r.Parent.RecordsFile()] {
		return nil, nil
	}
	closeParents, err := snapshot.OpenParents(c, r, &rules)
	if err != nil {
		return nil, err
	}
	defer closeParents()
	d := &difference{sum: snapshot.NewDigest()}
	var line []byte
	d.counts, err = diff.Diff(base, records, rules, func(change *diff.Change) (err error) {
		if line, err = change.Line(line[:0]); err == nil {
			_, err = d.sum.Write(line)
		}
		return err
	})
	return d, err
}

// checkChanges compares the recomputed changes of a resource with the changes
// file and the manifest.
func (c *checkedSnapshot) checkChanges(r *snapshot.Resource, before *checkedSnapshot, d *difference, report reportFunc) {
	said := c.Manifest.Resources[r.Name]
	file, listed := c.Manifest.File(r.ChangesFile())
	if listed != (said.Base == snapshot.BasePrevious) {
		report(r.ChangesFile(), "doesn't match the base %q", said.Base)
		return
	}
	_, base, follows := c.rulesAfter(r, before)
	if !follows {
		return // the chain has a finding about the link
	}
	before = before.base(r)
	erased := base == snapshot.BasePrevious && said.Base == snapshot.BaseReset && c.baseErased
	if base != said.Base && !erased {
		report(snapshot.ManifestFile, "the base of %s is %q, and should be %q", r.Name, said.Base, base)
		return
	}
	if said.Base == snapshot.BasePrevious && c.afterErasure && before.Digest == c.Manifest.Previous.ManifestSHA256 {
		report(snapshot.ManifestFile, "the base of %s is %q, and its records had been erased before", r.Name, said.Base)
		return
	}
	if d == nil || c.wrong[r.ChangesFile()] {
		return
	}
	counts := d.counts
	switch {
	case d.sum.String() != file.SHA256:
		report(r.ChangesFile(), "is not the difference from %s", before.Name())
	case counts.Added != said.Added || counts.Changed != said.Changed || counts.Removed != said.Removed,
		!maps.Equal(counts.Kinds, said.Kinds):
		report(snapshot.ManifestFile, "its counts of %s are not those of the difference from %s", r.Name, before.Name())
	}
}
