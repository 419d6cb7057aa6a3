package oktaclient

import (
	"slices"
	"time"
)

// span is a range of lastUpdated: from and later, before to. Okta's times have
// milliseconds and so have those of a span.
type span struct{ from, to time.Time } // to zero: no end

// always is the span of every user, in parts of which an org is read.
var always = span{from: time.Unix(0, 0).UTC()}

// timeLayout is how Okta writes dates. Texts of it sort as their times.
const timeLayout = "2006-01-02T15:04:05.000Z"

// String is the span as filter and search know it.
func (s span) String() string {
	text := `lastUpdated ge "` + s.from.UTC().Format(timeLayout) + `"`
	if !s.to.IsZero() {
		text += ` and lastUpdated lt "` + s.to.UTC().Format(timeLayout) + `"`
	}
	return text
}

// of returns l with only the users of the span.
func (s span) of(l listing) listing {
	if l.search != "" {
		l.search = s.String() + " and (" + l.search + ")"
	} else {
		l.filter = s.String()
	}
	return l
}

// cut cuts s at borders, in order; those that are not inside of s don't count.
func (s span) cut(borders []time.Time) []span {
	var parts []span
	for _, b := range borders {
		b = b.Truncate(time.Millisecond)
		if b.After(s.from) && (s.to.IsZero() || b.Before(s.to)) {
			parts = append(parts, span{s.from, b})
			s.from = b
		}
	}
	return append(parts, s)
}

// halve cuts s in its middle; false if it is too short, or about to begin.
func (s span) halve(now time.Time) ([]span, bool) {
	to := s.to
	if to.IsZero() {
		to = now
	}
	parts := s.cut([]time.Time{s.from.Add(to.Sub(s.from) / 2)})
	return parts, len(parts) == 2
}

// quantiles returns where to cut a set of users into n parts of as many each,
// by the lastUpdated of some of them, as far as those differ. It sorts updated.
func quantiles(updated []string, n int) (borders []time.Time) {
	if len(updated) == 0 {
		return nil
	}
	slices.Sort(updated)
	for i := 1; i < n; i++ {
		if t, err := time.Parse(timeLayout, updated[i*len(updated)/n]); err == nil {
			borders = append(borders, t)
		}
	}
	return borders
}
