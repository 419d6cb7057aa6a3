package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/sign"
)

// keepAll is a retention that decides about each snapshot and keeps all of them.
const keepAll = "    retain: {last: 10000, daily: 10000, monthly: 1000}\n"

// newGrownSite is a signed site with a number of snapshots, one second apart, and a
// journal of at least this many lines.
func newGrownSite(t testing.TB, snapshots, lines int) *site {
	t.Helper()
	s := newSignedSite(t, sandbox.Config{Users: 20, Seed: 161}, keepAll)
	s.must(t, 0, "apply")
	s.sh(t, "mv snapshots template")
	template, err := snapshot.Open(s.path("template"))
	check(t, err)
	like, err := template.Latest("all-users")
	check(t, err)
	signer, err := sign.Load(s.path("signing-key"))
	check(t, err)
	store, err := snapshot.Init(s.path("snapshots"), snapshot.Org{URL: s.server.URL}, snapshot.Options{Signer: signer})
	check(t, err)
	w, err := store.Writer(context.Background(), "all-users", snapshot.ThisProcess("test"))
	check(t, err)
	for n := range snapshots {
		check(t, w.Journal(snapshot.Event{Event: snapshot.EventStarted}))
		check(t, publishLike(w, like, like.Manifest.Read.Started.Add(time.Duration(n-snapshots)*time.Second)))
		for w.Head().Lines < (n+1)*lines/snapshots {
			unchanged := snapshot.Event{Event: snapshot.EventUnchanged, Snapshot: w.Latest().Name()}
			check(t, errors.Join(w.Journal(snapshot.Event{Event: snapshot.EventStarted}), w.Journal(unchanged)))
		}
	}
	check(t, w.Close())
	return s
}

// publishLike publishes the records of another snapshot, with the time of their read.
func publishLike(w *snapshot.Writer, like *snapshot.Snapshot, started time.Time) error {
	m := like.Manifest
	counts := m.Resources["users"]
	records, err := like.Records(snapshot.Users)
	if err != nil {
		return err
	}
	defer records.Close()
	requests, err := os.Open(filepath.Join(like.Dir(), snapshot.RequestsFile))
	if err != nil {
		return err
	}
	defer requests.Close()
	users := snapshot.ResourceDraft{
		Resource: snapshot.Users, ByStatus: counts.ByStatus, Counts: diff.Counts{Total: counts.Total}, Base: snapshot.BaseNone,
		Records: records, Rows: counts.Rows, Duplicates: counts.Duplicates, Outside: counts.Outside,
	}
	if w.Latest() != nil {
		users.Base, users.Counts.Before, users.Changes = snapshot.BasePrevious, counts.Total, strings.NewReader("")
	}
	_, err = w.Publish(context.Background(), snapshot.Draft{
		Started: started, Finished: started, Org: m.Org, Client: m.Client, Run: m.Run, Tool: m.Tool, Declared: m.Declared,
		Settled: true, Resources: []snapshot.ResourceDraft{users}, Requests: requests, Base: w.Latest(),
	})
	return err
}

// BenchmarkHistory compares an apply of a small org in a store with 5,000 snapshots
// and 100,000 lines in the journal, with one in a store with 50 and 1,000. The metric
// floors is the ratio of their CPU time.
//
//	TMPDIR=/dev/shm go test -run '^$' -bench History -benchtime 20x ./e2e
func BenchmarkHistory(b *testing.B) {
	small, large := newGrownSite(b, 50, 1_000), newGrownSite(b, 5_000, 100_000)
	small.must(b, 0, "verify")
	var floor, cpu, wall, floorWall time.Duration
	for b.Loop() {
		w, c := small.cost(b, program(), "apply", "--quiet")
		floorWall, floor = floorWall+w, floor+c
		w, c = large.cost(b, program(), "apply", "--quiet")
		wall, cpu = wall+w, cpu+c
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(wall.Seconds()*1000/float64(b.N), "ms/op")
	b.ReportMetric(cpu.Seconds()*1000/float64(b.N), "cpu-ms/op")
	b.ReportMetric(floor.Seconds()*1000/float64(b.N), "cpu-ms/floor")
	b.ReportMetric(wall.Seconds()/floorWall.Seconds(), "floors")
	b.ReportMetric(cpu.Seconds()/floor.Seconds(), "floors-cpu")
}
