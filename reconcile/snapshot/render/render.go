// Package render writes records as CSV, NDJSON and JSON.
//
// Package snapshot renders the CSV files of a snapshot, package verify compares them
// with the records, package listing prints records, and the commands that print CSV use
// [AppendRow]. Start reading at [WriteCSV] and [Columns].
package render

import (
	"bufio"
	"io"
	"iter"
)

// noColumn is the number of a column that no record has needed yet.
const noColumn = -1

// each calls write for each of records. The output of write is flushed at the
// end, but not after an error.
func each(w io.Writer, records iter.Seq2[[]byte, error], write func(*bufio.Writer, []byte) error) error {
	out := bufio.NewWriterSize(w, 64<<10)
	for record, err := range records {
		if err != nil {
			return err
		}
		if err := write(out, record); err != nil {
			return err
		}
	}
	return out.Flush()
}

// WriteNDJSON writes records as canonical JSON, one per line.
func WriteNDJSON(w io.Writer, records iter.Seq2[[]byte, error]) error {
	return each(w, records, func(out *bufio.Writer, record []byte) error {
		out.Write(record)
		return out.WriteByte('\n') // a bufio.Writer keeps its first error
	})
}

// WriteJSON writes records as one JSON list, one record per line.
func WriteJSON(w io.Writer, records iter.Seq2[[]byte, error]) error {
	open := "[\n"
	err := each(w, records, func(out *bufio.Writer, record []byte) error {
		out.WriteString(open)
		open = ",\n"
		_, err := out.Write(record)
		return err
	})
	if err != nil {
		return err
	}
	end := "\n]\n"
	if open == "[\n" {
		end = "[]\n"
	}
	_, err = io.WriteString(w, end)
	return err
}
