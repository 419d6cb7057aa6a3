package scheduler

import (
	"reflect"
	"time"

	"github.com/robfig/cron/v3"
)

// A Schedule says when a job is due.
type Schedule interface {
	// Next returns the first due time after t, or zero where none ever comes.
	Next(t time.Time) time.Time
}

// interval is "@every d": due times count from the last start, on whole seconds.
type interval struct{ cron.ConstantDelaySchedule }

func isInterval(s Schedule) bool {
	_, ok := s.(interval)
	return ok
}

// same reports whether two schedules give the same times. Zones go by their
// names: two readings of one zone differ in what they cache.
func same(a, b Schedule) bool {
	x, isX := a.(*calendar)
	y, isY := b.(*calendar)
	if isX && isY {
		return *x.spec == *y.spec && x.zone.String() == y.zone.String()
	}
	return reflect.DeepEqual(a, b)
}

// calendar is a schedule in a time zone's wall-clock time.
//
// cron/v3 steps through instants, so that it skips 02:30 on the day that has
// none and gives it twice on the day that has two. Here it is only asked about
// wall-clock times, in UTC where every day is alike, and calendar finds their
// instants from the spans of time in which the zone's offset is constant.
type calendar struct {
	spec *cron.SpecSchedule // in UTC, standing for the wall clock
	zone *time.Location
	// everyHour: the schedule names no hours, and so means a pace.
	everyHour bool
}

// Next returns the first due time after t. Where the schedule names hours, each
// wall-clock time is met once: one that the clocks skip at the first instant
// after the gap, one that comes twice the first time. Where it names none, every
// instant at which the wall clock shows a due time counts, so that
// "*/15 * * * *" keeps its pace through both.
func (c *calendar) Next(t time.Time) time.Time {
	span := spanOf(t, c.zone)
	from := span.wall(t)
	if !c.everyHour && !span.start.IsZero() {
		// In an hour that comes a second time, the wall clock has already
		// shown what lies before the moment at which it was set back.
		shown := spanOf(span.start.Add(-1), c.zone).wall(span.start)
		if shown.After(from) {
			from = shown.Add(-1)
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

// span is a stretch of time, from start up to end, in which a zone has one
// offset from UTC. A zero start or end means that there is none.
type span struct {
	start, end time.Time
	offset     time.Duration
}

// spanOf returns the span that t lies in. The bounds that Go has of a zone are
// good near a change of its offset only: where the zone goes by a rule, which is
// after the last change of its table, they also part one year from the next, in
// a leap year a day early. So they are followed to where the offset changes, or
// to where nobody looks: cron/v3 gives up five years ahead.
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
			s.end = last.Add(time.Hour) // on the last day of a leap year
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

// wall returns what a wall clock shows at t, as a time in UTC.
func (s span) wall(t time.Time) time.Time { return t.UTC().Add(s.offset) }

// instant returns when a wall clock shows what wall returned.
func (s span) instant(wall time.Time) time.Time { return wall.Add(-s.offset) }
