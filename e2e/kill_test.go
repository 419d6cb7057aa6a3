package e2e

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// SIGKILL at a random moment of an apply of all resources: verify returns 0 each time,
// and the next apply publishes and leaves no partial folder.
func TestApplyKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 500, Seed: 17, CachePages: true}, "okta.users.read", "okta.groups.read", "okta.apps.read")
	s.configure(t, allResources)
	group, app := s.org.AddGroup("Pilots", ""), s.org.AddApp("Logbook")
	start := time.Now()
	s.must(t, 0, "apply")
	whole := time.Since(start)
	kills := 8
	if long() {
		kills = 50
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, apply takes %s", seed, whole)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range kills {
		user := s.org.Move(1)[0]
		check(t, errors.Join(s.org.AddMember(group, user), s.org.AssignUser(app, user, "")))
		cmd := s.command(t.Context(), "apply")
		check(t, cmd.Start())
		time.Sleep(time.Duration(random.Float64() * float64(whole)))
		cmd.Process.Kill()
		cmd.Wait()
		if r := s.run(t, "verify"); r.status != 0 {
			t.Fatalf("kill %d: verify returned %d\n%s%s", i, r.status, r.stdout, r.stderr)
		}
	}
	s.must(t, 0, "apply")
	s.equalsOrg(t)
	for kind, parent := range map[sandbox.EdgeKind]string{sandbox.GroupMembers: group, sandbox.AppUsers: app} {
		shown := strings.Count(s.must(t, 0, "show", "all-users", string(kind)).stdout, parent)
		if want := len(s.org.EdgesOf(kind, parent)); shown != want {
			t.Errorf("%d %s of %s, want %d", shown, kind, parent, want)
		}
	}
	s.must(t, 0, "verify")
	entries, err := os.ReadDir(s.path("snapshots/all-users"))
	check(t, err)
	for _, e := range entries {
		if strings.Contains(e.Name(), "partial") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// While one apply reads, a second one fails with the name of the first. SIGINT
// ends the first with status 1.
func TestApplyInterrupted(t *testing.T) {
	s := newSite(t, sandbox.Config{Users: 50, Seed: 20})
	s.org.Inject(sandbox.Fault{Stall: -1})
	requests := make(chan struct{}, 10)
	s.org.OnRequest(func(int, *http.Request) { requests <- struct{}{} })
	first := s.command(t.Context(), "apply")
	check(t, first.Start())
	<-requests
	if r := s.must(t, 1, "apply"); !strings.Contains(r.stderr, "all-users is locked by apply (process ") {
		t.Errorf("stderr = %q", r.stderr)
	}
	s.must(t, 0, "verify")
	first.Process.Signal(syscall.SIGINT)
	first.Wait()
	if status := first.ProcessState.ExitCode(); status != 1 {
		t.Errorf("the interrupted apply returned %d, want 1", status)
	}
	s.org.ClearFaults()
	s.must(t, 0, "apply")
	s.must(t, 0, "verify")
}
