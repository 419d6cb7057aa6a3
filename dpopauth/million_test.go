package dpopauth_test

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
)

func TestD8_IDsAreLongAndUnique(t *testing.T) {
	ids := map[string]bool{}
	for range 2 { // a second Transport, as after a restart
		tr := capture(t, newKey(t, ed()), "https://rs.example", func(r *http.Request) {
			_, claims, _ := parts(t, r.Header.Get("DPoP"))
			id := object(t, claims)["jti"].(string)
			if len(id) != 26 || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
				t.Errorf("jti = %q, want 26 characters of 5 random bits", id)
			}
			ids[id] = true
		})
		for range 1000 {
			do(t, tr, "https://rs.example/")
		}
	}
	if len(ids) != 2000 {
		t.Errorf("different ids = %d, want 2000", len(ids))
	}
}

func TestD111_MemoryIsFlat(t *testing.T) {
	tr := capture(t, newKey(t, ed()), "https://rs.example", nil)
	heap := func() uint64 {
		for range scaled(2_000, 200_000) {
			do(t, tr, "https://rs.example/api/v1/users")
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	if before, after := heap(), heap(); after > before+256<<10 {
		t.Errorf("heap grew from %d to %d bytes", before, after)
	}
}
