package scheduler_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"oktasync/scheduler"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ spec, want string }{
		{"", `a schedule is missing`},
		{"TZ=UTC", `a schedule can't contain a time zone; it has its own setting`},
		{"CRON_TZ=UTC 0 6 * * *", `a schedule can't contain a time zone; it has its own setting`},
		{"0 0 30 2 *", `"0 0 30 2 *" never occurs: there is no such date`},
		{"0 0 31 4,6,9,11 *", `"0 0 31 4,6,9,11 *" never occurs: there is no such date`},
		{"@every -5s", `"@every -5s" is too short; the shortest is "@every 1s"`},
		{"@every 0s", `"@every 0s" is too short; the shortest is "@every 1s"`},
		{"@every 900ms", `"@every 900ms" is too short; the shortest is "@every 1s"`},
		{"@every 1500ms", `"@every 1500ms" contains a fraction of a second; use whole seconds`},
		{"@every day", `"@every day" is not an interval such as "@every 15m" or "@every 1h30m"`},
		{"@every15m", `"@every15m" is not an interval such as "@every 15m" or "@every 1h30m"`},
		{"@every", `"@every" is not an interval such as "@every 15m" or "@every 1h30m"`},
		{"@reboot", `"@reboot" is not supported: the daemon makes up for a missed run when it starts`},
		{"@dayly", `"@dayly" is unknown; use @hourly, @daily, @weekly, @monthly, @yearly or "@every 15m"`},
		{"0 0 6 * * *", `"0 0 6 * * *" has 6 fields; five are expected, from the minute to the day of the week, without seconds and years`},
		{"0 6 * *", `"0 6 * *" is not a schedule: five fields are expected (minute, hour, day of the month, month, day of the week), such as "0 6 * * *", or @daily or "@every 15m"`},
		{"60 6 * * *", `minute "60": "60" is not from 0 to 59`},
		{"0 24 * * *", `hour "24": "24" is not from 0 to 23`},
		{"0 6 0 * *", `day of the month "0": "0" is not from 1 to 31`},
		{"0 6 L * *", `day of the month "L": "L" is not from 1 to 31`},
		{"0 6 * january *", `month "january": "january" is not from 1 to 12`},
		{"0 6 * * 7", `day of the week "7": "7" is not from 0 to 6; Sunday is 0`},
		{"0 18-6 * * *", `hour "18-6": "18-6" ends before it begins`},
		{"0 6,,18 * * *", `hour "6,,18": a list contains an empty item`},
		{"0 6, * * *", `hour "6,": a list contains an empty item`},
		{"*/90 * * * *", `minute "*/90": the step must be from 1 to 59, not "90"`},
		{"*/0 * * * *", `minute "*/0": the step must be from 1 to 59, not "0"`},
		{"+5 * * * *", `minute "+5": "+5" is not from 0 to 59`},
		{"*-5 * * * *", `minute "*-5": "*" is not from 0 to 59`},
		{"1-2-3 * * * *", `minute "1-2-3": "2-3" is not from 0 to 59`},
	} {
		_, err := scheduler.Parse(test.spec, time.UTC)
		if err == nil {
			t.Errorf("Parse(%q) = nil, want %q", test.spec, test.want)
		} else if err.Error() != test.want {
			t.Errorf("Parse(%q)\n got %s\nwant %s", test.spec, err, test.want)
		}
	}
}

// next returns the first n due times after from, in loc.
func next(t *testing.T, spec string, loc *time.Location, from string, n int) []string {
	t.Helper()
	s, err := scheduler.Parse(spec, loc)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, from)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range n {
		at = s.Next(at)
		got = append(got, at.In(loc).Format("2006-01-02T15:04Z07:00"))
	}
	return got
}

