// Package listing prints the records of a snapshot: all of them, or those that a filter
// selects, as JSON, CSV or a table.
//
// The commands show and quarantine show use it. Start reading at [New]. It keeps no records in
// memory.
package listing

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"oktasync/cmd/oktasync/internal/filter"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/render"
)

// Options are what is printed, and how.
type Options struct {
	Format  string    // ndjson, csv, json or table
	Filter  string    // an expression, see package filter; "": all records
	Now     time.Time // of the filter
	Columns []string  // paths of the columns of csv and table; empty: the usual ones
	Limit   int       // the most rows of a table; 0: all
}

// Check returns an error for options that don't fit together.
func (o *Options) Check() error {
	switch o.Format {
	case "csv", "table":
	case "ndjson", "json":
		if len(o.Columns) > 0 {
			return fmt.Errorf("--columns: only csv and table have columns; %s has whole records", o.Format)
		}
	default:
		return fmt.Errorf("--format %s: must be ndjson, csv, json or table", term.Word(o.Format))
	}
	if slices.Contains(o.Columns, "") {
		return errors.New("--columns: a path is empty")
	}
	return nil
}

// A Source has records: a snapshot or a quarantined read.
type Source interface {
	Name() string
	Recorded() []*snapshot.Resource
	Records(*snapshot.Resource) (diff.Reader, error)
}

// A Listing is the records of one resource that options select.
type Listing struct {
	Options
	source     Source
	resource   *snapshot.Resource
	attributes canonjson.Attributes // that the export records
	filter     *filter.Filter       // nil: all records match
	names      []string             // attributes that edges have from their ends; nil: they aren't added
	unseen     []string             // paths that no record had so far
	records    int                  // read so far, with those that don't match
}

// New returns a Listing of the records of r in s. A filter with an error, and a path that
// no record can have, are errors.
func New(s Source, r *snapshot.Resource, declared snapshot.Declaration, o Options) (*Listing, error) {
	l := &Listing{Options: o, source: s, resource: r, attributes: declared.Resources[r.Name].Attributes}
	for _, path := range o.Columns {
		if err := l.addPath("--columns", path); err != nil {
			return nil, err
		}
	}
	if o.Filter != "" {
		var err error
		if l.filter, err = filter.Parse(o.Filter, o.Now); err != nil {
			return nil, fmt.Errorf("--filter: %w", err)
		}
		for _, path := range l.filter.Paths() {
			if err := l.addPath("--filter", path); err != nil {
				return nil, err
			}
		}
	}
	names := r.Schema().Names
	if l.hasColumns() || slices.ContainsFunc(names, func(name string) bool { return slices.Contains(l.unseen, name) }) {
		l.names = names
	}
	return l, nil
}

func (l *Listing) hasColumns() bool { return l.Format == "csv" || l.Format == "table" }

// addPath adds a path of the filter or the columns. It returns an error if no record can
// have an attribute there.
func (l *Listing) addPath(flag, path string) error {
	l.unseen = append(l.unseen, path)
	names := l.resource.Schema().Names
	switch {
	case slices.Contains(names, path) || l.resource.CanHave(path, l.attributes):
		return nil
	case l.resource.CanHave(path, canonjson.Attributes{}):
		return fmt.Errorf("%s: %s doesn't have %s of %s, because the export doesn't record this attribute%s",
			flag, l.source.Name(), term.Word(path), l.resource.Name, l.similar(path))
	}
	return fmt.Errorf("%s: %s have no attribute %s; %s", flag, l.resource.Name, term.Word(path),
		term.Suggestion(path, slices.Concat(names, l.resource.Paths())))
}

// Notes returns a sentence for each path in the filter or the columns that no record of the
// resource has, whether it matches or not. If there are no records, it returns nothing.
func (l *Listing) Notes() (notes []string) {
	if l.records == 0 {
		return nil
	}
	for _, path := range l.unseen {
		notes = append(notes, fmt.Sprintf("none of the %s has the attribute %s%s", l.resource.Name, term.Word(path), l.similar(path)))
	}
	return notes
}

// similar returns "; did you mean …?" with the recorded attribute that path probably
// means: by the name of its column, or by a similar path. It returns "" for a known path.
func (l *Listing) similar(path string) string {
	var known []string
	similar := ""
	for _, column := range l.resource.Columns {
		switch {
		case column.Path == path:
			return ""
		case !l.resource.CanHave(column.Path, l.attributes):
		case column.Name == path:
			similar = column.Path
		default:
			known = append(known, column.Path)
		}
	}
	if similar = cmp.Or(similar, term.Nearest(path, known)); similar == "" {
		return ""
	}
	return "; did you mean " + similar + "?"
}

