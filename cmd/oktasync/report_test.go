package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"oktasync/cmd/oktasync/internal/document"
)

// A signal, an error or a panic during a write leaves the file as it was, and no other file. A device or a pipe isn't
// replaced.
func TestWriteAtomically(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "report.html")
	expect := func(when, content string) {
		t.Helper()
		got, err := os.ReadFile(path)
		files, globErr := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
		hidden, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
		if err := errors.Join(err, globErr); err != nil || string(got) != content || len(files)+len(hidden) != 1 {
			t.Errorf("after %s, the content is %q, want %q; files %q %q, %v", when, got, content, files, hidden, err)
		}
	}
	write := func(text string, failure error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return errors.Join(err, failure)
		}
	}
	if err := writeAtomically(ctx, path, write("first", nil)); err != nil {
		t.Fatal(err)
	}
	expect("a write", "first")
	failure := errors.New("damaged")
	if err := writeAtomically(ctx, path, write("second", failure)); !errors.Is(err, failure) {
		t.Errorf("writeAtomically() = %v, want %v", err, failure)
	}
	expect("an error", "first")
	func() {
		defer func() { recover() }()
		writeAtomically(ctx, path, func(io.Writer) error { panic("broken") })
	}()
	expect("a panic", "first")
	cancel()
	if err := writeAtomically(ctx, path, write("third", nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("writeAtomically() = %v, want %v", err, context.Canceled)
	}
	expect("a signal", "first")
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeAtomically(t.Context(), pipe, write("fourth", nil)); err == nil || !strings.Contains(err.Error(), "it isn't a regular file") {
		t.Errorf("writeAtomically() to a pipe = %v", err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the pipe is %v, %v", info, err)
	}
}

// A signal ends the rows of a section with an error, so that a writer removes its
// temporary files.
func TestRowsEndWithASignal(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read := 0
	for row, err := range cancelable(ctx, func(yield func(document.Row, error) bool) {
		for yield(document.Row{Key: "00u1"}, nil) {
		}
	}) {
		if read++; err != nil {
			break
		}
		if row.Key != "00u1" || read > 2 {
			t.Fatalf("row %d is %v", read, row)
		}
		if read == 2 {
			cancel()
		}
	}
	if read != 3 {
		t.Errorf("%d rows were read, want 3", read)
	}
}
