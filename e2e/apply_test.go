package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile/snapshot/diff"
)

// lines runs a command that must return status 0, and calls visit for each line
// of its standard output.
func (s *site) lines(t *testing.T, visit func(line []byte), args ...string) {
	t.Helper()
	cmd := s.command(t.Context(), args...)
	stdout, err := cmd.StdoutPipe()
	check(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	check(t, cmd.Start())
	scanner := bufio.NewScanner(stdout)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		visit(scanner.Bytes())
	}
	if err := cmd.Wait(); err != nil || scanner.Err() != nil {
		t.Fatalf("oktasync %s: %v, %v\n%s", strings.Join(args, " "), err, scanner.Err(), stderr.Bytes())
	}
}

// equalsOrg checks that the newest snapshot contains exactly the org's users:
// sorted, canonical, and with the values that Okta sent.
func (s *site) equalsOrg(t *testing.T) {
	t.Helper()
	want := make(map[string]any)
	for id, raw := range s.org.UsersJSON() {
		want[id] = withoutExcluded(decode(t, raw))
	}
	previous := ""
	s.lines(t, func(line []byte) {
		user := decode(t, line)
		id := user["id"].(string)
		if id <= previous {
			t.Errorf("user %s follows user %s", id, previous)
		}
		previous = id
		if got, want := encode(t, user), encode(t, want[id]); got != want {
			t.Errorf("user %s = %s, want %s", id, got, want)
		}
		if got := encode(t, user); got != string(line) {
			t.Errorf("the line of user %s is not canonical:\n%s\n%s", id, line, got)
		}
		delete(want, id)
	}, "show", "all-users", "--format", "ndjson")
	if len(want) > 0 {
		t.Errorf("the snapshot lacks %d users of the org", len(want))
	}
}

// decode decodes an object and keeps the text of its numbers.
func decode(t *testing.T, data []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v map[string]any
	check(t, d.Decode(&v))
	return v
}

// encode encodes canonical JSON independently of canonjson: encoding/json sorts
// members by bytes, which is the order of RFC 8785 for names of ASCII letters.
func encode(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	check(t, e.Encode(v))
	text := strings.TrimSuffix(b.String(), "\n")
	return strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(text)
}

// withoutExcluded removes the attributes that are excluded by default.
func withoutExcluded(user map[string]any) map[string]any {
	delete(user, "_links")
	if credentials, ok := user["credentials"].(map[string]any); ok {
		delete(credentials, "recovery_question")
		delete(credentials, "emails")
	}
	return user
}

// diffDocument is a part of the output of `diff --json`.
type diffDocument struct {
	Changes []struct {
		Kind diff.Kind         `json:"kind"`
		Key  map[string]string `json:"key"`
	} `json:"changes"`
}

// A snapshot of 10,000 users equals the org, sha256sum and zstd accept it, and diff
// lists exactly the changed users.
func TestApplyTenThousandUsers(t *testing.T) {
	t.Parallel()
	needs(t, "zstd")
	s := newSite(t, sandbox.Config{Users: 10_000, Deprovisioned: 500, Seed: 7})
	s.must(t, 2, "plan", "--detailed-exitcode")
	s.must(t, 0, "apply")
	s.equalsOrg(t)
	s.sh(t, "cd snapshots/all-users/latest && sha256sum -c SHA256SUMS && zstd -q -t users.ndjson.zst")
	s.must(t, 0, "plan", "--detailed-exitcode")
	want := map[string]diff.Kind{}
	for kind, ids := range map[diff.Kind][]string{
		diff.Moved: s.org.Move(3), diff.Joined: s.org.Join(2), diff.Deactivated: s.org.Deactivate(2), diff.Deleted: s.org.Delete(2),
	} {
		for _, id := range ids {
			want[id] = kind
		}
	}
	s.org.Touch(50) // lastLogin only
	s.must(t, 2, "plan", "--detailed-exitcode")
	s.must(t, 0, "apply")
	var doc diffDocument
	check(t, json.Unmarshal([]byte(s.must(t, 0, "diff", "all-users", "--json").stdout), &doc))
	got := map[string]diff.Kind{}
	for _, c := range doc.Changes {
		got[c.Key["id"]] = c.Kind
	}
	if len(want) != 9 || len(doc.Changes) != 9 || !maps.Equal(got, want) {
		t.Errorf("diff = %v, want %v", got, want)
	}
	s.must(t, 0, "verify")
	s.noViolations(t)
}

