package oktaclient_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"oktasync/oktaclient"
)

// fullPage returns a page of n users of 1.4 kB, some with non-ASCII names.
func fullPage(n int) []byte {
	var b bytes.Buffer
	names := []string{"Ada Lovelace", "Jürgen Größe", "Łukasz Żółć", "山田 太郎", "Αλέξης \\\"Ζ\\\""}
	for i := range n {
		sep := ","
		if i == 0 {
			sep = "["
		}
		fmt.Fprintf(&b, `%s{"id":"00u%017d","status":"ACTIVE","created":"2024-01-02T03:04:05.000Z","activated":null,"lastUpdated":"2026-11-23T06:00:00.%03dZ","passwordChanged":null,"type":{"id":"oty1abcdefghijklmnop"},"profile":{"login":"person.%d@example.com","email":"person.%d@example.com","displayName":"%s","employeeNumber":"%d","seat":%d.50,"remote":true,"groups":["a","b","c"]`, sep, i, i, i, i, names[i%len(names)], i, i)
		for j := range 17 {
			fmt.Fprintf(&b, `,"attribute%d":"%s"`, j, strings.Repeat("value ", 1+j%5))
		}
		b.WriteString(`},"credentials":{"password":{},"provider":{"type":"OKTA","name":"OKTA"}},"_links":{"self":{"href":"https://acme.okta.com/api/v1/users/00u"}}}`)
	}
	b.WriteByte(']')
	return b.Bytes()
}

// BenchmarkScan compares Scan with one pass over the bytes of a page, and with
// encoding/json.
func BenchmarkScan(b *testing.B) {
	page := fullPage(200)
	perThousand := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N)*5, "ms/1000users")
	}
	b.Run("floor", func(b *testing.B) {
		b.SetBytes(int64(len(page)))
		for b.Loop() {
			bytes.Count(page, []byte{'"'})
		}
		perThousand(b)
	})
	b.Run("scan", func(b *testing.B) {
		scan := oktaclient.NewScanner()
		b.SetBytes(int64(len(page)))
		b.ReportAllocs()
		for b.Loop() {
			if users, err := scan(page); err != nil || len(users) != 200 {
				b.Fatalf("%d users: %v", len(users), err)
			}
		}
		perThousand(b)
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.SetBytes(int64(len(page)))
		for b.Loop() {
			var users []json.RawMessage
			if err := json.Unmarshal(page, &users); err != nil || len(users) != 200 {
				b.Fatal(err)
			}
		}
		perThousand(b)
	})
}

// A page takes one allocation, for the ids of all of its users.
func TestScanAllocations(t *testing.T) {
	page := fullPage(200)
	scan := oktaclient.NewScanner()
	if got := testing.AllocsPerRun(20, func() { scan(page) }); got > 2 {
		t.Errorf("%v allocations for a page of 200 users, want at most 2", got)
	}
}

// BenchmarkRead compares reads of 10,000 users and of 10,000 members with the same
// requests whose responses are decompressed and discarded.
func BenchmarkRead(b *testing.B) {
	for _, test := range []struct {
		q    oktaclient.Query
		path string
		size int // of a page
	}{
		{oktaclient.Query{Resource: oktaclient.Users}, "/api/v1/users", 200},
		{oktaclient.Query{Resource: oktaclient.GroupMembers, Parents: []string{"00g1"}}, "/api/v1/groups/00g1/users", 1000},
	} {
		server := httptest.NewServer(pagesOf(test.size, 10_000/test.size))
		b.Run(test.q.Resource.Name+"/floor", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for i := range 10_000 / test.size {
					resp, err := server.Client().Get(fmt.Sprintf("%s%s?limit=%d&after=%d", server.URL, test.path, test.size, i))
					if err != nil {
						b.Fatal(err)
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N)/10, "ms/1000users")
		})
		b.Run(test.q.Resource.Name+"/read", func(b *testing.B) {
			c, err := oktaclient.New(oktaclient.Config{OrgURL: server.URL, HTTPClient: server.Client(), IndexLag: 1})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				s := &tally{}
				if _, err := c.Read(b.Context(), test.q, s); err != nil || s.records != 10_000 {
					b.Fatalf("read %d users: %v", s.records, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N)/10, "ms/1000users")
		})
		server.Close()
	}
}

// pagesOf serves a list of full pages at any path, and no changed users.
func pagesOf(size, pages int) http.Handler {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(fullPage(size))
	w.Close()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Has("filter") { // the settling pass
			w.Write([]byte("[]"))
			return
		}
		w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="self"`, r.URL.Path))
		if after, _ := strconv.Atoi(r.URL.Query().Get("after")); after < pages-1 {
			w.Header().Set("Link", fmt.Sprintf(`<%s?limit=%d&after=%d>; rel="next"`, r.URL.Path, size, after+1))
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(packed.Bytes())
	})
}
