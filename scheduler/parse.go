package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// A field is one of the five fields of a schedule.
type field struct {
	name     string
	min, max int
	names    []string // of the values from min
	hint     string
}

var fields = []field{
	{name: "minute", max: 59},
	{name: "hour", max: 23},
	{name: "day of the month", min: 1, max: 31},
	{name: "month", min: 1, max: 12, names: strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")},
	{name: "day of the week", max: 6, names: strings.Fields("sun mon tue wed thu fri sat"), hint: "; Sunday is 0"},
}

// Parse parses a schedule: five fields as in crontab(5), one of @hourly, @daily,
// @midnight, @weekly, @monthly, @yearly and @annually, or "@every 15m". The fields
// are wall-clock times in zone; nil means UTC.
//
// Parse rejects input that cron/v3 accepts with another meaning: a time zone before
// the fields (without fields, cron/v3 panics), a date that never occurs, an
// interval below a second, steps and lists without effect. If the day of the month
// or of the week begins with a star, both must match: "0 6 */2 * mon" means each
// Monday with an odd date.
func Parse(spec string, zone *time.Location) (Schedule, error) {
	if zone == nil {
		zone = time.UTC
	}
	spec = strings.TrimSpace(spec)
	switch {
	case spec == "":
		return nil, errors.New("a schedule is missing")
	case strings.HasPrefix(spec, "TZ=") || strings.HasPrefix(spec, "CRON_TZ="):
		return nil, errors.New("a schedule can't contain a time zone; it has its own setting")
	case strings.HasPrefix(spec, "@every"):
		return parseInterval(strings.TrimPrefix(spec, "@every"))
	case spec == "@reboot":
		return nil, errors.New("\"@reboot\" is not supported: the daemon makes up for a missed run when it starts")
	case strings.HasPrefix(spec, "@"):
		if !slices.Contains([]string{"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}, spec) {
			return nil, fmt.Errorf("%q is unknown; use @hourly, @daily, @weekly, @monthly, @yearly or \"@every 15m\"", spec)
		}
	default:
		if err := checkFields(spec); err != nil {
			return nil, err
		}
	}
	return parseCalendar(spec, zone)
}

func parseCalendar(spec string, zone *time.Location) (Schedule, error) {
	parsed, err := cron.ParseStandard(spec)
	wall, ok := parsed.(*cron.SpecSchedule)
	if err != nil || !ok {
		return nil, fmt.Errorf("%q is not a schedule: %v", spec, err)
	}
	wall.Location = time.UTC
	if days := strings.Fields(spec); len(days) == 5 {
		wall.Dom |= starred(days[2])
		wall.Dow |= starred(days[4])
	}
	const allHours = 1<<24 - 1
	c := &calendar{spec: wall, zone: zone, everyHour: wall.Hour&allHours == allHours}
	// Start before a leap year, so that 29 February occurs.
	if c.Next(time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("%q never occurs: there is no such date", spec)
	}
	return c, nil
}

// starred returns cron/v3's mark for a day field that begins with a star. If one
// day field has it, both must match, otherwise either (crontab(5)). cron/v3 doesn't
// set it for */2.
func starred(field string) uint64 {
	if field[0] == '*' {
		return 1 << 63
	}
	return 0
}

func parseInterval(text string) (Schedule, error) {
	d, err := time.ParseDuration(strings.TrimSpace(text))
	switch {
	case err != nil || !strings.HasPrefix(text, " "):
		return nil, fmt.Errorf("%q is not an interval such as \"@every 15m\" or \"@every 1h30m\"", "@every"+text)
	case d < time.Second:
		return nil, fmt.Errorf("%q is too short; the shortest is \"@every 1s\"", "@every"+text)
	case d%time.Second != 0:
		return nil, fmt.Errorf("%q contains a fraction of a second; use whole seconds", "@every"+text)
	}
	return interval{ConstantDelaySchedule: cron.Every(d)}, nil
}

func checkFields(spec string) error {
	values := strings.Fields(spec)
	switch n := len(values); {
	case n == 6 || n == 7:
		return fmt.Errorf("%q has %d fields; five are expected, from the minute to the day of the week, without seconds and years", spec, n)
	case n != 5:
		return fmt.Errorf("%q is not a schedule: five fields are expected (minute, hour, day of the month, month, day of the week), such as \"0 6 * * *\", or @daily or \"@every 15m\"", spec)
	}
	for i, f := range fields {
		for item := range strings.SplitSeq(values[i], ",") {
			if err := f.check(item); err != nil {
				return fmt.Errorf("%s %q: %w", f.name, values[i], err)
			}
		}
	}
	return nil
}

// check checks one item of a list: *, 5, 5-10, */5, 5/5 or 5-10/5.
func (f field) check(item string) error {
	if item == "" {
		return errors.New("a list contains an empty item")
	}
	values, step, stepped := strings.Cut(item, "/")
	if stepped {
		n, err := number(step)
		if err != nil || n < 1 || n > f.max {
			return fmt.Errorf("the step must be from 1 to %d, not %q", f.max, step)
		}
	}
	if values == "*" || values == "?" {
		return nil
	}
	first, last, ranged := strings.Cut(values, "-")
	from, err := f.value(first)
	if err != nil || !ranged {
		return err
	}
	to, err := f.value(last)
	if err == nil && to < from {
		err = fmt.Errorf("%q ends before it begins", values)
	}
	return err
}

func (f field) value(text string) (int, error) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return f.min + i, nil
	}
	n, err := number(text)
	if err != nil || n < f.min || n > f.max {
		return 0, fmt.Errorf("%q is not from %d to %d%s", text, f.min, f.max, f.hint)
	}
	return n, nil
}

// number parses digits only; strconv.Atoi would accept a sign.
func number(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err
}
