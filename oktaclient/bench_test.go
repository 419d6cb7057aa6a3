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

// fullPage returns a page of 200 users of 1.4 kB, some with non-ASCII names.
func fullPage() []byte {
	var b bytes.Buffer
	names := []string{"Ada Lovelace", "Jürgen Größe", "Łukasz Żółć", "山田 太郎", "Αλέξης \\\"Ζ\\\""}
	for i := range 200 {
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
	page := fullPage()
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
	page := fullPage()
	scan := oktaclient.NewScanner()
	if got := testing.AllocsPerRun(20, func() { scan(page) }); got > 2 {
		t.Errorf("%v allocations for a page of 200 users, want at most 2", got)
	}
}

// BenchmarkRead compares a read with the same requests whose responses are
// decompressed and discarded.
func BenchmarkRead(b *testing.B) {
	const pages = 50
	page := fullPage()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(page)
	w.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("filter") { // the settling pass: no user changed
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte("[]"))
			return
		}
		after, _ := strconv.Atoi(r.URL.Query().Get("after"))
		if after < pages-1 {
			w.Header().Set("Link", fmt.Sprintf(`</api/v1/users?limit=200&after=%d>; rel="next"`, after+1))
		} else {
			w.Header().Set("Link", `</api/v1/users>; rel="self"`)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(packed.Bytes())
	}))
	defer server.Close()
	perThousand := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N)/(pages*0.2), "ms/1000users")
	}
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for i := range pages {
				resp, err := server.Client().Get(fmt.Sprintf("%s/api/v1/users?limit=200&after=%d", server.URL, i))
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}
		perThousand(b)
	})
	b.Run("read", func(b *testing.B) {
		c, err := oktaclient.New(oktaclient.Config{OrgURL: server.URL, HTTPClient: server.Client(), IndexLag: 1})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			if _, err := c.Read(b.Context(), oktaclient.Query{Resource: oktaclient.Users}, counter{&n}); err != nil || n != pages*200 {
				b.Fatalf("read %d users: %v", n, err)
			}
		}
		perThousand(b)
	})
}
