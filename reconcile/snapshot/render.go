package snapshot

import "io"

// Columns are the columns of a CSV file.
type Columns struct{}

// NewColumns returns the columns for users cut down to attrs. Where attrs
// includes no paths by name, each user that will be written has to be shown
// to Add first.
func NewColumns(attrs Attributes) *Columns { panic("soon") }

// Add adds the columns that user, a canonical line, needs.
func (c *Columns) Add(user []byte) error { panic("soon") }

// Header returns the names of the columns in their order.
func (c *Columns) Header() []string { panic("soon") }

// WriteCSV writes a header and users as CSV.
func WriteCSV(w io.Writer, users UserReader, columns *Columns) error { panic("soon") }

// WriteNDJSON writes users as canonical JSON, one a line.
func WriteNDJSON(w io.Writer, users UserReader) error { panic("soon") }

// WriteJSON writes users as one JSON list, a user a line.
func WriteJSON(w io.Writer, users UserReader) error { panic("soon") }
