package access_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/reconcile/internal/recordtest"
	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
)

// BenchmarkPaths finds the paths of a user, and of an app with 1,300 and with 50,000 users, in
// an org of 50,000 users, 1,000,000 memberships and 400,000 assignments. The floor is
// zstd -d of the same files.
func BenchmarkPaths(b *testing.B) {
	storetest.NeedProgram(b, "zstd")
	store, s, ids := largeOrg(b)
	files := []string{"-dqc"}
	for _, name := range []string{"users", "groups", "group_members", "apps", "app_users", "app_groups"} {
		files = append(files, filepath.Join(s.Dir(), name+".ndjson.zst"))
	}
	for _, bench := range []struct {
		name  string
		query access.Query
	}{
		{"user", access.Query{User: ids.users[777]}},
		{"app", access.Query{App: ids.apps[5]}},
		{"app of everyone", access.Query{App: ids.apps[6]}},
		{"all", access.Query{}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var wall, floor, used, floorCPU time.Duration
			rows := 0
			for b.Loop() {
				began, cpuBefore := time.Now(), cpu(syscall.RUSAGE_SELF)
				rows = 0
				for _, err := range access.Paths(store, s, bench.query) {
					storetest.Must(b, err)
					rows++
				}
				wall, used = wall+time.Since(began), used+cpu(syscall.RUSAGE_SELF)-cpuBefore
				began, cpuBefore = time.Now(), cpu(syscall.RUSAGE_CHILDREN)
				storetest.Must(b, exec.Command("zstd", files...).Run())
				floor, floorCPU = floor+time.Since(began), floorCPU+cpu(syscall.RUSAGE_CHILDREN)-cpuBefore
			}
			b.ReportMetric(float64(rows), "rows")
			b.ReportMetric(wall.Seconds()*1000/float64(b.N), "ms")
			b.ReportMetric(wall.Seconds()/floor.Seconds(), "floors-wall")
			b.ReportMetric(used.Seconds()/floorCPU.Seconds(), "floors-cpu")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func cpu(who int) time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(who, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// largeIDs are the sorted ids of an org.
type largeIDs struct{ users, groups, apps []string }

// largeOrg publishes an org. Two groups of 500 users give each app, and one of 50,000 gives
// the app with the index 6.
func largeOrg(b *testing.B) (*snapshot.Store, *snapshot.Snapshot, largeIDs) {
	random := rand.New(rand.NewPCG(1, 16))
	ids := largeIDs{randomIDs(random, "00u", 50_000), randomIDs(random, "00g", 2_000), randomIDs(random, "0oa", 300)}
	template := recordtest.Users(1)[0]
	var records []string
	for i, id := range ids.users {
		user := strings.ReplaceAll(template, fmt.Sprintf("00u%017d", 0), id)
		records = append(records, strings.Replace(user, `"login":"`, fmt.Sprintf(`"login":"p%d.`, i), 1))
	}
	for i, id := range ids.groups {
		records = append(records, fmt.Sprintf(`{"id":%q,"type":"OKTA_GROUP","profile":{"name":"Group %d"}}`, id, i))
	}
	for i, id := range ids.apps {
		records = append(records, fmt.Sprintf(`{"id":%q,"label":"App %d","status":"ACTIVE"}`, id, i))
	}
	for i, group := range ids.groups {
		for _, user := range some(random, ids.users, i == 7, 475) {
			records = append(records, fmt.Sprintf(`{"group_id":%q,"user_id":%q}`, group, user))
		}
	}
	for i, app := range ids.apps {
		for _, user := range some(random, ids.users, i == 6, 1170) {
			records = append(records, fmt.Sprintf(`{"app_id":%q,"created":"2026-01-31T10:%02d:00.000Z","scope":"GROUP","status":"ACTIVE","user_id":%q,"username":"%s@acme.example"}`,
				app, random.IntN(60), user, user[3:10]))
		}
		groups := []string{ids.groups[2*i+100], ids.groups[2*i+101]}
		if i == 6 {
			groups = ids.groups[7:8]
		}
		for _, group := range groups {
			records = append(records, fmt.Sprintf(`{"app_id":%q,"group_id":%q,"priority":0}`, app, group))
		}
	}
	store := storetest.New(b)
	return store, storetest.Publish(b, store, storetest.Day(1), records...), ids
}

func randomIDs(random *rand.Rand, prefix string, n int) []string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	ids := make([]string, n)
	for i := range ids {
		id := []byte(prefix)
		for range 17 {
			id = append(id, letters[random.IntN(len(letters))])
		}
		ids[i] = string(id)
	}
	slices.Sort(ids)
	return ids
}

// some returns all users, or n of them, sorted.
func some(random *rand.Rand, users []string, all bool, n int) []string {
	if all {
		return users
	}
	var list []string
	for range n {
		list = append(list, users[random.IntN(len(users))])
	}
	slices.Sort(list)
	return slices.Compact(list)
}
