package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Read returns the content of a file.
func Read(t testing.TB, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	Must(t, err)
	return string(data)
}

// Write writes a file, and creates the folders above it.
func Write(t testing.TB, path, text string) {
	t.Helper()
	Must(t, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600))
}

// Remove removes a file.
func Remove(t testing.TB, path ...string) {
	t.Helper()
	Must(t, os.Remove(filepath.Join(path...)))
}

// RemoveAll removes a file or folder.
func RemoveAll(t testing.TB, path ...string) {
	t.Helper()
	Must(t, os.RemoveAll(filepath.Join(path...)))
}

// CopyFile copies a file.
func CopyFile(t testing.TB, from, to string) {
	t.Helper()
	Write(t, to, Read(t, from))
}

// CopyFolder copies a folder.
func CopyFolder(t testing.TB, from, to string) {
	t.Helper()
	Must(t, os.CopyFS(to, os.DirFS(from)))
}

// Must ends the test unless all errors are nil.
func Must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// Edit replaces the first occurrence of a text in a file.
func Edit(path, from, to string) error {
	data, err := os.ReadFile(path)
	if err == nil && !strings.Contains(string(data), from) {
		err = fmt.Errorf("no %s in %s", from, path)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.Replace(string(data), from, to, 1)), 0o600)
}

// CutLines removes the lines from number from+1 to number to of a file.
func CutLines(path string, from, to int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	return os.WriteFile(path, bytes.Join(slices.Concat(lines[:from], lines[to:]), nil), 0o600)
}
