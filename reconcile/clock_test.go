package reconcile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A snapshot has Okta's times: the local ones and the offset of its read.
func TestTimesAreOktas(t *testing.T) {
	f := newFixture(t, people(0, 5)...)
	f.org.ahead = 30 * time.Minute
	before := time.Now()
	s := f.publish()
	read := s.Manifest.Read
	if off := read.Started.Sub(before.Add(f.org.ahead)); off.Abs() > time.Minute || read.Finished.Before(read.Started.Time) || read.ClockOffsetMS != -f.org.ahead.Milliseconds() {
		t.Errorf("read = %+v, want times 30 minutes after %v", read, before)
	}
	transcript, err := os.ReadFile(filepath.Join(s.Dir(), "requests.ndjson"))
	if want := read.Started.Format("2006-01-02T15:04:05.000Z"); err != nil || !strings.Contains(string(transcript), want) {
		t.Errorf("transcript = %s, %v; want the request at %s", transcript, err, want)
	}
}
