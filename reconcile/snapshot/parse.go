package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ParseManifest reads a manifest.json. It is as strict as can be: what it
// accepts is, byte for byte, what the manifest it returns is written as.
func ParseManifest(data []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := parseDocument(data, snapshotFormat, m); err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	return m, nil
}

var fileName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)

// check refuses what no manifest can say.
func (m *Manifest) check() error {
	if !exportName.MatchString(m.Export) {
		return errors.New("export: not the name of an export")
	}
	if _, err := nameTime(m.Snapshot); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if m.Sequence < 1 || (m.Sequence == 1) != (m.Previous == nil) {
		return errors.New("sequence: does not fit previous")
	}
	seen := map[string]bool{manifestFile: true, signatureFile: true}
	for _, f := range m.Files {
		if seen[f.Name] || !fileName.MatchString(f.Name) {
			return fmt.Errorf("files: a file can't be named %q here", f.Name)
		}
		seen[f.Name] = true
	}
	if !seen[usersFile] {
		return errors.New("files: there is no " + usersFile)
	}
	return nil
}

// file returns what m says of a file.
func (m *Manifest) file(name string) (File, bool) {
	for _, f := range m.Files {
		if f.Name == name {
			return f, true
		}
	}
	return File{}, false
}

// names returns the names in the folder of m's snapshot.
func (m *Manifest) names() []string {
	names := []string{manifestFile, sumsFile}
	if m.SignedBy != nil {
		names = append(names, signatureFile)
	}
	for _, f := range m.Files {
		names = append(names, f.Name)
	}
	return names
}

// ParseEvent reads a line of a journal, with its line feed, as strictly as
// ParseManifest.
func ParseEvent(line []byte) (Event, error) {
	var e Event
	if err := parseLine(line, &e); err != nil {
		return Event{}, fmt.Errorf("parse event: %w", err)
	}
	return e, nil
}

// ParseRequest reads a line of a requests.ndjson, with its line feed, as
// strictly as ParseManifest.
func ParseRequest(line []byte) (Request, error) {
	var r Request
	if err := parseLine(line, &r); err != nil {
		return Request{}, fmt.Errorf("parse request: %w", err)
	}
	return r, nil
}

// parseDocument parses what has a format of its own.
func parseDocument(data []byte, format string, v any) error {
	var head struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return jsonError(err)
	}
	if head.Format != format {
		kind, _, _ := strings.Cut(format, "/")
		if strings.HasPrefix(head.Format, kind+"/") {
			return &formatError{head.Format, format}
		}
		return fmt.Errorf("its format is not %s", format)
	}
	return parseLine(data, v)
}

// formatError is about a document of another version of oktasync.
type formatError struct{ has, knows string }

func (e *formatError) Error() string {
	return fmt.Sprintf("its format is %s, and this version of oktasync knows no other than %s", e.has, e.knows)
}

// jsonError says what is wrong with JSON in the words of a person.
func jsonError(err error) error {
	e, ok := errors.AsType[*json.SemanticError](err)
	switch {
	case errors.Is(err, json.ErrUnknownName) && ok:
		return fmt.Errorf("it has an unknown member %q", string(e.JSONPointer))
	case ok:
		return fmt.Errorf("its member %q is not what it has to be", string(e.JSONPointer))
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("it has two members of one name")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("it is cut short")
	}
	return errors.New("it is not valid JSON")
}

// parseLine parses a line of plain RFC 8785 into v.
func parseLine(line []byte, v any) error {
	if err := json.Unmarshal(line, v, json.RejectUnknownMembers(true)); err != nil {
		return jsonError(err)
	}
	again, err := MarshalCanonical(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(append(again, '\n'), line) {
		return errors.New("not in canonical form")
	}
	return nil
}

// digestOf returns the SHA-256 of data as the store writes it.
func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
