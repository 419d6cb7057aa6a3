package snapshot_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

func TestQuarantine(t *testing.T) {
	s := storetest.New(t)
	s.SetClock(func() time.Time { return storetest.Day(6) })
	snap := storetest.Publish(t, s, storetest.Day(1), storetest.People(20)...)
	for _, n := range []int{1, 2, 3, 4, 5, 5, 2} { // at last the clock stands still, and is set back
		storetest.Must(t, storetest.Quarantine(t, s, n))
	}
	list, err := s.Quarantined(staff)
	storetest.Must(t, err)
	var names []string
	for _, q := range list {
		names = append(names, q.Name())
	}
	want := []string{"20261123T060001Z", "20261124T060000Z", "20261125T060000Z", "20261126T060000Z", "20261127T060000Z", "20261127T060001Z", "20261127T060002Z"}
	if !slices.Equal(names, want) {
		t.Errorf("Quarantined() = %v, want %v", names, want)
	}
	q := list[4]
	users, err := q.Records(snapshot.Users)
	storetest.Must(t, err)
	defer users.Close()
	if first, err := users.Next(); err != nil || string(first.Key) != "00u0001" {
		t.Errorf("first user = %s, %v", first.Key, err)
	}
	if q.Reason != "too few users" || q.Previous.ManifestSHA256 != snap.Digest || q.Resources["users"].Removed != 15 || q.Read.Requests != 17 {
		t.Errorf("quarantined read = %+v", q)
	}
	if _, err := os.Stat(filepath.Join(q.Dir(), "requests.ndjson")); err != nil {
		t.Error(err)
	}
	h, err := s.Journal(staff)
	if err != nil || h.LastEnd.Event != snapshot.EventQuarantined || h.LastEnd.Snapshot != "20261127T060002Z" {
		t.Errorf("LastEnd = %+v, %v", h.LastEnd, err)
	}
	if latest := storetest.Find(t, s, ""); latest.Digest != snap.Digest {
		t.Errorf("latest = %s", latest.Name())
	}
	storetest.CheckOK(t, s)

	// A month later, only the newest three of the old ones are kept.
	s.SetClock(func() time.Time { return storetest.Day(40) })
	storetest.Must(t, storetest.Quarantine(t, s, 6))
	if list, err := s.Quarantined(staff); err != nil || len(list) != 3 {
		t.Errorf("%d reads are kept, %v", len(list), err)
	}
	storetest.CheckOK(t, s)
}

// Release publishes exactly the quarantined read, and records the user and the
// reason. Its signature counts at the time of the release.
func TestRelease(t *testing.T) {
	signer, next := storetest.NewSigner(t), storetest.NewSigner(t)
	s := storetest.SignedDays(t, signer)
	storetest.Must(t, storetest.Quarantine(t, s, 5))
	q, err := s.FindQuarantined(staff, "")
	storetest.Must(t, err)
	snap, err := storetest.Release(t, storetest.Init(t, s.Dir(), snapshot.Options{
		Signer: next, Allowed: storetest.Allow(t, "archive "+signer.PublicKey(), "archive "+next.PublicKey()),
	}), q.Name())
	storetest.Must(t, err)
	m := snap.Manifest
	o := m.Run.Override
	if o == nil || o.User != "ops" || o.Reason != "CHG-7: a site was closed" || o.Guard != "too few users" || o.Released == nil {
		t.Fatalf("override = %+v", o)
	}
	if m.Snapshot != "20261127T060000Z" || m.Sequence != 4 || m.Run.Trigger != "apply" || m.Tool.Version != "v0.2.0" ||
		m.Read != q.Read || m.Resources["users"].Added != 2 || len(storetest.IDs(t, snap, snapshot.Users)) != 5 {
		t.Errorf("manifest = %+v", m)
	}
	changes, err := snap.Changes(snapshot.Users)
	storetest.Must(t, err)
	defer changes.Close()
	if data, err := io.ReadAll(changes); err != nil || strings.Count(string(data), `"kind":"joined"`) != 2 {
		t.Errorf("changes = %s, %v", data, err)
	}
	events := storetest.Journal(t, s)
	if e := events[len(events)-2]; e.Event != snapshot.EventReleased || e.User != "ops" || e.Reason != o.Reason || e.Snapshot != q.Name() {
		t.Errorf("journal: %+v", e)
	}
	signers := storetest.Allow(t, "archive "+signer.PublicKey(), `archive valid-after="`+o.Released.Format("20060102150405Z")+`" `+next.PublicKey())
	if problems, _ := storetest.VerifyWith(t, s, verify.Options{Signers: signers}); len(problems) > 0 {
		t.Errorf("Verify: %q", problems)
	}
	if left, err := s.Quarantined(staff); err != nil || len(left) > 0 {
		t.Errorf("still quarantined: %v, %v", left, err)
	}
}

// The first read of users and groups has no snapshot to compare with.
func TestReleaseTheFirst(t *testing.T) {
	s := storetest.New(t)
	w := storetest.Writer(t, s)
	d := storetest.Draft(t, s, storetest.Day(1), append(storetest.People(5), storetest.Group(1, "Everyone"))...)
	_, err := w.Quarantine(t.Context(), d, "too few users")
	storetest.Must(t, err, w.Close())
	snap, err := storetest.Release(t, s, "")
	storetest.Must(t, err)
	if r := snap.Manifest.Resources; r["users"].Base != snapshot.BaseNone || r["groups"].Total != 1 {
		t.Errorf("resources = %+v", r)
	}
	storetest.CheckOK(t, s)
}

