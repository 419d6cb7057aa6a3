package snapshot_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

func TestPublish(t *testing.T) {
	s := storetest.New(t)
	if _, err := s.Latest(staff); !errors.Is(err, snapshot.ErrNoSnapshot) {
		t.Errorf("Latest: %v, want ErrNoSnapshot", err)
	}
	first := storetest.Publish(t, s, storetest.Day(1), storetest.People(2)...)
	var notRecorded *snapshot.NotRecordedError
	if _, err := first.Records(snapshot.Groups); !errors.As(err, &notRecorded) {
		t.Errorf("groups of a snapshot without them: %v", err)
	}
	second := storetest.Publish(t, s, storetest.Day(2), append(storetest.People(2), storetest.Person(3, "STAGED", "Law"), storetest.Group(1, "Everyone"))...)
	latest := storetest.Find(t, s, "")
	if latest.Digest != second.Digest || latest.Name() != "20261124T060000Z" {
		t.Errorf("latest = %s %s, want %s %s", latest.Name(), latest.Digest, second.Name(), second.Digest)
	}
	m := latest.Manifest
	if m.Sequence != 2 || m.Previous.ManifestSHA256 != first.Digest || m.Read.Requests != 3 ||
		m.Resources["users"].Added != 1 || m.Resources["groups"].Base != snapshot.BaseNone || m.Total() != 4 {
		t.Errorf("manifest = %+v", m)
	}
	if got, want := storetest.IDs(t, latest, snapshot.Users), []string{"00u0001", "00u0002", "00u0003"}; !slices.Equal(got, want) {
		t.Errorf("users = %v, want %v", got, want)
	}
	if got := storetest.IDs(t, latest, snapshot.Groups); !slices.Equal(got, []string{"00g0001"}) {
		t.Errorf("groups = %v", got)
	}
	if target, _ := os.Readlink(s.Path(staff, "latest")); target != latest.Name() {
		t.Errorf("latest -> %s, want %s", target, latest.Name())
	}
	third := storetest.Publish(t, s, storetest.Day(3), append(storetest.People(3), storetest.Group(1, "All"), storetest.Group(2, "Sales"))...)
	if kinds := third.Manifest.Resources["groups"].Kinds; kinds[diff.Changed] != 1 || kinds[diff.Created] != 1 {
		t.Errorf("kinds of groups = %v", kinds)
	}
	list, err := s.List(staff)
	if err != nil || len(list) != 3 || list[0].Digest != first.Digest {
		t.Errorf("List() = %v, %v", list, err)
	}
	storetest.CheckOK(t, s)
}

// A snapshot doesn't get the name of one that was lost, also if its read begins in the
// same second.
func TestNameOfALostSnapshotIsNotUsedAgain(t *testing.T) {
	s := storetest.New(t)
	storetest.Publish(t, s, storetest.Day(1), storetest.People(2)...)
	var lost []string
	for n := range 2 {
		snap := storetest.Publish(t, s, storetest.Day(2), storetest.People(3+n)...)
		lost = append(lost, snap.Name())
		storetest.RemoveAll(t, snap.Dir())
		storetest.Adopt(t, s)
	}
	if name := storetest.Publish(t, s, storetest.Day(2), storetest.People(4)...).Name(); name <= lost[1] || lost[1] <= lost[0] {
		t.Errorf("names: %s, then %s; both were lost", name, lost)
	}
	if problems, notes := storetest.Verify(t, s); len(problems) > 0 || len(notes) != 2 {
		t.Errorf("Verify finds %v, and notes %v", problems, notes)
	}
}

func TestPublishRejects(t *testing.T) {
	for _, test := range []struct {
		name, want string
		change     func(d *snapshot.Draft, users, groups *snapshot.ResourceDraft)
	}{
		{"total", "users: the manifest has 4, but 3 were counted", func(_ *snapshot.Draft, u, _ *snapshot.ResourceDraft) { u.Counts.Total++ }},
		{"total of groups", "groups: the manifest has 2, but 1 were counted", func(_ *snapshot.Draft, _, g *snapshot.ResourceDraft) { g.Counts.Total++ }},
		{"status", "users by status: the manifest has 3, but 4 were counted", func(_ *snapshot.Draft, u, _ *snapshot.ResourceDraft) { u.ByStatus["LOCKED_OUT"] = 1 }},
		{"rows", "rows of users in all responses: the manifest has 4, but 3 were counted", func(_ *snapshot.Draft, u, _ *snapshot.ResourceDraft) { u.Rows++ }},
		{"order", `"00u0001" comes after "00u0002"`, func(_ *snapshot.Draft, u, _ *snapshot.ResourceDraft) {
			u.Records = recordtest.ListOf(t, storetest.Person(2, "ACTIVE", ""), storetest.Person(1, "ACTIVE", ""))
		}},
		{"base", `users: the base "none" doesn't match the newest snapshot`, func(_ *snapshot.Draft, u, _ *snapshot.ResourceDraft) { u.Base = snapshot.BaseNone }},
		{"changes", "changes of users: the manifest has 1, but 2 were counted", func(_ *snapshot.Draft, u, _ *snapshot.ResourceDraft) { u.Counts.Added-- }},
		{"other snapshot", "compared with a snapshot that isn't the newest", func(_ *snapshot.Draft, u, _ *snapshot.ResourceDraft) { u.Counts.Before-- }},
		{"resource missing", "a draft must have every declared resource", func(d *snapshot.Draft, _, _ *snapshot.ResourceDraft) { d.Resources = d.Resources[:1] }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := storetest.New(t)
			storetest.Publish(t, s, storetest.Day(1), storetest.People(1)...)
			w := storetest.Writer(t, s)
			d := storetest.Draft(t, s, storetest.Day(2), append(storetest.People(3), storetest.Group(1, "Everyone"))...)
			test.change(&d, &d.Resources[0], &d.Resources[1])
			if _, err := w.Publish(t.Context(), d); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Publish: %v, want %q", err, test.want)
			}
		})
	}
}

