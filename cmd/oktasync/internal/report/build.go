package report

import (
	"slices"

	"oktasync/cmd/oktasync/internal/document"
)

// Build returns the report that o selects. It reads the rows of a section when a writer
// asks for them.
func Build(o *Options) (*document.Document, error) {
	d := &document.Document{Title: "Okta listing: " + o.Snapshot.Manifest.Export}
	for _, sections := range []func(*Options) ([]document.Section, error){administrators, changesOfPeriod, state, readsOfPeriod} {
		list, err := sections(o)
		if err != nil {
			return nil, err
		}
		d.Sections = slices.Concat(d.Sections, list)
	}
	var err error
	d.Cover, err = Cover(o)
	return d, err
}
