package snapshot_test

import (
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

func TestJournal(t *testing.T) {
	s := storetest.New(t)
	history := func() snapshot.History {
		t.Helper()
		h, err := s.Journal(staff)
		storetest.Must(t, err)
		return h
	}
	if h := history(); h.Lines != 0 {
		t.Errorf("Journal() of an export without one = %+v", h)
	}
	snap := storetest.Publish(t, s, storetest.Day(1), storetest.People(2)...)
	w := storetest.Writer(t, s)
	before := time.Now().Add(-time.Second)
	storetest.Must(t, w.Journal(snapshot.Event{Event: snapshot.EventStarted}), w.Journal(snapshot.Event{Event: snapshot.EventUnchanged}),
		w.Journal(snapshot.Event{Event: snapshot.EventStarted}),
		w.Journal(snapshot.Event{Event: snapshot.EventFailed, Error: "okta: 503\x00" + strings.Repeat("ä", 5000) + "\xff", User: "timer"}))
	h := history()
	if h.Lines != 6 || h.Damaged != 0 {
		t.Errorf("Journal() = %+v", h)
	}
	if h.LastPublished.ManifestSHA256 != snap.Digest || h.LastPublished.User != "ops" {
		t.Errorf("LastPublished = %+v", h.LastPublished)
	}
	if h.LastSuccess.Event != snapshot.EventUnchanged {
		t.Errorf("LastSuccess = %+v", h.LastSuccess)
	}
	if h.LastStarted.Time.Before(before) || h.LastStarted.User != snapshot.ThisProcess("").User {
		t.Errorf("LastStarted = %+v", h.LastStarted)
	}
	if h.LastEnd.Event != snapshot.EventFailed || len(h.LastEnd.Error) > 5000 || h.LastEnd.User != "timer" {
		t.Errorf("LastEnd = %+v", h.LastEnd)
	}
	storetest.CheckOK(t, s)

	for i := range 33 {
		storetest.Must(t, w.Journal(snapshot.Event{Event: snapshot.EventStarted}),
			w.Journal(snapshot.Event{Event: snapshot.EventFailed, Error: strings.Repeat("x", i)}))
	}
	recent := history().Recent
	if n := len(recent); n != 30 || len(recent[0].Error) != 3 || len(recent[n-1].Error) != 32 {
		t.Errorf("Recent has %d events, the first is %+v", n, recent[0])
	}
}

// FuzzParseEvent checks that an accepted event is written as the same bytes.
func FuzzParseEvent(f *testing.F) {
	const valid = `{"event":"started","export":"staff","previous_line_sha256":null,"time":"2026-11-23T06:00:00.000Z","user":"ops"}` + "\n"
	e, err := snapshot.ParseEvent([]byte(valid))
	if err != nil || e.Event != snapshot.EventStarted || !e.Time.Equal(storetest.Day(1)) {
		f.Errorf("ParseEvent() = %+v, %v", e, err)
	}
	for _, seed := range []string{
		valid, `{"event":"started"}` + "\n", "\n",
		`{"event":"failed","error":"okta: 503","export":"staff","previous_line_sha256":"00","time":"2026-11-23T06:00:00.000Z"}` + "\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := snapshot.ParseEvent(line)
		if err != nil {
			return
		}
		again, err := canonjson.Marshal(e)
		if err != nil || string(again)+"\n" != string(line) {
			t.Errorf("ParseEvent(%q) is written as %q, %v", line, again, err)
		}
	})
}
