package verify_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

const staff = storetest.Export

// Verify reads records of any length.
func TestVerifyLongLines(t *testing.T) {
	s := storetest.New(t)
	var users []string
	for i, size := range []int{1, 300 << 10, 10, 256<<10 - 60, 1 << 20, 5} {
		users = append(users, fmt.Sprintf(`{"id":"%d","profile":{"login":"%d","essay":"%s"},"status":"ACTIVE"}`, i, i, strings.Repeat("é,", size/3)))
	}
	storetest.Publish(t, s, storetest.Day(1), users...)
	storetest.Publish(t, s, storetest.Day(2), append(users[:4:4], users[5])...)
	storetest.CheckOK(t, s)
}

// A cancelled Verify ends its goroutines, and returns the error of its context.
func TestVerifyCancelled(t *testing.T) {
	s := storetest.ThreeDays(t)
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := verify.Verify(ctx, s, verify.Options{}, func(f verify.Finding) { t.Errorf("found %s", f) }); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify() = %v, want the context's error", err)
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, and there were %d", n, before)
	}
}

func TestVerify(t *testing.T) {
	s := storetest.ThreeDays(t)
	var findings []verify.Finding
	sum, err := verify.Verify(t.Context(), s, verify.Options{}, func(f verify.Finding) { findings = append(findings, f) })
	if err != nil || len(findings) > 0 {
		t.Fatalf("Verify: %v, %v", findings, err)
	}
	latest := storetest.Find(t, s, "")
	checkpoint, err := s.Checkpoint(staff)
	storetest.Must(t, err)
	head := checkpoint.Head()
	if head.Sequence != 3 || head.Digest != latest.Digest || head.Lines != 6 {
		t.Errorf("Head() = %s", head)
	}
	if sum.Snapshots != 3 || sum.Files != 19 || !maps.Equal(sum.Records, map[string]int{"users": 20 + 19 + 19, "groups": 2 + 3 + 3}) || !slices.Equal(sum.Heads, []snapshot.Head{head}) {
		t.Errorf("Verify() = %+v", sum)
	}
	var reports []verify.Progress
	o := verify.Options{Progress: func(p verify.Progress) { reports = append(reports, p) }}
	_, err = verify.Verify(t.Context(), s, o, nil)
	storetest.Must(t, err)
	if last := (verify.Progress{Export: staff, Records: 22 + 22, Expected: 22 + 22 + 22}); len(reports) != 3 || reports[2] != last {
		t.Errorf("progress = %+v, want %+v at last", reports, last)
	}
	if _, err := verify.Verify(t.Context(), s, verify.Options{Exports: []string{"others"}}, nil); err == nil {
		t.Error("Verify of a missing export: no error")
	}
}

// Verify works on a copy without write access.
func TestVerifyCopy(t *testing.T) {
	c := storetest.Copy(t, storetest.ThreeDays(t).Dir(), t.TempDir())
	storetest.Must(t, filepath.WalkDir(c.Dir(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			err = os.Chmod(path, 0o400)
		}
		return err
	}))
	storetest.CheckOK(t, c)
}

// Verify compares records only with the base that it has checked, also if a file is
// exchanged in between.
func TestVerifyBaseExchangedMeanwhile(t *testing.T) {
	s := storetest.ThreeDays(t)
	first, second := storetest.Find(t, s, "@-2"), storetest.Find(t, s, "@-1")
	path := filepath.Join(first.Dir(), snapshot.Users.RecordsFile())
	other := storetest.Read(t, second.Dir(), snapshot.Users.RecordsFile())
	snapshots := 0
	o := verify.Options{Progress: func(verify.Progress) {
		if snapshots++; snapshots == 2 {
			storetest.Write(t, path, other)
		}
	}}
	_, err := verify.Verify(t.Context(), s, o, func(f verify.Finding) { t.Errorf("found %s", f) })
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Verify() = %v, want an error that names %s", err, path)
	}
}

// Verify finds the names of groups only in the groups that it has checked, also if the
// file is exchanged in between.
func TestVerifyParentsExchangedMeanwhile(t *testing.T) {
	const users, groups = 1<<10 - 2, 2 // Verify calls Progress after them
	s := storetest.New(t)
	records := append(storetest.People(users), storetest.Group(1, "first"), storetest.Group(2, "second"), storetest.Member(1, 1))
	first := storetest.Publish(t, s, storetest.Day(1), records...)
	second := storetest.Publish(t, s, storetest.Day(2), append(records, storetest.Group(3, "third"))...)
	other := storetest.Read(t, second.Dir(), snapshot.Groups.RecordsFile())
	o := verify.Options{Progress: func(p verify.Progress) {
		if p.Records == users+groups {
			storetest.Write(t, filepath.Join(first.Dir(), snapshot.Groups.RecordsFile()), other)
		}
	}}
	var found []string
	_, err := verify.Verify(t.Context(), s, o, func(f verify.Finding) { found = append(found, f.String()) })
	if len(found) == 0 || !strings.Contains(found[0], first.Name()+"/group_members.ndjson.zst: ") || !strings.Contains(found[0], snapshot.Groups.RecordsFile()) {
		t.Errorf("Verify() = %v, found %q", err, found)
	}
}

// Adopt writes nothing if the journal isn't the one that it has verified.
func TestAdoptJournalChangedMeanwhile(t *testing.T) {
	s := storetest.ThreeDays(t)
	storetest.Write(t, s.Path(staff, "extra"), "")
	a := snapshot.Adoption{User: "ops", Reason: "INC-1"}
	before, changed := storetest.Read(t, s.Path(staff, "checkpoint")), ""
	err := verify.Adopt(t.Context(), s, staff, snapshot.ThisProcess("test"), a, verify.Options{}, func(verify.Finding) {
		storetest.Must(t, storetest.Edit(s.Path(staff, "journal.ndjson"), `"event":"started"`, `"event":"dropped"`))
		changed = storetest.Read(t, s.Path(staff, "journal.ndjson"))
	})
	if err == nil || !strings.Contains(err.Error(), "its journal has changed while it was verified") {
		t.Errorf("Adopt() = %v", err)
	}
	if storetest.Read(t, s.Path(staff, "checkpoint")) != before || storetest.Read(t, s.Path(staff, "journal.ndjson")) != changed {
		t.Error("Adopt has written to the store")
	}
}