func TestReleaseRejects(t *testing.T) {
	s := oneDay(t)
	check := func(name, want string) {
		t.Helper()
		if _, err := storetest.Release(t, s, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Release(%q) = %v, want %q", name, err, want)
		}
	}
	check("", "staff has no quarantined reads")
	storetest.Must(t, storetest.Quarantine(t, s, 5))
	check("20200101T000000Z", "the newest is 20261127T060000Z")
	q, err := s.FindQuarantined(staff, "")
	storetest.Must(t, err)
	requests := filepath.Join(q.Dir(), "requests.ndjson")
	before := storetest.Read(t, requests)
	storetest.Must(t, storetest.Edit(requests, "200", "201"))
	check("", "requests.ndjson: its digest is not the one in the manifest")
	if proofs, err := q.Proofs(snapshot.Users); err == nil {
		t.Errorf("Proofs() = %v of a transcript that has changed", proofs)
	}
	storetest.Write(t, requests, before+"x\n")
	check("", "is not valid JSON")
	storetest.Write(t, requests, before)
	storetest.Publish(t, s, storetest.Day(6), storetest.People(6)...)
	check("", "there is a newer snapshot, 20261128T060000Z")
	storetest.CheckOK(t, s)
}

// A file of a quarantined read is replaced by that of another read between any two calls
// of its release. The release fails, or publishes what was read.
func TestFileSwappedDuringRelease(t *testing.T) {
	from := oneDay(t)
	w := storetest.Writer(t, from)
	for n, department := range []string{"Sales", "Law"} {
		_, err := w.Quarantine(t.Context(), storetest.Draft(t, from, storetest.Day(5+n), storetest.Person(1, "ACTIVE", department)), "too few users")
		storetest.Must(t, err)
	}
	storetest.Must(t, w.Close())
	reads, err := from.Quarantined(staff)
	storetest.Must(t, err)
	failures, points := 0, 0
	for _, file := range []string{"users.ndjson.zst", "requests.ndjson", "read.json"} {
		for at := 1; ; at++ {
			s := storetest.Copy(t, from.Dir(), t.TempDir())
			path := func(n int) string {
				return filepath.Join(s.Dir(), ".quarantine", staff, reads[n].Name(), file)
			}
			d := &disk{at: at, meanwhile: func() {
				if os.Rename(path(1), path(0)) != nil {
					points-- // the read was removed before
				}
			}}
			s.WriteThrough(d)
			snap, err := storetest.Release(t, s, reads[0].Name())
			if d.failed == "" {
				break
			}
			points++
			if err != nil {
				failures++
			}
			if snap == nil {
				continue
			}
			if users, _ := snap.Manifest.File("users.ndjson.zst"); users.ContentSHA256 != reads[0].Files[0].ContentSHA256 {
				t.Errorf("%s was swapped before call %d, %s: the snapshot isn't the read", file, at, d.failed)
			}
		}
	}
	if failures == 0 || points < 50 {
		t.Errorf("%d points, of which %d stopped the release", points, failures)
	}
}

func TestDrop(t *testing.T) {
	s := oneDay(t)
	storetest.Must(t, storetest.Quarantine(t, s, 5))
	storetest.Must(t, storetest.Writer(t, s).Drop("20261127T060000Z", "ops", "the role was missing"))
	entries, err := os.ReadDir(filepath.Join(s.Dir(), ".quarantine", staff))
	if err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	events := storetest.Journal(t, s)
	if e := events[len(events)-1]; e.Event != snapshot.EventDropped || e.User != "ops" || e.Reason != "the role was missing" {
		t.Errorf("journal: %+v", e)
	}
}

// A folder that no covered line names changes neither the names nor the number of the
// quarantined reads, and the journal says nothing about its content.
func TestPlantedRead(t *testing.T) {
	s := oneDay(t)
	s.SetClock(func() time.Time { return storetest.Day(5) })
	for n := 1; n <= 4; n++ {
		storetest.Must(t, storetest.Quarantine(t, s, n))
	}
	reads, err := s.Quarantined(staff)
	storetest.Must(t, err)
	plant := func(name string) {
		t.Helper()
		dir := filepath.Join(s.Dir(), ".quarantine", staff, name)
		storetest.Must(t, os.CopyFS(dir, os.DirFS(reads[0].Dir())), os.Chmod(dir, 0o700))
		storetest.Must(t, storetest.Edit(filepath.Join(dir, "read.json"), reads[0].Name(), name))
	}
	for _, name := range []string{"20200101T000000Z", "20200102T000000Z", "99991231T235959Z", storetest.Day(5).Format("20060102T150405Z")} {
		plant(name)
	}
	storetest.Must(t, storetest.Edit(filepath.Join(reads[1].Dir(), "read.json"), "too few users", "forged"))
	s.SetClock(func() time.Time { return storetest.Day(40) })
	storetest.Must(t, storetest.Quarantine(t, s, 5))
	storetest.Must(t, storetest.Writer(t, s).Drop("20200101T000000Z", "ops", "planted"))
	var got []string
	for _, e := range storetest.Journal(t, s) {
		if e.Event == snapshot.EventQuarantined || e.Event == snapshot.EventDropped {
			got = append(got, fmt.Sprintf("%s %s %.8s %d %s", e.Event, e.Snapshot, e.ReadSHA256, len(e.Files), e.Error))
		}
	}
	name := storetest.Day(5).Add(time.Second).Format("20060102T150405Z")
	want := []string{
		"dropped " + reads[0].Name() + " " + reads[0].Digest()[:8] + " 2 ",
		"dropped " + reads[1].Name() + " " + reads[1].Digest()[:8] + " 0 it was missing or had changed since the read",
		"dropped 20200101T000000Z  0 no covered line of the journal named it",
	}
	if !slices.Equal(got[5:], want) || !strings.HasPrefix(got[4], "quarantined "+name+" ") {
		t.Errorf("journal: %q, want %s and %q", got[4:], name, want)
	}
}
