package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile/snapshot"
)

// BenchmarkApplyAccess is BenchmarkApply for all resources of an org of 50,000 users,
// 2,000 groups with 1,000,000 memberships besides Everyone, and 300 apps with 400,000
// users. It checks that the snapshot has exactly the edges of the org, also after an
// incremental read.
// OKTASYNC_BENCH_PERCENT=10 makes the org smaller.
func BenchmarkApplyAccess(b *testing.B) {
	of := func(n int) int { return n * benchSetting("PERCENT", 100) / 100 }
	dir := b.TempDir()
	org := serveBenchOrg(b, dir, sandbox.Config{Users: of(50_000), Groups: of(2000), Memberships: of(1_000_000), Apps: of(300), Assignments: of(400_000)},
		benchSetting("CONCURRENCY", 4), "ndjson", "users: {}, groups: {}, group_members: {}, group_rules: {}, apps: {}, app_users: {}, app_groups: {}")
	_, first, _ := benchChild(b, dir, "apply")
	run := func(b *testing.B, what string) (cpu time.Duration, peak int) {
		for b.Loop() {
			c, p, _ := benchChild(b, dir, what)
			cpu, peak = cpu+c, max(peak, p)
		}
		cpu /= time.Duration(b.N)
		b.ReportMetric(cpu.Seconds(), "s-cpu")
		b.ReportMetric(float64(peak)/1024, "MiB-peak")
		b.ReportMetric(0, "ns/op")
		return cpu, peak
	}
	var floor time.Duration
	b.Run("floor", func(b *testing.B) { floor, _ = run(b, "floor") })
	b.Run("apply", func(b *testing.B) {
		cpu, peak := run(b, "apply")
		if floor > 0 { // it was not left out by -bench
			b.ReportMetric(cpu.Seconds()/floor.Seconds(), "floors-cpu")
		}
		b.ReportMetric(float64(first)/1024, "MiB-peak-first")
		if max(first, peak) > 128<<10 {
			b.Errorf("peak memory of %d KiB, want at most 128 MiB", max(first, peak))
		}
	})
	compareEdges(b, org, filepath.Join(dir, "snapshots"))
	b.Run("size", func(b *testing.B) {
		for b.Loop() {
		}
		size := sizeOfLatest(b, filepath.Join(dir, "snapshots"))
		b.ReportMetric(float64(size)/1e6, "MB")
		b.ReportMetric(0, "ns/op")
		if size > 30_000_000 {
			b.Errorf("the snapshot has %d bytes, want at most 30 MB", size)
		}
	})
	b.Run("incremental", func(b *testing.B) { benchIncremental(b, dir, org) })
}

// benchIncremental reads the members of all groups, changes 1 % of the groups, and reads
// incrementally: that sends at most 5 % of the requests for members.
func benchIncremental(b *testing.B, dir string, org *sandbox.Org) {
	file := filepath.Join(dir, "oktasync.yaml")
	config, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, bytes.Replace(config, []byte("group_members: {}"), []byte("group_members: {refresh: incremental}"), 1), 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
	requests := func() float64 {
		benchChild(b, dir, "apply")
		transcript, err := os.ReadFile(filepath.Join(dir, "snapshots", "people", "latest", snapshot.RequestsFile))
		if err != nil {
			b.Fatal(err)
		}
		return float64(bytes.Count(transcript, []byte(`"resource":"group_members"`)))
	}
	var full, incremental float64
	for b.Loop() {
		full = requests() // the declaration has changed
		groups, changed := 0, 0
		for group := range org.GroupsJSON() {
			groups++
			members := org.EdgesOf(sandbox.GroupMembers, group)
			if changed*100 < groups && len(members) > 0 && org.RemoveMember(group, members[0].Child) == nil { // no app group
				changed++
			}
		}
		b.Logf("%d of %d groups changed", changed, groups)
		incremental = requests()
	}
	b.ReportMetric(full, "requests-full")
	b.ReportMetric(incremental, "requests-incremental")
	b.ReportMetric(0, "ns/op")
	if incremental > full/20 {
		b.Errorf("%v of %v requests for members, want at most 5 %%", incremental, full)
	}
	compareEdges(b, org, filepath.Join(dir, "snapshots"))
}

// sizeOfLatest returns the number of bytes of the files of the newest snapshot.
func sizeOfLatest(b *testing.B, path string) (size int64) {
	entries, err := os.ReadDir(filepath.Join(path, "people", "latest"))
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			b.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

// compareEdges checks that the newest snapshot has exactly the edges of the org.
func compareEdges(b *testing.B, org *sandbox.Org, path string) {
	store, err := snapshot.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	newest, err := store.Latest("people")
	if err != nil {
		b.Fatal(err)
	}
	for _, kind := range sandbox.EdgeKinds() {
		want := make(map[string]bool)
		for e := range org.Edges(kind, time.Time{}) {
			want[e.Parent+"\x00"+e.Child] = true
		}
		total := len(want)
		records, err := newest.Records(snapshot.ResourceNamed(string(kind)))
		if err != nil {
			b.Fatal(err)
		}
		defer records.Close()
		for {
			record, err := records.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if !want[string(record.Key)] {
				b.Errorf("%s %q is not in the org", kind, record.Key)
			}
			delete(want, string(record.Key))
		}
		if len(want) > 0 {
			b.Errorf("%d of %d %s are missing", len(want), total, kind)
		}
		b.Logf("%d %s", total, kind)
	}
}