// The local clock can be set back by an hour between two runs, and Okta's clock can
// jitter. Names, times and the checkpoint never go back.
func TestClocksSetBack(t *testing.T) {
	s := storetest.New(t)
	s.SetClock(func() time.Time { return storetest.Day(5).Add(time.Hour) })
	storetest.Publish(t, s, storetest.Day(5), storetest.People(3)...)
	before, err := s.Checkpoint(staff)
	storetest.Must(t, err)
	s.SetClock(func() time.Time { return storetest.Day(5) })
	w := storetest.Writer(t, s)
	d := storetest.Draft(t, s, storetest.Day(5).Add(-30*time.Second), storetest.People(4)...)
	d.ClockOffset = -time.Hour
	snap, err := w.Publish(t.Context(), d)
	storetest.Must(t, err, w.Close())
	if snap.Name() != "20261127T060001Z" || snap.Manifest.Read.Started.Format("20060102T150405Z") != snap.Name() {
		t.Errorf("%s, started %s", snap.Name(), snap.Manifest.Read.Started)
	}
	if after, err := s.Checkpoint(staff); err != nil || after.Time.Before(before.Time.Time) {
		t.Errorf("the time of the checkpoint goes back from %s to %s, %v", before.Time, after.Time, err)
	}
	storetest.CheckOK(t, s)
}

// A read that began before the newest one, or ends in the future, isn't published.
func TestPublishRejectsWrongTimes(t *testing.T) {
	s := storetest.New(t)
	s.SetClock(func() time.Time { return storetest.Day(5).Add(time.Hour) })
	storetest.Publish(t, s, storetest.Day(5), storetest.People(3)...)
	for started, want := range map[time.Time]string{
		storetest.Day(4): "the read began 24h0m1s before that of the newest snapshot",
		storetest.Day(6): "the read ended 23h1m0s in the future",
	} {
		if _, err := storetest.Reconcile(t, s, started, storetest.People(3)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Reconcile: %v, want %q", err, want)
		}
	}
	storetest.CheckOK(t, s)
}

// A partial folder can have the name of a complete snapshot, for example after a
// restore.
func TestPartialFolderOfASnapshot(t *testing.T) {
	s := storetest.New(t)
	storetest.Publish(t, s, storetest.Day(1), storetest.People(3)...)
	storetest.Write(t, s.Path(staff, ".20261123T060000Z.partial/users.csv"), "login\n")
	storetest.Publish(t, s, storetest.Day(2), storetest.People(4)...)
	storetest.CheckOK(t, s)
}

// The next writer restores a derived file if it renders to the digest in the
// manifest.
func TestRepair(t *testing.T) {
	s := toRepair(t)
	if problems, notes := storetest.Verify(t, s); len(problems) != 1 || len(notes) != 1 {
		t.Fatalf("Verify: %q %q", problems, notes)
	}
	storetest.Must(t, mend(t, s))
	storetest.CheckOK(t, s)
	var reasons []string
	for _, e := range storetest.Journal(t, s) {
		if e.Event == snapshot.EventRepaired {
			reasons = append(reasons, e.Snapshot+" "+e.Reason)
		}
	}
	want := []string{"20261125T060000Z restored groups.csv", "20261125T060000Z restored latest"}
	if !slices.Equal(reasons, want) {
		t.Errorf("journal: %q, want %q", reasons, want)
	}
	before := len(storetest.Journal(t, s))
	if err := mend(t, s); err != nil || len(storetest.Journal(t, s)) != before {
		t.Errorf("a second time: %v", err)
	}
}

// A writer doesn't change evidence, or a derived file that it can't render.
func TestRepairKeepsEvidence(t *testing.T) {
	const second = "20261125T060000Z/"
	for _, test := range []struct {
		name   string
		damage func(dir string) []error
		want   []string
	}{
		{"users damaged, CSV removed", func(dir string) []error {
			return []error{os.WriteFile(dir+second+"users.ndjson.zst", []byte("damaged"), 0o600), os.Remove(dir + second + "users.csv")}
		}, []string{"staff@" + second + "users.csv: is missing", "staff@" + second + "users.ndjson.zst: it has 7 bytes, and the manifest has "}},
		{"transcript removed", func(dir string) []error { return []error{os.Remove(dir + second + "requests.ndjson")} },
			[]string{"staff@" + second + "requests.ndjson: is missing"}},
		{"CSV linked", func(dir string) []error {
			return []error{os.Remove(dir + second + "users.csv"), os.Symlink("../20261123T060000Z/users.csv", dir+second+"users.csv")}
		}, []string{"staff@" + second + "users.csv: is not a regular file"}},
		{"latest a folder", func(dir string) []error { return []error{os.Remove(dir + "latest"), os.Mkdir(dir+"latest", 0o700)} }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := storetest.ThreeDays(t)
			storetest.Must(t, test.damage(s.Path(staff)+"/")...)
			storetest.Must(t, mend(t, s))
			if problems, _ := storetest.Verify(t, s); !slices.EqualFunc(problems, test.want, strings.HasPrefix) {
				t.Errorf("found %q, want %q", problems, test.want)
			}
		})
	}
}
