package dpopauth_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"oktasync/dpopauth/keys"
)

// An id is a jti: 26 characters of 5 random bits each.
type id [26]byte

// collect sends requests by two goroutines through a new transport, and calls warm
// when a tenth of them is done. It returns the ids of their proofs.
func collect(t testing.TB, key *keys.Key, requests int, warm func()) []id {
	t.Helper()
	ids := make([]id, requests)
	var n atomic.Int64
	tr := capture(t, key, "https://rs.example", func(r *http.Request) {
		_, rest, _ := strings.Cut(r.Header.Get("DPoP"), ".")
		var claims [36]byte
		_, err := base64.RawURLEncoding.Decode(claims[:], []byte(rest[:48]))
		value, ok := bytes.CutPrefix(claims[:], []byte(`{"jti":"`))
		if err != nil || !ok || value[26] != '"' {
			t.Errorf("claims begin with %s, %v", claims, err)
		}
		ids[n.Add(1)-1] = id(value)
	})
	send := func(n int) {
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for range n / 2 {
					do(t, tr, "https://rs.example/api/v1/users")
				}
			})
		}
		wg.Wait()
	}
	send(requests / 10)
	warm()
	send(requests - requests/10)
	return ids
}

// million is what a million requests leave behind, in the long form.
var million struct {
	once          sync.Once
	ids           []id
	before, after uint64 // octets of the heap, at a tenth of them and at the end
}

func afterAMillion(t testing.TB) {
	t.Helper()
	million.once.Do(func() {
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		million.ids = collect(t, newKey(t, ed()), scaled(5_000, 1_000_000), func() { million.before = heap() })
		million.after = heap()
	})
}

func TestD8_IDsAreLongAndNeverRepeat(t *testing.T) {
	afterAMillion(t)
	ids := append(slices.Clone(million.ids), collect(t, newKey(t, p256()), 2000, func() {})...) // a second Transport is what a restart is
	for _, id := range ids {
		if strings.Trim(string(id[:]), "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
			t.Fatalf("jti = %q, want base32", id)
		}
	}
	all := len(ids)
	slices.SortFunc(ids, func(a, b id) int { return bytes.Compare(a[:], b[:]) })
	if n := len(slices.Compact(ids)); n != all || n < scaled(7_000, 1_002_000) {
		t.Errorf("%d different ids of %d", n, all)
	}
}

func TestD111_MemoryIsFlat(t *testing.T) {
	afterAMillion(t)
	if million.before == 0 || million.after > million.before+256<<10 {
		t.Errorf("heap grew from %d to %d octets", million.before, million.after)
	}
}
