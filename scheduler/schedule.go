package scheduler

import (
	"reflect"
	"time"

	"github.com/robfig/cron/v3"
)

// A Schedule computes the due times of a job.
type Schedule interface {
	// Next returns the first due time after t, or zero if there is none.
	Next(t time.Time) time.Time
}

// An interval is "@every d": due times count from the last start, in whole seconds.
type interval struct {
	cron.ConstantDelaySchedule
	firstDelay time.Duration // of the first start
}

// Delayed returns s with each due time later by delay. For an interval, only the first
// start is later, because its other due times count from the last start.
func Delayed(s Schedule, delay time.Duration) Schedule {
	switch s := s.(type) {
	case interval:
		s.firstDelay = delay
		return s
	case *calendar:
		delayed := *s
		delayed.delay = delay
		return &delayed
	}
	return s
}

// same reports whether two schedules have the same due times. Time zones are
// compared by name, because their values contain caches.
func same(a, b Schedule) bool {
	x, isX := a.(*calendar)
	y, isY := b.(*calendar)
	if isX && isY {
		return x.delay == y.delay && *x.spec == *y.spec && x.zone.String() == y.zone.String()
	}
	return reflect.DeepEqual(a, b)
}

// A calendar is a schedule in the wall-clock time of a time zone.
//
// When the clocks change, cron/v3 skips 02:30 on a day without it, and returns it
// twice on a day with two. Therefore calendar uses cron/v3 only for wall-clock
// times, expressed in UTC, and converts them to instants by the spans in which the
// zone's offset from UTC is constant.
type calendar struct {
	spec *cron.SpecSchedule // of wall-clock times, as if in UTC
	zone *time.Location
	// everyHour is set if the schedule has no fixed hours, such as "*/15 * * * *".
	everyHour bool
	delay     time.Duration // of each due time
}

// Next returns the first due time after t.
func (c *calendar) Next(t time.Time) time.Time {
	next := c.next(t.Add(-c.delay))
	if next.IsZero() {
		return next
	}
	return next.Add(c.delay)
}

// next returns the first due time after t, without the delay. A schedule with fixed hours is due once
// for each wall-clock time: a skipped time at the first instant after the gap, a
// repeated time at its first occurrence. A schedule without fixed hours is due at
// every instant at which the wall clock shows a due time, so that "*/15 * * * *"
// keeps its interval.
func (c *calendar) next(t time.Time) time.Time {
	span := spanOf(t, c.zone)
	from := span.wall(t)
	if !c.everyHour && !span.start.IsZero() {
		// In a repeated hour, the wall clock has already shown all times before the
		// change.
		latest := spanOf(span.start.Add(-1), c.zone).wall(span.start)
		if latest.After(from) {
			from = latest.Add(-1)
		}
	}
	wall := c.spec.Next(from)
	for !wall.IsZero() {
		at := span.instant(wall)
		if at.Before(span.start) { // in the gap before this span
			return span.start.In(t.Location())
		}
		if span.end.IsZero() || at.Before(span.end) {
			return at.In(t.Location())
		}
		span = spanOf(span.end, c.zone)
		if c.everyHour {
			wall = c.spec.Next(span.wall(span.start).Add(-1))
		}
	}
	return time.Time{}
}

// A span is the time from start up to end in which a zone has one offset from UTC.
// A zero start or end means unbounded.
type span struct {
	start, end time.Time
	offset     time.Duration
}

// spanOf returns the span that contains t. Go's ZoneBounds also returns bounds
// without a change of the offset: after the last entry of a zone's table, at the
// end of each year, in a leap year one day early. Therefore spanOf merges adjacent
// bounds with the same offset, up to six years from t. cron/v3 searches five years.
func spanOf(t time.Time, zone *time.Location) span {
	s := boundsOf(t, zone)
	for s.start.After(t.AddDate(-6, 0, 0)) {
		before := boundsOf(s.start.Add(-1), zone)
		if before.offset != s.offset {
			break
		}
		s.start = before.start
	}
	for last := t; !s.end.IsZero() && s.end.Before(t.AddDate(6, 0, 0)); {
		if !s.end.After(last) {
			s.end = last.Add(time.Hour) // end is before t on the last day of a leap year
		}
		after := boundsOf(s.end, zone)
		if after.offset != s.offset {
			break
		}
		last, s.end = s.end, after.end
	}
	return s
}

func boundsOf(t time.Time, zone *time.Location) span {
	t = t.In(zone)
	start, end := t.ZoneBounds()
	_, offset := t.Zone()
	return span{start, end, time.Duration(offset) * time.Second}
}

// wall returns the wall-clock time at t, expressed in UTC.
func (s span) wall(t time.Time) time.Time { return t.UTC().Add(s.offset) }

// instant is the inverse of wall.
func (s span) instant(wall time.Time) time.Time { return wall.Add(-s.offset) }
