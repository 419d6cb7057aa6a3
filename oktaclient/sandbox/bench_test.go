package sandbox_test

import (
	"io"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// BenchmarkPage serves a page of 200 users in process: plain, compressed, and
// compressed from the cache.
func BenchmarkPage(b *testing.B) {
	for _, test := range []struct {
		name         string
		packed, kept bool
	}{{"plain", false, false}, {"gzip", true, false}, {"cached", true, true}} {
		b.Run(test.name, func(b *testing.B) {
			c := newClient(b, sandbox.Config{Users: 200_000, CachePages: test.kept, RateLimit: sandbox.Limits(1 << 30)})
			c.login()
			target := "/api/v1/users"
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				req := c.request(target, nil)
				if test.packed {
					req.Header.Set("Accept-Encoding", "gzip")
				}
				resp, err := c.http.Do(req)
				if err != nil || resp.StatusCode != 200 {
					b.Fatal(err, resp)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if target = (result{header: resp.Header}).next(); target == "" {
					target = "/api/v1/users"
				}
			}
		})
	}
}

// BenchmarkScan evaluates filters that match no user. lastUpdated has an index. The
// other filters scan all users.
func BenchmarkScan(b *testing.B) {
	for _, filter := range []string{`lastUpdated gt "2100-01-01T00:00:00.000Z"`, `status eq "NEVER"`, `profile.login eq "nobody"`} {
		b.Run(filter[:6], func(b *testing.B) {
			c := newClient(b, sandbox.Config{Users: 200_000})
			for range b.N {
				if r := c.get(list("filter", filter)); r.body != "[]" {
					b.Fatal(r.body)
				}
			}
		})
	}
}

// BenchmarkEdges reads all edges of a large org once, compressed: 1,000,000 memberships
// besides those of Everyone, and 400,000 assignments.
func BenchmarkEdges(b *testing.B) {
	for range b.N {
		c := newClient(b, sandbox.Config{Users: 50_000, Groups: 2000, Memberships: 1_000_000, Apps: 300, Assignments: 400_000,
			CachePages: true, RateLimit: sandbox.Limits(1 << 30), TokenLife: 24 * time.Hour})
		start := time.Now()
		paths := []string{}
		for id := range c.org.GroupsJSON() {
			paths = append(paths, edgePath(sandbox.GroupMembers, id)+"?limit=1000")
		}
		for id := range c.org.AppsJSON() {
			paths = append(paths, edgePath(sandbox.AppUsers, id)+"?limit=500", edgePath(sandbox.AppGroups, id)+"?limit=200")
		}
		for range c.org.Edges(sandbox.AppGroups, time.Time{}) {
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/generate")
		start = time.Now()
		pages, size := 0, int64(0)
		for _, target := range paths {
			for target != "" {
				req := c.request(target, nil)
				req.Header.Set("Accept-Encoding", "gzip")
				resp, err := c.http.Do(req)
				if err != nil || resp.StatusCode != 200 {
					b.Fatal(err, resp)
				}
				n, _ := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				pages, size = pages+1, size+n
				target = (result{header: resp.Header}).next()
			}
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/read")
		b.ReportMetric(float64(pages), "pages")
		b.ReportMetric(float64(size)/1e6, "MB")
	}
}
