package report

import (
	"fmt"
	"time"

	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

const day = "2 January 2006"

// text returns a time for people.
func (o *Options) text(t time.Time) string {
	return t.In(o.Zone).Format(day+" 15:04:05") + " (" + o.Zone.String() + ")"
}

// Distance returns a duration in days, or in hours, minutes and seconds.
func Distance(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= time.Minute:
		return term.Duration(d.Round(time.Minute))
	}
	return term.Duration(d.Round(time.Second))
}

func toolText(t snapshot.Tool) string { return t.Name + " " + t.Version + ", commit " + t.Commit }
