package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/render"
)

// A Resource describes a kind of object that an export records, for the store, the
// comparison and the rendering. It doesn't change after its declaration.
type Resource struct {
	Name    string          // "users"; names the files and the manifest's member
	Noun    string          // one record, for people: "user"
	Key     []string        // top-level members whose values identify a record
	Label   diff.Label      // how people recognize a record
	Status  string          // top-level member by which records are counted; "": none
	Columns []render.Column // the known columns of the CSV file
	Open    []string        // objects whose members have their own CSV columns

	// Kind returns what happened to the object. since is when the previous read
	// began.
	Kind func(t diff.Transition, declared DeclaredResource, since time.Time) (diff.Kind, error)

	// Inactive reports whether a record counts as deactivated for the guard; nil:
	// none does.
	Inactive func(record []byte) (bool, error)

	Dates map[diff.Kind][]string // attributes with the time of a change
	Kinds []diff.Kind            // all kinds, in the order in which people read them

	headings map[diff.Kind]string // nil: the name of the resource
}

// Heading returns the heading under which people read changes of kind: "joiners".
func (r *Resource) Heading(kind diff.Kind) string {
	if r.headings == nil {
		return r.Name
	}
	if heading, ok := r.headings[kind]; ok {
		return heading
	}
	return Others
}

// resources are all resources, parents before their children.
var resources = []*Resource{Users, Groups}

// Resources returns all resources in the order in which they are read.
func Resources() []*Resource { return slices.Clone(resources) }

// ResourceNamed returns the resource with this name, or nil.
func ResourceNamed(name string) *Resource {
	for _, r := range resources {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Always returns the paths that every record keeps. They identify it, and give its
// status.
func (r *Resource) Always() []string {
	if r.Status == "" {
		return r.Key
	}
	return append(slices.Clone(r.Key), r.Status)
}

// Schema returns the columns of the resource's CSV file.
func (r *Resource) Schema() render.Schema {
	return render.Schema{Known: r.Columns, Open: r.Open, Always: r.Always()}
}

// Plural returns n with the noun of the resource: "1 user", "300 users".
func (r *Resource) Plural(n int) string {
	if n == 1 {
		return "1 " + r.Noun
	}
	return fmt.Sprintf("%d %ss", n, r.Noun)
}

// RecordsFile returns the name of the file with the records.
func (r *Resource) RecordsFile() string { return r.Name + ".ndjson.zst" }

// CSVFile returns the name of the CSV file.
func (r *Resource) CSVFile() string { return r.Name + ".csv" }

// ChangesFile returns the name of the changes file.
func (r *Resource) ChangesFile() string { return r.Name + ".changes.ndjson" }

// AppendKey appends the key of a record in canonical form to dst: the values of
// its key members, with a zero byte between them.
func (r *Resource) AppendKey(dst, record []byte) ([]byte, error) {
	for i, name := range r.Key {
		value, err := canonjson.Find(record, name)
		if err != nil {
			return dst, err
		}
		if dst, err = r.AppendKeyPart(dst, i, value); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// AppendKeyPart appends the value of the ith key member to the key in dst.
func (r *Resource) AppendKeyPart(dst []byte, i int, value []byte) ([]byte, error) {
	if len(value) <= 2 || value[0] != '"' {
		return dst, fmt.Errorf("a %s without %s", r.Noun, r.Key[i])
	}
	if i > 0 {
		dst = append(dst, 0)
	}
	start := len(dst)
	dst = canonjson.AppendText(dst, value[1:len(value)-1])
	if len(r.Key) > 1 && bytes.IndexByte(dst[start:], 0) >= 0 {
		return dst, errors.New("a zero byte in a key")
	}
	return dst, nil
}

// Records returns the JSON of the records of r, up to its end or the first error.
func Records(r diff.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for {
			record, err := r.Next()
			if err == io.EOF || !yield(record.JSON, err) || err != nil {
				return
			}
		}
	}
}
