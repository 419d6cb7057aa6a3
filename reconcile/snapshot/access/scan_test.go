package access

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// brokenFile panics after its first bytes.
type brokenFile struct{ io.Reader }

func (f brokenFile) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil {
		panic("ada@acme.example")
	}
	return n, err
}

func (f brokenFile) Close() error { return nil }

// A panic in the goroutine that reads a file is an error without its value, and doesn't end
// the program.
func TestReadAheadReportsAPanic(t *testing.T) {
	content, err := io.ReadAll(readAhead(brokenFile{strings.NewReader("a line\n")}))
	if string(content) != "a line\n" || !errors.Is(err, errPanic) || strings.Contains(err.Error(), "ada") {
		t.Errorf("read %q, %v", content, err)
	}
}
