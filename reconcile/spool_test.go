package reconcile_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"oktasync/oktaclient"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// A merge returns each id once, ascending, in its newest version, and of equal
// versions the later one.
func TestSpool(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		spool := reconcile.NewSpool(t.TempDir(), 1+random.IntN(4000))
		newest := map[string]string{} // the expected JSON by id
		versions := map[string]string{}
		arrivals := random.IntN(400)
		for arrival := range arrivals {
			id := fmt.Sprintf("00u%03d", random.IntN(120))
			updated := fmt.Sprintf("2026-11-23T06:00:0%d.000Z", random.IntN(4))
			text := fmt.Sprintf(`{"arrival":%d,"id":%q}`, arrival, id)
			if updated >= versions[id] {
				versions[id], newest[id] = updated, text
			}
			if err := spool.Add(oktaclient.Record{ID: id, LastUpdated: updated, Status: "ACTIVE", JSON: []byte(text)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := spool.Finish(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // a spool can be merged again
			users, duplicates, err := spool.Merge()
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for {
				u, err := users.Next()
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				id := string(u.Key)
				ids = append(ids, id)
				if string(u.JSON) != newest[id] {
					t.Errorf("seed %d: %s = %s, want %s", seed, id, u.JSON, newest[id])
				}
			}
			if len(ids) != len(newest) || !slices.IsSorted(ids) {
				t.Errorf("seed %d: %d ids (sorted: %t), want %d", seed, len(ids), slices.IsSorted(ids), len(newest))
			}
			if got, want := duplicates(), arrivals-len(newest); got != want {
				t.Errorf("seed %d: duplicates = %d, want %d", seed, got, want)
			}
		}
		if err := spool.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSpoolRejectsBrokenRecords(t *testing.T) {
	spool := reconcile.NewSpool(t.TempDir(), 1<<20)
	defer spool.Close()
	if err := spool.Add(oktaclient.Record{ID: "00u1", JSON: []byte(`{"id":"00u1","id":"00u1"}`)}); err == nil {
		t.Error("the spool accepts a duplicate member")
	}
	if err := spool.Add(oktaclient.Record{ID: "00g\x00", JSON: []byte(`{"id":"00g\u0000"}`)}); err == nil {
		t.Error("the spool accepts a zero byte, which separates the parts of a key, in an id")
	}
}

// Attributes that a resource never stores aren't written to a temporary file either.
func TestSpoolHasNoSecrets(t *testing.T) {
	for _, r := range []*snapshot.Resource{snapshot.Apps, snapshot.AppUsers} {
		record := oktaclient.Record{ID: "00u1", Parent: "0oa1", Status: "ACTIVE", JSON: []byte(
			`{"id":"00u1","status":"ACTIVE","credentials":{"password":{"value":"s3cret"},"oauthClient":{"client_secret":"s3cret"}},` +
				`"profile":{"pin":"s3cret"},"settings":{"app":{"apiKey":"s3cret"}}}`)}
		got, err := reconcile.Spooled(r, record, t.TempDir())
		if err != nil || !strings.Contains(string(got), "ACTIVE") || strings.Contains(string(got), "s3cret") {
			t.Errorf("%s: spooled %q, %v", r.Name, got, err)
		}
	}
}
