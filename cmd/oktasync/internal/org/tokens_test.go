package org

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// Token requests and API requests of one read are converted to Okta's clock by
// the same offset.
func TestTranscriptHasOneClock(t *testing.T) {
	for _, ahead := range []time.Duration{14 * time.Minute, -14 * time.Minute} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			f := newFaulty(t, dir, 1)
			f.sandbox.SetClockOffset(ahead)
			began := time.Now().Add(ahead)
			s, err := f.reconcile()
			if err != nil {
				t.Fatal(err)
			}
			transcript, err := os.ReadFile(filepath.Join(s.Dir(), "requests.ndjson"))
			if err != nil {
				t.Fatal(err)
			}
			read := s.Manifest.Read
			if off := read.Started.Sub(began); off.Abs() > time.Second {
				t.Errorf("the start of the read differs by %v from Okta's clock", off)
			}
			var before time.Time
			methods := map[string]int{}
			for line := range bytes.Lines(transcript) {
				var r struct {
					Time   time.Time
					Method string
				}
				if err := json.Unmarshal(line, &r); err != nil {
					t.Fatal(err)
				}
				if r.Time.Before(before) || r.Time.Before(read.Started.Time) || r.Time.After(read.Finished.Time) {
					t.Errorf("%s: not in order, or not between %v and %v", line, read.Started, read.Finished)
				}
				before = r.Time
				methods[r.Method]++
			}
			if methods["POST"] == 0 || methods["GET"] == 0 {
				t.Errorf("requests by method = %v, want token and API requests", methods)
			}
		})
	}
}
