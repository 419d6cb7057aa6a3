package reconcile_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile"
)

// problems flattens what Validate joins.
func problems(err error) []string {
	if err == nil {
		return nil
	}
	var list []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			list = append(list, problems(e)...)
		}
		return list
	}
	if fe := (*reconcile.FieldError)(nil); !errors.As(err, &fe) {
		return []string{"not a FieldError: " + err.Error()}
	}
	return []string{err.Error()}
}

func TestDefaultExportNeedsOnlyAName(t *testing.T) {
	e := reconcile.DefaultExport()
	if got, want := problems(e.Validate()), []string{"name: is missing"}; !slices.Equal(got, want) {
		t.Errorf("Validate() = %q, want %q", got, want)
	}
	e.Name = "all-users"
	if err := e.Validate(); err != nil {
		t.Errorf("Validate() = %v, want nil", err)
	}
}

func TestDefaultExportsShareNothing(t *testing.T) {
	a, b := reconcile.DefaultExport(), reconcile.DefaultExport()
	a.Formats[0] = "csv"
	a.Users.Changes.Ignore[0] = "status"
	if b.Formats[0] == "csv" || b.Users.Changes.Ignore[0] == "status" {
		t.Error("a change to one default export shows in another")
	}
}

func TestValidateNamesTheField(t *testing.T) {
	for _, test := range []struct {
		change func(*reconcile.Export)
		want   string
	}{
		{func(e *reconcile.Export) { e.Name = "All" }, `name: "All": a name has up to 63 small letters, digits and hyphens, and begins with a letter or digit`},
		{func(e *reconcile.Export) { e.Name = "../x" }, `name: "../x": a name has up to 63 small letters, digits and hyphens, and begins with a letter or digit`},
		{func(e *reconcile.Export) { e.TimeZone = "Mars/Olympus" }, `time_zone: unknown time zone "Mars/Olympus"; use an IANA name such as UTC or Europe/Berlin`},
		{func(e *reconcile.Export) { e.TimeZone = "Local" }, `time_zone: "Local" differs from machine to machine; use an IANA name such as UTC or Europe/Berlin`},
		{func(e *reconcile.Export) { e.TimeZone = "" }, `time_zone: is empty; use an IANA name such as UTC or Europe/Berlin`},
		{func(e *reconcile.Export) { e.Timeout = 0 }, `timeout: 0s is too short; use at least 1s`},
		{func(e *reconcile.Export) { e.Retry.Most = -1 }, `retry.most: -1 is not from 0 to 100`},
		{func(e *reconcile.Export) { e.Retry.FirstWait = 0 }, `retry.first_wait: 0s is too short; use at least 1s`},
		{func(e *reconcile.Export) { e.Users.Search = strings.Repeat("x", 2001) }, `users.search: has 2001 bytes; Okta accepts up to about 2000`},
		{func(e *reconcile.Export) { e.Users.Search = "a eq \"b\"\n" }, `users.search: contains a line break or another control character`},
		{func(e *reconcile.Export) { e.Snapshot = "never" }, `snapshot: "never" is neither always nor on_change`},
		{func(e *reconcile.Export) { e.Retain.Weekly = -1 }, `retain.weekly: -1 is negative`},
		{func(e *reconcile.Export) { e.Hold = []string{"latest"} }, `hold[0]: "latest" is not the name of a snapshot; one looks like 20261123T060000Z`},
		{func(e *reconcile.Export) { e.Hold = []string{"20261123T060000Z", "20261123T060000Z"} }, `hold[1]: "20261123T060000Z" is listed twice`},
		{func(e *reconcile.Export) { e.Formats = []string{"xlsx"} }, `formats[0]: unknown format "xlsx"; use ndjson or csv`},
	} {
		e := reconcile.DefaultExport()
		e.Name = "all-users"
		test.change(&e)
		if got := problems(e.Validate()); !slices.Equal(got, []string{test.want}) {
			t.Errorf("Validate()\n got %q\nwant %q", got, test.want)
		}
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	e := reconcile.DefaultExport()
	e.Timeout, e.Snapshot, e.Formats = 0, "", []string{"xml"}
	if got := problems(e.Validate()); len(got) != 4 {
		t.Errorf("Validate() = %q, want name, timeout, snapshot and formats", got)
	}
}

func TestLocationOfAnUnknownZoneIsUTC(t *testing.T) {
	if got := (reconcile.Export{TimeZone: "Mars/Olympus"}).Location(); got != time.UTC {
		t.Errorf("Location() = %v, want UTC", got)
	}
}
