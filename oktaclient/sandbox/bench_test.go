package sandbox_test

import (
	"io"
	"testing"

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
