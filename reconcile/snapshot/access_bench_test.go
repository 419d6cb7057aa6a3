package snapshot_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
	"oktasync/reconcile/snapshot/verify"
)

// generated is a Reader of n records that aren't in memory.
type generated struct {
	n, next int
	record  func(i int) (key, json string)
}

func (g *generated) Next() (diff.Record, error) {
	if g.next == g.n {
		return diff.Record{}, io.EOF
	}
	key, json := g.record(g.next)
	g.next++
	return diff.Record{Key: []byte(key), JSON: []byte(json)}, nil
}

func (g *generated) Close() error { return nil }

// BenchmarkAccess publishes and verifies 1,000,000 members of 2,000 groups, with and
// without CSV, and the same without the members. The CPU includes that of the tests.
func BenchmarkAccess(b *testing.B) {
	const users, groups, each = 50_000, 2_000, 500
	template := string(recordtest.Canonical(b, recordtest.Users(1)[0]))
	drafts := func(members int, formats ...string) snapshot.Draft {
		d := storetest.Draft(b, storetest.New(b), storetest.Day(1), storetest.Person(1, "ACTIVE", "x"), storetest.Group(1, "x"), storetest.Member(1, 1))
		if members == 0 {
			delete(d.Declared.Resources, "group_members")
			d.Resources = d.Resources[:2]
		}
		d.Declared.Formats = formats
		lists := []*generated{
			{n: users, record: func(i int) (string, string) {
				id := fmt.Sprintf("00u%017d", i)
				return id, strings.ReplaceAll(template, fmt.Sprintf("00u%017d", 0), id)
			}},
			{n: groups, record: func(i int) (string, string) {
				id := fmt.Sprintf("00g%017d", i)
				return id, fmt.Sprintf(`{"id":"%s","profile":{"name":"Group %d"}}`, id, i)
			}},
			{n: members, record: func(i int) (string, string) {
				group, user := fmt.Sprintf("00g%017d", i/each), fmt.Sprintf("00u%017d", i%each*100+i/each%100)
				return group + "\x00" + user, fmt.Sprintf(`{"group_id":"%s","user_id":"%s"}`, group, user)
			}},
		}
		var lines []byte
		for i := range d.Resources {
			n := lists[i].n
			d.Resources[i].Records, d.Resources[i].Rows, d.Resources[i].Counts.Total = lists[i], n, n
			r := snapshot.Request{Time: snapshot.At(d.Started), Resource: d.Resources[i].Resource.Name, Method: "GET", Path: "/x?limit=1", Status: 200, Rows: n, RequestID: "a"}
			lines, _ = r.Line(lines)
		}
		d.Resources[0].ByStatus = map[string]int{"ACTIVE": users}
		d.Requests = strings.NewReader(string(lines))
		return d
	}
	for _, bench := range []struct {
		name    string
		members int
		formats []string
	}{
		{"members", groups * each, []string{"ndjson"}},
		{"members with CSV", groups * each, []string{"ndjson", "csv"}},
		{"no members", 0, []string{"ndjson"}},
		{"no members with CSV", 0, []string{"ndjson", "csv"}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var publish, check time.Duration
			for b.Loop() {
				s := storetest.New(b)
				d := drafts(bench.members, bench.formats...)
				d.Org = s.Org()
				w := storetest.Writer(b, s)
				began := cpu()
				if _, err := w.Publish(b.Context(), d); err != nil {
					b.Fatal(err)
				}
				published := cpu()
				sum, err := verify.Verify(b.Context(), s, verify.Options{}, func(f verify.Finding) { b.Error(f) })
				if err != nil || sum.Records["group_members"] != bench.members {
					b.Fatal(sum, err)
				}
				publish, check = publish+published-began, check+cpu()-published
				w.Close()
			}
			b.ReportMetric(publish.Seconds()/float64(b.N), "publish-cpu-s")
			b.ReportMetric(check.Seconds()/float64(b.N), "verify-cpu-s")
			b.ReportMetric(peak(b), "peak-MiB")
		})
	}
}

// cpu returns the CPU time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peak returns the peak memory of this process so far.
func peak(b *testing.B) float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(data), "VmHWM:")
	var kib float64
	fmt.Sscan(after, &kib)
	return kib / 1024
}
