package e2e

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"oktasync/oktaclient/sandbox"
)

// Readers take no lock, and meet nothing partial, while snapshots are
// published and pruned; a second writer is told who is at it.
func TestReadersBesideAWriter(t *testing.T) {
	readers, applies := 4, 5
	if long() {
		readers, applies = 10, 30
	}
	s := newTestSite(t, sandbox.Config{Users: 200, Seed: 51, CachePages: true})
	config := s.config("    retain: {last: 3}\n")
	if err := os.WriteFile(filepath.Join(s.dir, "oktasync.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.must(t, 0, "apply")
	}
	commands := [][]string{{"verify"}, {"show", "all-users"}, {"list"}, {"diff", "all-users"}, {"status"}}
	done := make(chan struct{})
	var all sync.WaitGroup
	for i := range readers {
		all.Go(func() {
			for n := i; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				args := append(commands[n%len(commands)], "--store", "snapshots")
				if r := s.run(t, args...); r.status != 0 {
					t.Errorf("oktasync %s: status %d\n%s%s", strings.Join(args, " "), r.status, r.stdout, r.stderr)
					return
				}
			}
		})
	}
	for range applies {
		s.org.Move(1)
		var second sync.WaitGroup
		second.Go(func() {
			if r := s.run(t, "apply"); r.status != 0 && !strings.Contains(r.stderr, "all-users is locked by ") {
				t.Errorf("one of two: status %d\n%s", r.status, r.stderr)
			}
		})
		if r := s.run(t, "apply"); r.status != 0 && !strings.Contains(r.stderr, "all-users is locked by ") {
			t.Errorf("one of two: status %d\n%s", r.status, r.stderr)
		}
		second.Wait()
	}
	close(done)
	all.Wait()
	s.must(t, 0, "apply")
	s.must(t, 0, "verify")
	s.equalsOrg(t)
}

// The store's folder goes away in the middle of a reading: one clear line, and
// the next run makes a new store.
func TestStoreRemovedInAReading(t *testing.T) {
	s := newTestSite(t, sandbox.Config{Users: 100, Seed: 52})
	s.must(t, 0, "apply")
	var once sync.Once
	s.org.OnRequest(func(int, *http.Request) {
		once.Do(func() {
			if err := os.RemoveAll(filepath.Join(s.dir, "snapshots")); err != nil {
				t.Error(err)
			}
		})
	})
	r := s.run(t, "apply")
	if r.status != 1 || strings.Count(r.stderr, "oktasync: error: ") != 1 || strings.Contains(r.stderr, "goroutine") {
		t.Errorf("status %d\n%s", r.status, r.stderr)
	}
	s.must(t, 0, "apply")
	s.must(t, 0, "verify")
}

// A full disk, and one that has turned read-only: status 1, one clear line,
// nothing lost, and the next run is as if nothing had been.
func TestDiskFullAndReadOnly(t *testing.T) {
	needs(t, "unshare")
	if err := exec.Command("unshare", "-m", "true").Run(); err != nil {
		t.Skipf("no mounts for this user: %v", err)
	}
	s := newTestSite(t, sandbox.Config{Users: 400, Seed: 53})
	script := `
mkdir snapshots
mount -t tmpfs -o size=2m tmpfs snapshots
oktasync apply
head -c 3000000 /dev/zero >snapshots/.filler || true
! oktasync apply 2>err
grep -c "oktasync: error: " err | grep -qx 1
grep "no space left on device" err
grep "oktasync: hint: free some space there" err
oktasync verify
truncate -s 1900000 snapshots/.filler
! oktasync apply 2>err
grep "no space left on device" err
grep "oktasync: hint: free some space there" err
oktasync verify
rm snapshots/.filler
oktasync apply
oktasync verify

mount -o remount,ro snapshots
! oktasync apply 2>err
grep -c "oktasync: error: " err | grep -qx 1
grep "read-only file system" err
oktasync verify
mount -o remount,rw snapshots
oktasync apply
oktasync verify | grep "head is sequence 3"
if ls -A snapshots/all-users | grep partial; then exit 1; fi
umount snapshots
`
	cmd := exec.Command("unshare", "-m", "sh", "-exc", script)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatal(err)
		}
		t.Errorf("%v\n%s", err, &out)
	}
}