// Print writes the records.
func (l *Listing) Print(w io.Writer) error {
	switch l.Format {
	case "csv":
		return l.printCSV(w)
	case "table":
		return l.printTable(w)
	case "json":
		return l.each(func(records iter.Seq2[[]byte, error]) error { return render.WriteJSON(w, records) })
	}
	return l.each(func(records iter.Seq2[[]byte, error]) error { return render.WriteNDJSON(w, records) })
}

// printCSV writes the usual columns, which all records of the snapshot decide, or those
// of the options.
func (l *Listing) printCSV(w io.Writer) error {
	schema := l.resource.Schema()
	var columns *render.Columns
	if len(l.Columns) > 0 {
		schema.Names = nil // so that they don't come first
		columns = render.NewColumns(schema, canonjson.Attributes{Include: l.Columns})
	} else {
		records, err := l.source.Records(l.resource)
		if err != nil {
			return err
		}
		defer records.Close()
		if columns, err = render.LearnColumns(snapshot.Records(records), schema, l.attributes); err != nil {
			return err
		}
	}
	return l.each(func(records iter.Seq2[[]byte, error]) error { return render.WriteCSV(w, records, columns) })
}

// printTable reads the records twice: first for the widths of the columns.
func (l *Listing) printTable(w io.Writer) error {
	paths := l.Columns
	if len(paths) == 0 {
		schema := l.resource.Schema()
		for _, column := range schema.Known {
			if slices.Contains(schema.Names, column.Path) || l.resource.CanHave(column.Path, l.attributes) {
				paths = append(paths, column.Path)
			}
		}
	}
	var table term.Table
	table.Measure(paths)
	count, err := l.eachRow(paths, func(cells []string) error {
		table.Measure(cells)
		return nil
	})
	if err == nil {
		err = table.Write(w, paths)
	}
	if err == nil {
		_, err = l.eachRow(paths, func(cells []string) error { return table.Write(w, cells) })
	}
	if more := count - l.Limit; err == nil && l.Limit > 0 && more > 0 {
		_, err = fmt.Fprintf(w, "… and %d more; --all prints them\n", more)
	}
	return err
}

// eachRow calls visit with the cells of each row within the limit. It returns the number
// of records that match.
func (l *Listing) eachRow(paths []string, visit func([]string) error) (count int, err error) {
	cells := make([]string, len(paths))
	err = l.each(func(records iter.Seq2[[]byte, error]) error {
		for record, err := range records {
			if count++; err == nil && (l.Limit == 0 || count <= l.Limit) {
				err = readCells(cells, record, paths)
				if err == nil {
					err = visit(cells)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return count, err
}

// readCells sets cells to the values at paths. Other values than strings are JSON.
func readCells(cells []string, record []byte, paths []string) error {
	for i, path := range paths {
		value, err := canonjson.FindPath(record, path)
		if err != nil {
			return err
		}
		switch {
		case len(value) == 0 || canonjson.IsNull(value):
			cells[i] = ""
		case value[0] == '"':
			cells[i] = canonjson.Unquote(value)
		default:
			cells[i] = string(value)
		}
	}
	return nil
}

// each opens the records, and calls visit with those that match. Those of edges have the
// names of their ends if they are printed in columns.
func (l *Listing) each(visit func(iter.Seq2[[]byte, error]) error) error {
	open := l.source.Records
	if l.names != nil {
		open = func(r *snapshot.Resource) (diff.Reader, error) { return snapshot.NamedRecords(l.source, r) }
	}
	records, err := open(l.resource)
	if err != nil {
		return err
	}
	defer records.Close()
	return visit(l.matching(snapshot.Records(records)))
}

func (l *Listing) matching(records iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	withoutNames := canonjson.Attributes{Exclude: l.names}.Projector(nil)
	return func(yield func([]byte, error) bool) {
		var whole []byte
		for record, err := range records {
			if err != nil {
				yield(nil, err)
				return
			}
			l.records++
			l.unseen = slices.DeleteFunc(l.unseen, func(path string) bool { return filter.Has(record, path) })
			if l.filter != nil && !l.filter.Match(record) {
				continue
			}
			if l.names != nil && !l.hasColumns() {
				whole, err = withoutNames.Project(whole[:0], record)
				record = whole
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}
