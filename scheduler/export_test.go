package scheduler

import "time"

// SetNow gives s another wall clock.
func (s *Scheduler) SetNow(now func() time.Time) { s.now = now }
