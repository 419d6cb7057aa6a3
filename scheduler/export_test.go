package scheduler

import "time"

// SetNow replaces the wall clock of s.
func (s *Scheduler) SetNow(now func() time.Time) { s.now = now }
