package sandbox

import (
	"maps"
	"net/http"
	"slices"
	"sync"
)

// Stats is what an org has seen. A violation is something that a correct client
// never does, whatever the org does to it: a proof or an assertion used twice, a
// proof for another URL, a token without its proof, a request that is no GET. A
// missing or stale nonce is none, nor is an expired or revoked token.
type Stats struct {
	Requests    int            `json:"requests"` // all but those to /sandbox/
	API         int            `json:"api"`
	Token       int            `json:"token"`
	Grants      int            `json:"grants"`
	Challenges  int            `json:"challenges"` // demands for a nonce
	RateLimited int            `json:"rate_limited"`
	TooMany     int            `json:"too_many"`      // refused for too many requests at once
	MaxInFlight int            `json:"max_in_flight"` // most requests at once
	Faults      int            `json:"faults"`        // injected faults that came to pass
	ByStatus    map[int]int    `json:"by_status"`
	ByPath      map[string]int `json:"by_path"` // "/api/v1/users/{id}" for all ids
	Violations  []string       `json:"violations"`
}

const maxViolations = 100 // that are kept; the last one says that there were more

type stats struct {
	mu     sync.Mutex
	flying int
	Stats
}

// Stats returns what the org has seen so far.
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

// ResetStats starts counting anew.
func (o *Org) ResetStats() {
	o.stats.mu.Lock()
	defer o.stats.mu.Unlock()
	o.stats.Stats = Stats{}
}

// enter counts a request, and returns how many are in flight with it.
func (s *stats) enter(r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Requests++
	path := r.URL.Path
	switch {
	case isToken(path):
		s.Token++
	case isAPI(r):
		s.API++
	}
	path, _ = pathPattern(path)
	if s.ByPath == nil {
		s.ByPath = map[string]int{}
	}
	if len(s.ByPath) < 1000 {
		s.ByPath[path]++
	}
	s.flying++
	s.MaxInFlight = max(s.MaxInFlight, s.flying)
	return s.flying
}

func (s *stats) leave() { s.add(func() { s.flying-- }) }

func (s *stats) answered(a *answer) {
	s.add(func() {
		if s.ByStatus == nil {
			s.ByStatus = map[int]int{}
		}
		s.ByStatus[a.status]++
	})
}

func (s *stats) granted()    { s.add(func() { s.Grants++ }) }
func (s *stats) challenged() { s.add(func() { s.Challenges++ }) }
func (s *stats) failed()     { s.add(func() { s.Faults++ }) }

func (s *stats) limited(tooMany bool) {
	s.add(func() {
		if tooMany {
			s.TooMany++
		} else {
			s.RateLimited++
		}
	})
}

func (s *stats) violate(what string) {
	s.add(func() {
		switch {
		case len(s.Violations) < maxViolations:
			s.Violations = append(s.Violations, what)
		case len(s.Violations) == maxViolations:
			s.Violations = append(s.Violations, "and more")
		}
	})
}

func (s *stats) add(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}
