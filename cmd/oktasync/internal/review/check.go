package review

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"oktasync/reconcile/snapshot"
)

// maxRows is the greatest number of rows of all files.
const maxRows = 1_000_000

// A row is a row of a file. Its cells are read again when they are needed.
type row struct {
	offset int64
	size   int32
	line   int32
	table  int32
	next   int32 // another row about the same item; 0: none
	seen   bool  // its item is in the population
}

// A checker compares files with a snapshot.
type checker struct {
	decisions
	tables    []*table
	rows      []row              // rows[0] is none
	index     map[[16]byte]int32 // the first row about an item
	parts     map[[16]byte]bool  // the items of all rows; of files of Okta, with the entitlements
	resources map[string]bool    // of files of Okta
}

// Check compares the decisions in files with a snapshot, and what they revoked with later
// snapshots. It calls report for each finding. The cells of the files are hostile, and so
// are the texts of findings. Memory grows with the rows of the files and with what was revoked.
func Check(ctx context.Context, o *Options, report func(Finding)) (sum *Summary, err error) {
	c := &checker{
		decisions: decisions{
			Options: o, results: results{Summary{Kinds: make(map[string]int), Reviewers: []*Reviewer{}}, report},
			reviewers: make(reviewers), revoked: newRevoked(),
		},
		rows: make([]row, 1), index: make(map[[16]byte]int32), parts: make(map[[16]byte]bool), resources: make(map[string]bool),
	}
	defer func() {
		for _, t := range c.tables {
			err = cmp.Or(err, t.close())
		}
	}()
	for _, step := range []func(context.Context) error{c.load, c.compare, c.reportExtra, c.follow} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.reviewers)) {
		if r := c.reviewers[name]; r.Keep+r.Revoke > 0 {
			c.Reviewers = append(c.Reviewers, r)
		}
	}
	return &c.Summary, nil
}

// load reads the files, and finds the people who decided.
func (c *checker) load(ctx context.Context) error {
	for _, name := range c.Options.Files {
		t, err := openTable(name, c.Headers)
		if err != nil {
			return err
		}
		c.tables = append(c.tables, t)
		if t.layout.okta != c.tables[0].layout.okta {
			return fmt.Errorf("%s: is of another kind than %s", name, c.tables[0].name)
		}
		before := len(c.rows)
		for record, err := range t.rows() {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = t.prefix(c.addRow(t, record), record.line)
			}
			if err != nil {
				return err
			}
		}
		c.Summary.Files = append(c.Summary.Files, File{name, t.digest, len(c.rows) - before})
	}
	if len(c.rows) == 1 {
		return fmt.Errorf("%s: has no rows", strings.Join(c.Options.Files, ", "))
	}
	if c.population == nil {
		campaign, err := newCampaign(c.Snapshot, c.resources)
		if err != nil {
			return err
		}
		c.population = campaign
	}
	c.Population = c.population.String()
	return c.reviewers.find(c.Snapshot)
}

// addRow takes a row into account.
func (c *checker) addRow(t *table, r record) error {
	if len(c.rows) > maxRows {
		return fmt.Errorf("is after the row %d; use several commands, each with the files of a smaller population", maxRows)
	}
	l := t.layout
	if err := c.checkPopulation(l, r.cells); err != nil {
		return err
	}
	if err := c.reviewers.add(strings.TrimSpace(l.cell(r.cells, decidedByColumn))); err != nil {
		return err
	}
	key := l.key(r.cells)
	part := key
	if l.okta {
		part += ":" + l.cell(r.cells, "entitlement")
		c.resources[strings.TrimSpace(l.cell(r.cells, "resource"))] = true
	}
	added := row{offset: r.offset, size: int32(r.size), line: int32(r.line), table: int32(len(c.tables) - 1)}
	if c.parts[hash(part)] {
		c.find(c.position(&added), duplicate, key, joined(l.names(r.cells)), "an earlier row is about the same item")
		added.seen = true
	} else {
		c.parts[hash(part)] = true
		added.next = c.index[hash(key)]
		c.index[hash(key)] = int32(len(c.rows))
	}
	c.rows = append(c.rows, added)
	return nil
}

// A WrongSnapshotError means that a file is about another snapshot.
type WrongSnapshotError struct {
	Snapshot, ManifestSHA256 string // in the file, so hostile
	against                  *snapshot.Snapshot
}

