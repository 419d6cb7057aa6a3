package main

import (
	"testing"
	"time"

	"oktasync/reconcile/snapshot"
)

// What was cancelled is made up at the next start, what was killed is not.
func TestLastMet(t *testing.T) {
	at := func(event string, hour int) snapshot.Event {
		return snapshot.Event{Event: event, Time: snapshot.At(time.Date(2026, 11, 23, hour, 0, 0, 0, time.UTC))}
	}
	started, published, cancelled, failed := snapshot.EventStarted, snapshot.EventPublished, snapshot.EventCancelled, snapshot.EventFailed
	for _, test := range []struct {
		name    string
		history snapshot.History
		want    time.Time
	}{
		{"never started", snapshot.History{}, time.Time{}},
		{"done", snapshot.History{LastStarted: at(started, 6), LastEnd: at(published, 7), LastDone: at(published, 7)}, at("", 6).Time.Time},
		{"failed", snapshot.History{LastStarted: at(started, 6), LastEnd: at(failed, 7), LastDone: at(failed, 7)}, at("", 6).Time.Time},
		{"killed after a failed one", snapshot.History{LastStarted: at(started, 8), LastEnd: at(failed, 7), LastDone: at(failed, 7)}, at("", 8).Time.Time},
		{"cancelled", snapshot.History{LastStarted: at(started, 6), LastEnd: at(cancelled, 7), LastDone: at(published, 1), Undone: at(started, 6)}, at("", 1).Time.Time},
		{"cancelled at the first try", snapshot.History{LastStarted: at(started, 6), LastEnd: at(cancelled, 7), Undone: at(started, 6)}, at("", 6).Time.Add(-time.Second)},
		{"killed", snapshot.History{LastStarted: at(started, 6), LastEnd: at(published, 2), LastDone: at(published, 2), Undone: at(started, 6)}, at("", 6).Time.Time},
		{"killed after a cancelled one", snapshot.History{LastStarted: at(started, 6), LastEnd: at(cancelled, 5), LastDone: at(published, 2), Undone: at(started, 4)}, at("", 6).Time.Time},
	} {
		if got := lastFailed(test.history); got.IsZero() == (test.name == "failed") {
			t.Errorf("%s: last failed = %s", test.name, got)
		}
		if got := lastMet(test.history); !got.Equal(test.want) {
			t.Errorf("%s: last met = %s, want %s", test.name, got, test.want)
		}
	}
}