// Nonces that change during a read and a wrong clock don't affect the result.
// cmd/oktasync/internal/org tests all faults of the sandbox.
func TestApplyWithNoncesAndClocks(t *testing.T) {
	for name, cfg := range map[string]sandbox.Config{
		"nonces that change every 3 requests": {NonceEvery: 3, APINonceEvery: 3},
		"nonce demanded with status 400":      {APINonceEvery: 3, APINonceCode: 400},
		"clock 2 minutes ahead":               {ClockOffset: 2 * time.Minute},
		"clock 2 minutes behind":              {ClockOffset: -2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg.Users, cfg.Seed = 1900, 9
			s := newSite(t, cfg)
			s.must(t, 0, "apply")
			s.equalsOrg(t)
			s.must(t, 0, "verify")
			s.noViolations(t)
		})
	}
}

func TestApplyOutlastsToken(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandbox.Config{Users: 200 * 30, Seed: 10, TokenLife: 2 * time.Second, Latency: 200 * time.Millisecond})
	s.configure(t, "", "store:", "  concurrency: 1\nstore:")
	s.must(t, 0, "apply")
	s.equalsOrg(t)
	if grants := s.org.Stats().Grants; grants < 3 {
		t.Errorf("%d tokens were granted, want 3 at least", grants)
	}
	s.noViolations(t)
}

// Peak memory doesn't depend on the number of users. BenchmarkApply measures a
// million.
func TestApplyMemory(t *testing.T) {
	const most = 128 << 10
	if !long() {
		if peak := applyPeak(t, 20_000, 4); peak > most {
			t.Errorf("resident memory = %d KiB, want at most %d", peak, most)
		}
		return
	}
	few, many := applyPeak(t, 60_000, 4), 0
	for _, concurrency := range []int{4, 1} {
		for try := range 3 { // on a loaded machine, garbage collections may be late
			if many = applyPeak(t, 240_000, concurrency); many <= most && many <= few*12/10 {
				break
			}
			if try == 2 {
				t.Errorf("resident memory = %d KiB, with a quarter of the users %d KiB; want at most %d, and at most 1.2 times as much", many, few, most)
			}
		}
	}
}

// applyPeak runs apply and returns its peak resident memory, in KiB.
func applyPeak(t *testing.T, users, concurrency int) int {
	s := newSite(t, sandbox.Config{Users: users, Seed: 11, CachePages: true})
	s.configure(t, "", "store:", fmt.Sprintf("  concurrency: %d\nstore:", concurrency))
	cmd := s.command(t.Context(), "apply")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	check(t, cmd.Start())
	peak := make(chan int)
	go func() { peak <- peakResident(cmd.Process.Pid) }()
	err := cmd.Wait()
	got := <-peak
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	if got == 0 {
		t.Skip("this system doesn't report the peak memory of a process")
	}
	t.Logf("%d users, %d in flight: %d MiB", users, concurrency, got>>10)
	return got
}

// peakResident polls a process until its end, and returns its peak resident
// memory (VmHWM), in KiB. The rusage of a child process includes the memory of
// its parent at the time of the fork.
func peakResident(pid int) (peak int) {
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return peak
		}
		_, after, found := bytes.Cut(status, []byte("VmHWM:"))
		if !found { // the process has ended
			return peak
		}
		fmt.Sscan(string(after), &peak)
		time.Sleep(10 * time.Millisecond)
	}
}
