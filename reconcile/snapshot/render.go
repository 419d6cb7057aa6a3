package snapshot

import (
	"bufio"
	"io"
)

// each calls write for every user of users. What write writes is flushed at
// the end, but not after an error.
func each(w io.Writer, users UserReader, write func(*bufio.Writer, User) error) error {
	out := bufio.NewWriterSize(w, 64<<10)
	for {
		user, err := users.Next()
		if err == io.EOF {
			return out.Flush()
		}
		if err != nil {
			return err
		}
		if err := write(out, user); err != nil {
			return err
		}
	}
}

// WriteNDJSON writes users as canonical JSON, one a line.
func WriteNDJSON(w io.Writer, users UserReader) error {
	return each(w, users, func(out *bufio.Writer, user User) error {
		out.Write(user.JSON)
		return out.WriteByte('\n') // a bufio.Writer keeps its first error
	})
}

// WriteJSON writes users as one JSON list, a user a line.
func WriteJSON(w io.Writer, users UserReader) error {
	open := "[\n"
	err := each(w, users, func(out *bufio.Writer, user User) error {
		out.WriteString(open)
		open = ",\n"
		_, err := out.Write(user.JSON)
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
