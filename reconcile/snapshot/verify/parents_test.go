package verify_test

import (
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
)

// carriedDays returns a store of three snapshots. The members of group 1 were read on
// day 1, and those of group 2 every day.
func carriedDays(t *testing.T) *snapshot.Store {
	s := storetest.New(t)
	records := storetest.Access(2)
	for i, r := range records {
		if r == storetest.Group(2, "=Sales") {
			records[i] = strings.Replace(r, `,"type"`, `,"lastMembershipUpdated":"2026-11-02T06:00:00.000Z","type"`, 1)
		}
	}
	for day := 1; day <= 3; day++ {
		d := storetest.Draft(t, s, storetest.Day(day), records...)
		read := []string{"00g0002"}
		if day == 1 {
			read = append(read, "00g0001")
		}
		storetest.Incremental(t, &d, read...)
		w := storetest.Writer(t, s)
		_, err := w.Publish(t.Context(), d)
		storetest.Must(t, err, w.Close())
	}
	return s
}

// Carried records are those of the snapshot that read them, and the transcript shows
// which groups were read.
func TestVerifyFindsForgedParents(t *testing.T) {
	const (
		parents = "group_members.parents.ndjson"
		members = "group_members.ndjson.zst"
		in      = "staff@20261125T060000Z/"
		carried = in + parents + `: group "00g0001": `
		read    = in + parents + `: group "00g0002": `
	)
	days := carriedDays(t)
	// edit replaces a carried member, and the digest of the group's records if resum.
	edit := func(f *forger, resum bool) {
		line := strings.Split(f.files[parents], "\n")[0]
		f.replace(members, "00u0099", "00u0098")
		f.replace("group_members.csv", "00u0099", "00u0098")
		if resum {
			_, was, _ := strings.Cut(line, `"sha256":"`)
			f.replace(parents, was[:64], snapshot.DigestOf([]byte(storetest.Member(1, 1)+"\n"+storetest.Member(1, 98)+"\n")))
		}
	}
	for _, test := range []struct {
		name  string
		forge func(f *forger)
		want  string
	}{
		{"nothing", func(*forger) {}, ""},
		{"carried record", func(f *forger) { edit(f, false) }, carried + "its 2 members (SHA-256 "},
		{"carried record and its digest", func(f *forger) { edit(f, true) }, carried + "it was carried from 20261123T060000Z, and differs from it"},
		{"stamp of a carried group", func(f *forger) { f.replace(parents, "2026-11-01T06", "2026-11-01T07") }, carried + "it was carried from 20261123T060000Z, and differs from it"},
		{"later read", func(f *forger) { f.replace(parents, "2026-11-23T06:00:01.000Z", "2026-11-23T06:00:02.000Z") }, carried + "it was carried from 20261123T060000Z, and differs from it"},
		{"read in this snapshot", func(f *forger) { f.replace(parents, "20261123T060000Z", "20261125T060000Z") },
			carried + "it was read in 20261125T060000Z, and the transcript shows otherwise"},
		{"read in another snapshot", func(f *forger) { f.replace(parents, "20261123T060000Z", "20261124T060000Z") },
			carried + "it was carried from 20261124T060000Z, which has no such read"},
		{"read in a snapshot that never existed", func(f *forger) { f.replace(parents, "20261123T060000Z", "20261123T070000Z") },
			carried + "it was carried from 20261123T070000Z, which has no such read"},
		{"read that was carried", func(f *forger) { f.replace("requests.ndjson", "groups/00g0002/users", "groups/00g0009/users") },
			read + "it was read in 20261125T060000Z, and the transcript shows otherwise"},
		{"request of another page", func(f *forger) { f.replace("requests.ndjson", "00g0002/users?limit", "00g0002/users?after=1&limit") },
			read + "it was read in 20261125T060000Z, and the transcript shows otherwise"},
		{"time of a read", func(f *forger) { f.replace(parents, "2026-11-25T06:00:00.000Z", "2026-11-25T06:00:30.000Z") },
			read + "it was read at 2026-11-25T06:00:30.000Z, and the transcript has 2026-11-25T06:00:00.000Z"},
		{"stamp of a read group", func(f *forger) { f.replace(parents, "2026-11-02", "2026-11-03") },
			read + `its lastMembershipUpdated is "2026-11-03T06:00:00.000Z", and the group has "2026-11-02T06:00:00.000Z"`},
		{"missing group", func(f *forger) { f.remove(parents, 0); f.entry(parents).Rows-- }, in + parents + ": it has 1 groups, and there are 2"},
		{"further group", func(f *forger) { f.replace(parents, "00g0002", "00g0003") }, in + parents + `: group "00g0003": it isn't recorded`},
		{"order", func(f *forger) {
			f.lines(parents, func(lines []string) []string { lines[0], lines[1] = lines[1], lines[0]; return lines })
		}, in + parents + ": line 2: its groups are not in order"},
		{"form", func(f *forger) { f.replace(parents, `{"group_id"`, `{ "group_id"`) }, in + parents + ": line 1: not in canonical form"},
		{"time in the manifest", func(f *forger) {
			f.count("group_members", func(c *snapshot.Counts) { c.CarriedSince = new(snapshot.At(c.CarriedSince.Add(time.Hour))) })
		}, in + parents + ": it has 2 carried members, and the manifest has 2, or another time"},
		{"nothing carried in the manifest", func(f *forger) { f.count("group_members", func(c *snapshot.Counts) { c.Refresh = "full" }) },
			in + "manifest.json: resources: impossible counts of group_members"},
		{"full refresh declared", func(f *forger) { f.m.Declared.Resources["group_members"].Refreshing.Refresh = "full" },
			in + "manifest.json: files: group_members.parents.ndjson doesn't match the declared refresh"},
		{"old records", func(f *forger) { f.m.Declared.Resources["group_members"].Refreshing.Full.Duration = 47 * time.Hour },
			in + parents + ": its oldest read is 47h59m59s before this one, and the declaration allows 47h"},
	} {
		testForgery(t, days, test.name, test.forge, test.want)
	}
}