func (e *WrongSnapshotError) Error() string {
	return fmt.Sprintf("is about the snapshot %s with the manifest %s, not about %s with the manifest %s",
		short(e.Snapshot), short(e.ManifestSHA256), e.against.Name(), e.against.Digest)
}

// checkPopulation sets the population from the first row, and checks that a file has its
// columns.
func (c *checker) checkPopulation(l *layout, cells []string) error {
	if l.okta {
		return nil
	}
	if err := l.check([]string{snapshotColumn, manifestColumn, populationColumn}); err != nil {
		return err
	}
	if c.population != nil {
		return l.check(c.population.(*Population).columns())
	}
	if digest := l.cell(cells, manifestColumn); digest != c.Snapshot.Digest {
		return &WrongSnapshotError{l.cell(cells, snapshotColumn), digest, c.Snapshot}
	}
	p, err := parsePopulation(l.cell(cells, populationColumn))
	if err != nil {
		return err
	}
	c.population = p
	return l.check(p.columns())
}

func (c *checker) position(r *row) position {
	return position{c.tables[r.table].name, int(r.line)}
}

// compare compares the rows with the items of the snapshot.
func (c *checker) compare(ctx context.Context) error {
	for item, err := range c.population.items(c.Store, c.Snapshot, nil) {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		c.Items++
		n := c.index[hash(item.key)]
		if n == 0 {
			c.results.add(Finding{Kind: missing, Key: item.key, Item: item.String(), Problem: "no file has it"})
		}
		for ; n != 0; n = c.rows[n].next {
			r := &c.rows[n]
			r.seen = true
			t := c.tables[r.table]
			cells, err := t.at(r.offset, int64(r.size))
			if err == nil && t.layout.key(cells) != item.key {
				err = errors.New(t.name + ": has changed while it was read")
			}
			if err != nil {
				return err
			}
			c.check(&decision{c.position(r), item, t.layout, cells})
		}
	}
	return nil
}

// reportExtra reports the rows without an item.
func (c *checker) reportExtra(context.Context) error {
	for i := range c.rows[1:] {
		r := &c.rows[i+1]
		if r.seen {
			continue
		}
		t := c.tables[r.table]
		cells, err := t.at(r.offset, int64(r.size))
		if err != nil {
			return err
		}
		c.find(c.position(r), extra, t.layout.key(cells), joined(t.layout.names(cells)), c.Snapshot.Name()+" doesn't have it in this population")
	}
	return nil
}

// follow reports what has become of the revoked items in later snapshots whose records are
// kept.
func (c *checker) follow(ctx context.Context) error {
	if len(c.revoked.list) == 0 {
		return nil
	}
	newest, err := c.Store.Latest(c.Snapshot.Manifest.Export)
	if err != nil {
		return err
	}
	chain, err := c.Store.Chain(newest)
	if err != nil {
		return err
	}
	if err := c.reportMissing(chain); err != nil {
		return err
	}
	later := slices.DeleteFunc(chain, func(s *snapshot.Snapshot) bool {
		return s.Manifest.Sequence <= c.Snapshot.Manifest.Sequence || s.Erased() || c.population.check(s) != nil
	})
	for _, s := range later {
		if err := c.revoked.follow(ctx, c.population.items(c.Store, s, c.revoked.ids()), s.Name()); err != nil {
			return err
		}
	}
	for _, f := range c.revoked.list {
		f.set(later)
		c.results.add(f.Finding)
	}
	return nil
}

// reportMissing reports the snapshots of a chain after c.Snapshot that are missing, or whose
// records are missing, without a covered line of the journal that permits it.
func (c *checker) reportMissing(chain []*snapshot.Snapshot) error {
	erased, err := c.Store.Erased(c.Snapshot.Manifest.Export)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(chain, func(s *snapshot.Snapshot) bool { return s.Digest == c.Snapshot.Digest }) {
		c.results.add(Finding{Kind: snapshotMissing, Item: chain[0].Name(), Problem: "manifests before it are missing or changed, so this check doesn't follow the snapshots before it"})
	}
	for _, s := range chain {
		if s.Manifest.Sequence > c.Snapshot.Manifest.Sequence && s.Erased() && erased[s.Digest] == 0 {
			c.results.add(Finding{Kind: snapshotMissing, Item: s.Name(), Problem: "its records are missing, and no covered line of the journal records that they were removed"})
		}
	}
	return nil
}
