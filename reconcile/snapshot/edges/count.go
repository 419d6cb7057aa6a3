package edges

import "bytes"

// A Counter counts the edges of some parents. It isn't safe for concurrent use.
type Counter struct {
	counts  map[string]*int
	parent  []byte // of the last edge
	current *int   // its count; nil: it isn't counted
}

// NewCounter returns a Counter for the edges of the parents with these keys.
func NewCounter(parents []string) *Counter {
	c := &Counter{counts: make(map[string]*int)}
	for _, parent := range parents {
		c.counts[parent] = new(int)
	}
	return c
}

// Add counts the edge with this key. It is fast if the edges of a parent follow each
// other. A nil Counter counts nothing.
func (c *Counter) Add(key []byte) {
	if c == nil {
		return
	}
	parent, _, _ := bytes.Cut(key, []byte{0})
	if c.parent == nil || !bytes.Equal(parent, c.parent) {
		c.parent = append(c.parent[:0], parent...)
		c.current = c.counts[string(parent)]
	}
	if c.current != nil {
		*c.current++
	}
}

// Count returns the number of edges of a parent that NewCounter was called with.
func (c *Counter) Count(parent string) int { return *c.counts[parent] }
