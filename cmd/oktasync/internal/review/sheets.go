package review

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"oktasync/cmd/oktasync/internal/document"
	"oktasync/reconcile/snapshot"
)

// MaxSheets is the greatest number of reviewers that Sheets accepts.
const MaxSheets = 500

// A TooManyError means that a population has more than MaxSheets reviewers.
type TooManyError struct{ By string }

func (e *TooManyError) Error() string {
	return fmt.Sprintf("the column %s has more than %d different values, and each needs a sheet", e.By, MaxSheets)
}

// Sheets returns a section for each reviewer of the population in s, ordered by their
// names. They are valid until the caller closes c.
func (p *Population) Sheets(ctx context.Context, store *snapshot.Store, s *snapshot.Snapshot) (sections []document.Section, c io.Closer, err error) {
	spool, err := newSpool()
	if err != nil {
		return nil, nil, err
	}
	rows, err := p.spoolTo(ctx, spool, store, s)
	if err != nil {
		return nil, nil, cmp.Or(err, spool.Close())
	}
	for i, reviewer := range slices.Sorted(maps.Keys(rows)) {
		sections = append(sections, p.sheet(i+1, reviewer, spool, rows[reviewer]))
	}
	return sections, spool, nil
}

// spoolTo writes the rows to a spool, and returns their offsets by reviewer.
func (p *Population) spoolTo(ctx context.Context, spool *spool, store *snapshot.Store, s *snapshot.Snapshot) (map[string][]int64, error) {
	rows := make(map[string][]int64)
	for item, err := range p.items(store, s, nil) {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return nil, err
		}
		cells := p.cells(item, s)
		reviewer := cells[0]
		if rows[reviewer] == nil && len(rows) == MaxSheets {
			return nil, &TooManyError{p.By}
		}
		offset, err := spool.add(append(cells, item.key))
		if err != nil {
			return nil, err
		}
		rows[reviewer] = append(rows[reviewer], offset)
	}
	return rows, nil
}

// sheet returns the section with the rows of a reviewer, which are in a spool.
func (p *Population) sheet(n int, reviewer string, spool *spool, offsets []int64) document.Section {
	section := document.Section{
		ID:    "reviewer-" + strconv.Itoa(n),
		Title: cmp.Or(reviewer, "no reviewer"),
		Method: []string{
			"One row for each path with this value of " + p.By + ". Enter keep or revoke in the column decision, a date such as " +
				"2026-11-23 in decided_at, and the login of the person who decides in decided_by. Don't change the other columns: review check reports changed rows as altered.",
		},
	}
	names := p.columns()
	for _, name := range names {
		column := document.Column{Name: name}
		if name == decisionColumn {
			column.Choices = []string{keep, revoke}
		}
		section.Columns = append(section.Columns, column)
	}
	section.Rows = func(yield func(document.Row, error) bool) {
		for _, offset := range offsets {
			cells, err := spool.row(offset, len(names)+1)
			if err != nil {
				yield(document.Row{}, err)
				return
			}
			if !yield(document.Row{Key: cells[len(names)], Cells: cells[:len(names)]}, nil) {
				return
			}
		}
	}
	return section
}
