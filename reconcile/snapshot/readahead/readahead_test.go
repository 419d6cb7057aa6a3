package readahead_test

import (
	"io"
	"strings"
	"testing"

	"oktasync/reconcile/snapshot/readahead"
)

// A damagedReader panics after its text.
type damagedReader struct{ io.Reader }

func (r damagedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		panic("a text of a user")
	}
	return n, err
}

func (damagedReader) Close() error { return nil }

// The caller can recover from a panic of the other reader, which happens in a goroutine.
func TestReadPanicsInTheCallersGoroutine(t *testing.T) {
	r := readahead.New(damagedReader{strings.NewReader("text")}, io.Discard)
	defer r.Close()
	defer func() {
		if p := recover(); p != "a text of a user" {
			t.Errorf("recovered %v", p)
		}
	}()
	_, err := io.ReadAll(r)
	t.Errorf("no panic, error %v", err)
}
