package scheduler_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"oktasync/scheduler"
)

// A cronField contains the values that match a field (crontab(5)), and whether the
// field begins with a star.
type cronField struct {
	match [60]bool
	star  bool
}

func parseField(text string, least, most int, names string) (f cronField) {
	value := func(s string) int {
		if i := slices.Index(strings.Fields(names), strings.ToLower(s)); i >= 0 {
			return least + i
		}
		n, _ := strconv.Atoi(s)
		return n
	}
	f.star = text[0] == '*' || text[0] == '?'
	for item := range strings.SplitSeq(text, ",") {
		span, by, stepped := strings.Cut(item, "/")
		step := 1
		if stepped {
			step, _ = strconv.Atoi(by)
		}
		first, last, ranged := strings.Cut(span, "-")
		from, to := least, most
		if first != "*" && first != "?" {
			from = value(first)
			if to = from; ranged {
				to = value(last)
			} else if stepped {
				to = most
			}
		}
		for n := from; n <= to; n += step {
			f.match[n] = true
		}
	}
	return f
}

// dueByTheMinute is a slow second implementation of Next: it checks every minute.
// A schedule with fixed hours is due when the latest wall-clock time shown so far
// reaches or passes a matching time. Any other schedule is due when the wall clock
// shows a matching time.
func dueByTheMinute(spec string, zone *time.Location, from, to time.Time) (due []time.Time) {
	fields := strings.Fields(spec)
	minute, hour := parseField(fields[0], 0, 59, ""), parseField(fields[1], 0, 23, "")
	day, weekday := parseField(fields[2], 1, 31, ""), parseField(fields[4], 0, 6, "sun mon tue wed thu fri sat")
	month := parseField(fields[3], 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec")
	matches := func(wall time.Time) bool {
		d, w := day.match[wall.Day()], weekday.match[wall.Weekday()]
		either := d && w
		if !day.star && !weekday.star {
			either = d || w
		}
		return minute.match[wall.Minute()] && hour.match[wall.Hour()] && month.match[wall.Month()] && either
	}
	everyHour := !slices.Contains(hour.match[:24], false)
	wallOf := func(t time.Time) time.Time {
		_, offset := t.In(zone).Zone()
		return t.UTC().Add(time.Duration(offset) * time.Second)
	}
	before := from.Add(-48 * time.Hour)
	for latest := wallOf(before); before.Before(to); before = before.Add(time.Minute) {
		now := before.Add(time.Minute)
		wall, is := wallOf(now), false
		for ; !everyHour && latest.Before(wall); is = is || matches(latest) {
			latest = latest.Add(time.Minute)
		}
		if is = is || everyHour && matches(wall); is && now.After(from) && now.Before(to) {
			due = append(due, now.UTC())
		}
	}
	return due
}

func TestNextAgreesWithEveryMinute(t *testing.T) {
	zones := strings.Fields(`UTC Europe/Berlin America/New_York Australia/Lord_Howe Antarctica/Troll
		Africa/Casablanca Asia/Gaza America/Santiago Atlantic/Azores Asia/Kathmandu`)
	pick := func(r *rand.Rand, of string) string { words := strings.Fields(of); return words[r.IntN(len(words))] }
	tries := 20
	if os.Getenv("OKTASYNC_LONG_TESTS") != "" {
		tries = 200
	}
	for seed := range uint64(tries) {
		r := rand.New(rand.NewPCG(seed, 7))
		spec := strings.Join([]string{
			pick(r, "0 30 59 */15 1-5 0,30 7/20 *"), pick(r, "* 0 1 2 3 23 */2 0-23 1,2,3 2-4/2 */7 0,*"), pick(r, "* * * 1 31 29 */2 1-7 ? 13"),
			pick(r, "* * * 2 feb 3,10 */3 mar-apr oct 12"), pick(r, "* * * 0 mon sun-tue sat,6 1-5 ?"),
		}, " ")
		loc := zone(t, pick(r, strings.Join(zones, " ")))
		s, err := scheduler.Parse(spec, loc)
		if err != nil {
			continue // the date never occurs
		}
		from := time.Date(2010+r.IntN(30), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), 0, 0, time.UTC)
		if seed == 0 {
			spec, loc, from = "30 2 * * *", zone(t, "Pacific/Apia"), time.Date(2011, 12, 20, 0, 0, 0, 0, time.UTC)
			s, _ = scheduler.Parse(spec, loc)
		}
		if seed == 1 { // the end of a leap year after all zone tables
			from = time.Date(2040, 12, 1, 0, 0, 0, 0, time.UTC)
		}
		to := from.AddDate(0, 0, 90)
		var got []time.Time
		for at := s.Next(from); !at.IsZero() && at.Before(to); at = s.Next(at) {
			if len(got) > 0 && !at.After(got[len(got)-1]) {
				t.Fatalf("%q in %s: the time after %s is %s", spec, loc, got[len(got)-1], at.UTC())
			}
			got = append(got, at.UTC())
		}
		want := dueByTheMinute(spec, loc, from, to)
		if !slices.Equal(got, want) {
			i := 0
			for i < min(len(got), len(want)) && got[i].Equal(want[i]) {
				i++
			}
			t.Errorf("%q in %s from %s: %d times, want %d; the first difference is %v, want %v", spec, loc, from, len(got), len(want), got[i:min(i+1, len(got))], want[i:min(i+1, len(want))])
		}
	}
}
