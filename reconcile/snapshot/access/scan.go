package access

import (
	"bytes"
	"fmt"
	"io"
	"iter"

	"github.com/go-json-experiment/json/jsontext"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
	"oktasync/reconcile/snapshot/readahead"
)

// containing returns the records of r in which a member with this name, or any value if
// name is "", is a text, at any depth. It parses no record, which takes a quarter of the
// time of snapshot.Records.
func containing(s *snapshot.Snapshot, r *snapshot.Resource, name, value string) iter.Seq2[[]byte, error] {
	var text []byte
	if name != "" {
		text = fmt.Appendf(nil, "%q:", name)
	}
	text, err := jsontext.AppendQuote(text, value)
	if err != nil {
		return func(yield func([]byte, error) bool) { yield(nil, fmt.Errorf("find %s: %w", r.Name, err)) }
	}
	rare := text // the end of the text, because all ids have the same beginning
	if len(value) > 8 {
		rare = text[len(text)-len(value)+2:]
	}
	return scan(s, r, func(block []byte) int {
		for from := 0; ; {
			at := bytes.Index(block[from:], rare)
			if at < 0 {
				return -1
			}
			if from += at; bytes.HasSuffix(block[:from+len(rare)], text) {
				return bytes.LastIndexByte(block[:from], '\n') + 1
			}
			from++
		}
	})
}

// recordsOf returns the records of r in s.
func recordsOf(s *snapshot.Snapshot, r *snapshot.Resource) iter.Seq2[[]byte, error] {
	return scan(s, r, func([]byte) int { return 0 })
}

// each calls visit for each record of r in s.
func each(s *snapshot.Snapshot, r *snapshot.Resource, visit func(record []byte) error) error {
	for record, err := range recordsOf(s, r) {
		if err == nil {
			err = visit(record)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eachIfRecorded is like each. It does nothing if s doesn't record r.
func eachIfRecorded(s *snapshot.Snapshot, r *snapshot.Resource, visit func(record []byte) error) error {
	if !isRecorded(s, r) {
		return nil
	}
	return each(s, r, visit)
}

// childrenOf returns the edges of r whose parent has one of these sorted keys, in their
// order. Like containing, it parses few of the other edges.
func childrenOf(s *snapshot.Snapshot, r *snapshot.Resource, parents []string) iter.Seq2[[]byte, error] {
	p := &parentFinder{name: r.Key[0], wanted: parents}
	return scan(s, r, p.find)
}

// A parentFinder finds the lines of edges with some parents.
type parentFinder struct {
	name   string   // of the member with the parent
	wanted []string // the parents that can still follow
	key    []byte   // the parent of a line
}

// find returns the index of the first line of block with a wanted parent, or -1.
func (p *parentFinder) find(block []byte) int {
	if !p.reaches(block[bytes.LastIndexByte(block[:len(block)-1], '\n')+1:]) {
		return -1 // the last line comes before the next wanted parent
	}
	for at := 0; at < len(block); at += bytes.IndexByte(block[at:], '\n') + 1 {
		if !p.reaches(block[at:]) {
			continue
		}
		for len(p.wanted) > 0 && p.wanted[0] < string(p.key) {
			p.wanted = p.wanted[1:]
		}
		if len(p.wanted) > 0 && p.wanted[0] == string(p.key) {
			return at
		}
	}
	return -1
}

// reaches sets p.key to the parent of the first line. It reports whether this is the next
// wanted parent or comes after it.
func (p *parentFinder) reaches(lines []byte) bool {
	value, err := canonjson.Find(lines[:bytes.IndexByte(lines, '\n')], p.name)
	if err != nil || len(value) < 2 {
		return false // the file is damaged, which its end reports
	}
	p.key = canonjson.AppendText(p.key[:0], value[1:len(value)-1])
	return len(p.wanted) > 0 && string(p.key) >= p.wanted[0]
}

var scanBlock = 256 << 10 // bytes

// scan returns the lines of the records of r that find finds, up to the end of the file
// or the first error. find gets whole lines, and returns the index of a line, or -1. A
// line is valid until the following one.
func scan(s *snapshot.Snapshot, r *snapshot.Resource, find func(lines []byte) int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		content, err := s.Content(r)
		if err != nil {
			yield(nil, err)
			return
		}
		ahead := readahead.New(content, io.Discard)
		defer ahead.Close()
		blocks := &blockReader{r: ahead, buffer: make([]byte, scanBlock)}
		for {
			block, err := blocks.next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for len(block) > 0 {
				at := find(block)
				if at < 0 {
					break
				}
				end := at + bytes.IndexByte(block[at:], '\n')
				if !yield(block[at:end], nil) {
					return
				}
				block = block[end+1:]
			}
		}
	}
}

// A blockReader reads blocks of whole lines.
type blockReader struct {
	r      io.Reader
	buffer []byte
	filled int // bytes of buffer
	used   int // of them, in the last block
	err    error
}

// next returns the next block. It is valid until the following call.
func (b *blockReader) next() ([]byte, error) {
	b.filled = copy(b.buffer, b.buffer[b.used:b.filled])
	b.used = 0
	for {
		for b.filled < len(b.buffer) && b.err == nil {
			var n int
			n, b.err = b.r.Read(b.buffer[b.filled:])
			b.filled += n
		}
		if b.used = bytes.LastIndexByte(b.buffer[:b.filled], '\n') + 1; b.used > 0 {
			return b.buffer[:b.used], nil
		}
		switch {
		case b.err == io.EOF && b.filled > 0:
			return nil, io.ErrUnexpectedEOF
		case b.err != nil:
			return nil, b.err
		case len(b.buffer) > snapshot.MaxLine:
			return nil, snapshot.ErrLongLine
		}
		b.buffer = append(b.buffer, make([]byte, len(b.buffer))...)
	}
}