// If the snapshot that read a group was pruned, Verify compares the snapshots that
// carried it. If these were pruned too, it compares the times.
func TestVerifyFindsForgedParentsOfPrunedSnapshots(t *testing.T) {
	for _, test := range []struct {
		name, to string
		last     int
		want     string
	}{
		{"another snapshot has it", "2026-11-23T06:00:02.000Z", 2, "it was carried from 20261123T060000Z, and differs from it"},
		{"no other snapshot has it", "2026-11-23T06:00:02.000Z", 1, ""},
		{"the read was earlier", "2026-11-23T07:00:00.000Z", 1, "it was read at 2026-11-23T07:00:00.000Z, and the read of 20261123T060000Z was at another time"},
	} {
		days := carriedDays(t)
		storetest.MustPrune(t, days, test.last)
		storetest.CheckOK(t, days)
		want := test.want
		if want != "" {
			want = `staff@20261125T060000Z/group_members.parents.ndjson: group "00g0001": ` + want
		}
		testForgery(t, days, test.name, func(f *forger) {
			f.replace("group_members.parents.ndjson", "2026-11-23T06:00:01.000Z", test.to)
			f.count("group_members", func(c *snapshot.Counts) {
				since, err := time.Parse(time.RFC3339, test.to)
				storetest.Must(f, err)
				c.CarriedSince = new(snapshot.At(since))
			})
		}, want)
	}
}

// A snapshot carries only what the snapshot before it has. One without last reads, because
// the declared refresh is full, has nothing to carry.
func TestVerifyFindsRecordsCarriedPastAFullRead(t *testing.T) {
	s := storetest.New(t)
	for day := 1; day <= 3; day++ {
		d := storetest.Draft(t, s, storetest.Day(day), storetest.Access(2)...)
		if day != 2 {
			storetest.Incremental(t, &d, "00g0001", "00g0002")
		}
		w := storetest.Writer(t, s)
		_, err := w.Publish(t.Context(), d)
		storetest.Must(t, err, w.Close())
	}
	storetest.CheckOK(t, s)
	for _, origin := range []string{"20261123T060000Z", "20261124T060000Z"} {
		testForgery(t, s, "carried from "+origin, func(f *forger) {
			read := origin[:4] + "-" + origin[4:6] + "-" + origin[6:8] + "T06:00:00.000Z"
			f.replace("group_members.parents.ndjson", `"read":"2026-11-25T06:00:00.000Z"`, `"read":"`+read+`"`)
			f.replace("group_members.parents.ndjson", `"snapshot":"20261125T060000Z"`, `"snapshot":"`+origin+`"`)
			f.replace("requests.ndjson", "groups/00g0001/users", "groups/00g0009/users")
			f.count("group_members", func(c *snapshot.Counts) {
				since, err := time.Parse(time.RFC3339, read)
				storetest.Must(f, err)
				c.Refresh, c.Carried, c.Outside, c.CarriedSince = snapshot.RefreshIncremental, 2, 2, new(snapshot.At(since))
			})
		}, `staff@20261125T060000Z/group_members.parents.ndjson: group "00g0001": it was carried from `+origin+`, which has no such read`)
	}
}
