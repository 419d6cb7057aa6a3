package sandbox

import (
	"maps"
	"net/http"
	"slices"
	"sync"
)

// Stats counts the requests that an org has received. A violation is a
// request that a correct client never sends: a proof or an assertion that is used
// twice, a proof for another URL, a token without its proof, a request other than
// GET. A missing or stale nonce isn't a violation, and neither is an expired or
// revoked token.
type Stats struct {
	Requests    int            `json:"requests"` // without those to /sandbox/
	API         int            `json:"api"`
	Token       int            `json:"token"`
	Grants      int            `json:"grants"`
	Challenges  int            `json:"challenges"` // responses that require a nonce
	RateLimited int            `json:"rate_limited"`
	TooMany     int            `json:"too_many"`      // 429 for too many concurrent requests
	MaxInFlight int            `json:"max_in_flight"` // most concurrent requests
	Faults      int            `json:"faults"`        // injected faults that occurred
	ByStatus    map[int]int    `json:"by_status"`
	ByPath      map[string]int `json:"by_path"` // "/api/v1/users/{id}" for all ids
	Violations  []string       `json:"violations"`
}

const (
	maxViolations = 100  // then "and more"
	maxPaths      = 1000 // of ByPath
)

type stats struct {
	mu       sync.Mutex
	inFlight int
	Stats
}

// Stats returns the counts since the start or the last [Org.ResetStats].
func (o *Org) Stats() Stats {
	o.stats.mu.Lock()
	defer o.stats.mu.Unlock()
	s := o.stats.Stats
	s.ByStatus, s.ByPath, s.Violations = maps.Clone(s.ByStatus), maps.Clone(s.ByPath), slices.Clone(s.Violations)
	if s.Violations == nil {
		s.Violations = []string{} // JSON: [] and not null
	}
	return s
}

// ResetStats sets all counts to 0.
func (o *Org) ResetStats() { o.stats.add(func(s *Stats) { *s = Stats{} }) }

// begin counts a request, and returns how many are in flight, with this one.
func (s *stats) begin(r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Requests++
	switch {
	case isTokenPath(r.URL.Path):
		s.Token++
	case isAPIRequest(r):
		s.API++
	}
	if s.ByPath == nil {
		s.ByPath = map[string]int{}
	}
	if len(s.ByPath) < maxPaths {
		pattern, _ := pathPattern(r.URL.Path)
		s.ByPath[pattern]++
	}
	s.inFlight++
	s.MaxInFlight = max(s.MaxInFlight, s.inFlight)
	return s.inFlight
}

func (s *stats) end() { s.add(func(*Stats) { s.inFlight-- }) }

func (s *stats) addStatus(status int) {
	s.add(func(s *Stats) {
		if s.ByStatus == nil {
			s.ByStatus = map[int]int{}
		}
		s.ByStatus[status]++
	})
}

func (s *stats) addViolation(violation string) {
	s.add(func(s *Stats) {
		switch {
		case len(s.Violations) < maxViolations:
			s.Violations = append(s.Violations, violation)
		case len(s.Violations) == maxViolations:
			s.Violations = append(s.Violations, "and more")
		}
	})
}

// add calls f with the counts, locked.
func (s *stats) add(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.Stats)
}
