package snapshot_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/canonjson"
)

func TestJournal(t *testing.T) {
	s := newStore(t)
	empty, err := s.Journal(staff)
	if err != nil || empty.Lines != 0 {
		t.Errorf("Journal() of an export without one = %+v, %v", empty, err)
	}
	snap := publish(t, s, day(1), people(2)...)
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	before := time.Now().Add(-time.Second)
	for _, e := range []snapshot.Event{
		{Event: snapshot.EventStarted},
		{Event: snapshot.EventFailed, Error: "okta: 503\x00" + strings.Repeat("ä", 5000) + "\xff", User: "timer"},
	} {
		if err := w.Journal(e); err != nil {
			t.Fatal(err)
		}
	}
	h, err := s.Journal(staff)
	if err != nil {
		t.Fatal(err)
	}
	if h.Lines != 5 || h.Torn || h.Damaged != 0 || h.Open.Event != "" {
		t.Errorf("Journal() = %+v", h)
	}
	if h.LastPublished.ManifestSHA256 != snap.Digest || h.LastPublished.User != "ops" {
		t.Errorf("LastPublished = %+v", h.LastPublished)
	}
	if h.LastStarted.Time.Before(before) || h.LastStarted.User != snapshot.ThisProcess("").User {
		t.Errorf("LastStarted = %+v", h.LastStarted)
	}
	if h.LastEnd.Event != snapshot.EventFailed || len(h.LastEnd.Error) > 5000 || h.LastEnd.User != "timer" {
		t.Errorf("LastEnd = %+v", h.LastEnd)
	}
	if problems, notes := findings(t, s); len(problems)+len(notes) > 0 {
		t.Errorf("Verify: %q %q", problems, notes)
	}
}

// A History has the last thirty ends, whatever stands between them.
func TestJournalRemembersTheLastEnds(t *testing.T) {
	s := newStore(t)
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range 33 {
		for _, e := range []snapshot.Event{{Event: snapshot.EventStarted}, {Event: snapshot.EventFailed, Error: strings.Repeat("x", i)}} {
			if err := w.Journal(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	h, err := s.Journal(staff)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(h.Recent); n != 30 || len(h.Recent[0].Error) != 3 || len(h.Recent[n-1].Error) != 32 {
		t.Errorf("Recent has %d, from %+v", n, h.Recent[0])
	}
}

// A failure after a reconcile that found nothing new takes nothing away from
// that success, however long ago the last snapshot was published.
func TestLastSuccess(t *testing.T) {
	s := newStore(t)
	publish(t, s, day(1), people(2)...)
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, event := range []string{snapshot.EventStarted, snapshot.EventUnchanged, snapshot.EventStarted, snapshot.EventFailed} {
		if err := w.Journal(snapshot.Event{Event: event}); err != nil {
			t.Fatal(err)
		}
	}
	if h, err := s.Journal(staff); err != nil || h.LastSuccess.Event != snapshot.EventUnchanged {
		t.Errorf("LastSuccess = %+v, %v, want the one that found nothing new", h.LastSuccess, err)
	}
}

// A line that a crash has torn is cut off by the next writer, which says so.
func TestTornLine(t *testing.T) {
	s := newStore(t)
	publish(t, s, day(1), people(2)...)
	path := filepath.Join(s.Dir(), staff, "journal.ndjson")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(whole)+`{"event":"star`)
	problems, notes := findings(t, s)
	want := "staff/journal.ndjson: unfinished publish: the last line is torn, the next run cuts it off"
	if len(problems) > 0 || !slices.Equal(notes, []string{want}) {
		t.Errorf("Verify: %q %q", problems, notes)
	}
	w, err := s.Writer(staff, snapshot.ThisProcess("test"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	mended, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	events := journalOf(t, s)
	last := events[len(events)-1]
	if !bytes.HasPrefix(mended, whole) || last.Event != snapshot.EventRepaired || last.Reason != "cut a torn line off" {
		t.Errorf("mended journal:\n%s", mended)
	}
}

// A damaged line in the past does not end the keeping of evidence.
func TestPublishAfterADamagedLine(t *testing.T) {
	s := newStore(t)
	publish(t, s, day(1), people(2)...)
	if err := edit(filepath.Join(s.Dir(), staff, "journal.ndjson"), `"started"`, `"started`); err != nil {
		t.Fatal(err)
	}
	publish(t, s, day(2), people(3)...)
	if h, err := s.Journal(staff); err != nil || h.Damaged != 1 || h.Lines != 6 {
		t.Errorf("Journal() = %+v, %v", h, err)
	}
	if problems, _ := findings(t, s); len(problems) != 1 {
		t.Errorf("Verify: %q", problems)
	}
}

// What ParseEvent accepts is what it writes.
func FuzzParseEvent(f *testing.F) {
	for _, seed := range []string{
		`{"event":"started","export":"staff","previous_line_sha256":null,"time":"2026-11-23T06:00:00.000Z","user":"ops"}` + "\n",
		`{"event":"failed","error":"okta: 503","export":"staff","previous_line_sha256":"00","time":"2026-11-23T06:00:00.000Z"}` + "\n",
		`{"event":"started"}` + "\n",
		"\n",
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

func TestParseEventFindsItsSeed(t *testing.T) {
	e, err := snapshot.ParseEvent([]byte(`{"event":"started","export":"staff","previous_line_sha256":null,"time":"2026-11-23T06:00:00.000Z","user":"ops"}` + "\n"))
	if err != nil || e.Event != snapshot.EventStarted || !e.Time.Equal(day(1)) {
		t.Errorf("ParseEvent() = %+v, %v", e, err)
	}
}
