package edges

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// Sums has the number and the digest of the edges of each parent. It has about 100 bytes
// for each parent with edges. It isn't safe for concurrent use.
type Sums struct {
	list    []sum // of the parents before current, in their order
	current sum
	hash    hash.Hash // of the edges of current; nil: there was no edge yet
	next    int       // in list: the first that Of has not passed
}

type sum struct {
	parent string
	rows   int
	sha256 [sha256.Size]byte
}

// Add adds an edge. Edges must be in the order of their keys. The digest is that of
// their lines.
func (s *Sums) Add(key, edge []byte) {
	parent, _, _ := bytes.Cut(key, []byte{0})
	if s.hash == nil || s.current.parent != string(parent) {
		s.end()
		s.current, s.hash = sum{parent: string(parent)}, sha256.New()
	}
	s.current.rows++
	s.hash.Write(edge)
	s.hash.Write([]byte{'\n'})
}

// end completes the sum of the current parent.
func (s *Sums) end() {
	if s.hash == nil {
		return
	}
	s.hash.Sum(s.current.sha256[:0])
	s.list, s.hash = append(s.list, s.current), nil
}

// Of returns the number of edges of a parent, and their digest in lower-case hex. Call it
// after the last Add, for parents in their order.
func (s *Sums) Of(parent string) (rows int, digest string) {
	s.end()
	for s.next < len(s.list) && s.list[s.next].parent < parent {
		s.next++
	}
	found := sum{sha256: sha256.Sum256(nil)}
	if s.next < len(s.list) && s.list[s.next].parent == parent {
		found = s.list[s.next]
	}
	return found.rows, hex.EncodeToString(found.sha256[:])
}