func TestNext(t *testing.T) {
	for _, test := range []struct {
		what, spec, zone, from string
		want                   []string
	}{
		{"spring: a skipped time", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"}},
		{"spring: several skipped times", "*/10 2 * * *", "Europe/Berlin", "2026-03-29T00:55:00Z",
			[]string{"2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"}},
		{"spring: the hour after the gap", "0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T03:00+02:00", "2026-03-30T03:00+02:00"}},
		{"spring: no fixed hour", "*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z",
			[]string{"2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"}},
		{"autumn: a repeated time", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"}},
		{"autumn: after the repetition has begun", "45 2 * * *", "Europe/Berlin", "2026-10-25T01:30:00Z",
			[]string{"2026-10-26T02:45+01:00"}},
		{"autumn: the instant of the change", "0 3 * * *", "Europe/Berlin", "2026-10-25T01:00:00Z",
			[]string{"2026-10-25T03:00+01:00"}},
		{"autumn: no fixed hour", "*/30 * * * *", "Europe/Berlin", "2026-10-25T00:15:00Z",
			[]string{"2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00", "2026-10-25T03:00+01:00"}},
		{"a zone that skips midnight", "0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z",
			[]string{"2018-11-04T01:00-02:00", "2018-11-05T00:00-02:00"}},
		{"no fixed hour in a zone that skips midnight", "0 * 4 11 *", "America/Sao_Paulo", "2018-11-03T12:00:00Z",
			[]string{"2018-11-04T01:00-02:00", "2018-11-04T02:00-02:00"}},
		{"a zone that changes by half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
			[]string{"2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"}},
		{"a zone that skipped a day", "0 6 * * *", "Pacific/Apia", "2011-12-29T20:00:00Z",
			[]string{"2011-12-31T00:00+14:00", "2011-12-31T06:00+14:00"}},
		{"the last day of a leap year, after the zone's table", "*/30 * * * *", "Europe/Berlin", "2040-12-31T22:15:00Z",
			[]string{"2040-12-31T23:30+01:00", "2041-01-01T00:00+01:00", "2041-01-01T00:30+01:00"}},
		{"no fixed hour on some days, after the zone's table", "30 * 1-7 1 mon", "Europe/Berlin", "2040-12-31T21:31:00Z",
			[]string{"2041-01-01T00:30+01:00", "2041-01-01T01:30+01:00"}},
		{"a fixed hour, after the zone's table", "30 0 * * *", "Europe/Berlin", "2040-12-30T12:00:00Z",
			[]string{"2040-12-31T00:30+01:00", "2041-01-01T00:30+01:00"}},
		{"29 February", "0 6 29 2 *", "UTC", "2026-01-01T00:00:00Z", []string{"2028-02-29T06:00Z"}},
		{"names and lists", "0 6,18 * mar-apr MON", "UTC", "2026-03-01T00:00:00Z",
			[]string{"2026-03-02T06:00Z", "2026-03-02T18:00Z", "2026-03-09T06:00Z"}},
		{"@weekly is Sunday at midnight", "@weekly", "Europe/Berlin", "2026-06-03T00:00:00Z", []string{"2026-06-07T00:00+02:00"}},
		{"@every counts from the argument", "@every 1h30m", "UTC", "2026-03-01T00:07:00Z",
			[]string{"2026-03-01T01:37Z", "2026-03-01T03:07Z"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			got := next(t, test.spec, zone(t, test.zone), test.from, len(test.want))
			if !slices.Equal(got, test.want) {
				t.Errorf("%s in %s after %s\n got %v\nwant %v", test.spec, test.zone, test.from, got, test.want)
			}
		})
	}
}

// A fixed daily time occurs once on each day of seven years, in zones with different
// rules.
func TestFixedTimeIsDueOnceADay(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe",
		"Africa/Casablanca", "Asia/Tehran", "America/Santiago", "Africa/Cairo", "Asia/Kathmandu"} {
		loc := zone(t, name)
		for _, spec := range []string{"0 0 * * *", "30 0 * * *", "30 1 * * *", "30 2 * * *", "0 3 * * *", "59 23 * * *"} {
			s, err := scheduler.Parse(spec, loc)
			if err != nil {
				t.Fatal(err)
			}
			day := time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)
			at := time.Date(2016, 1, 1, 0, 0, 0, 0, loc).Add(-time.Second)
			for range 7 * 365 {
				at = s.Next(at).In(loc)
				if want := day.Format(time.DateOnly); at.Format(time.DateOnly) != want {
					t.Fatalf("%s in %s: due at %v, want a time on %s", spec, name, at, want)
				}
				day = day.AddDate(0, 0, 1)
			}
		}
	}
}

// FuzzParse checks that an accepted schedule has due times in ascending order, and
// that an error is one line.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"0 6 * * *", "*/15 9-17 * * mon-fri", "@daily", "@every 15m", "TZ=UTC", "0 0 30 2 *", "0 0 29 2 1", "5/7 * * * *"} {
		f.Add(seed)
	}
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		loc = time.UTC
	}
	f.Fuzz(func(t *testing.T, spec string) {
		s, err := scheduler.Parse(spec, loc)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("Parse(%q): error of several lines: %q", spec, err)
			}
			return
		}
		at := time.Date(2026, 3, 28, 12, 0, 0, 1, time.UTC)
		for range 5 {
			next := s.Next(at)
			if !next.After(at) {
				t.Fatalf("Parse(%q).Next(%v) = %v", spec, at, next)
			}
			at = next
		}
	})
}
