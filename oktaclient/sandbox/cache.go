package sandbox

import "sync"

// pageCache keeps compressed pages until somebody changes, so that a benchmark
// measures the client and not the org.
type pageCache struct {
	mu      sync.Mutex
	edition uint64
	pages   map[string]cachedPage
}

type cachedPage struct {
	page
	packed []byte
}

func (c *pageCache) get(key string, s *store) (cachedPage, bool) {
	s.mu.RLock()
	edition := s.edition
	s.mu.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.pages[key]
	return p, ok && c.edition == edition
}

func (c *pageCache) put(key string, edition uint64, p cachedPage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pages == nil || c.edition != edition {
		c.pages, c.edition = map[string]cachedPage{}, edition
	}
	c.pages[key] = p
}
