package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
	"oktasync/reconcile/snapshot"
)

// lines runs a command that has to end with status 0 and gives visit each line
// of its standard output.
func (s *site) lines(t *testing.T, visit func(line []byte), args ...string) {
	t.Helper()
	cmd := s.command(t.Context(), args...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(stdout)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		visit(scanner.Bytes())
	}
	if err := cmd.Wait(); err != nil || scanner.Err() != nil {
		t.Fatalf("oktasync %s: %v, %v\n%s", strings.Join(args, " "), err, scanner.Err(), stderr.Bytes())
	}
}

// The newest snapshot holds exactly the org's users: sorted, canonical, and
// each value with the bytes that Okta sent.
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
			t.Errorf("user %s comes after %s", id, previous)
		}
		previous = id
		if got, want := encode(t, user), encode(t, want[id]); got != want {
			t.Errorf("user %s = %s, want %s", id, got, want)
		}
		if got := encode(t, user); got != string(line) {
			t.Errorf("line of %s is not canonical:\n%s\n%s", id, line, got)
		}
		delete(want, id)
	}, "show", "all-users", "--format", "ndjson")
	if len(want) > 0 {
		t.Errorf("%d users of the org are not in the snapshot", len(want))
	}
}

// decode keeps the text of numbers.
func decode(t *testing.T, data []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// encode is an encoder of canonical JSON of its own: encoding/json sorts
// members by bytes, which for names of ASCII letters is RFC 8785's order.
func encode(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSuffix(b.String(), "\n")
	return strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(text)
}

// withoutExcluded takes away what is excluded by default.
func withoutExcluded(user map[string]any) map[string]any {
	delete(user, "_links")
	if credentials, ok := user["credentials"].(map[string]any); ok {
		delete(credentials, "recovery_question")
		delete(credentials, "emails")
	}
	return user
}

func TestTenThousandUsersBecomeExactlyTheOrg(t *testing.T) {
	t.Parallel()
	needs(t, "zstd")
	s := newTestSite(t, sandbox.Config{Users: 10_000, Deprovisioned: 500, Seed: 7})
	s.must(t, 0, "apply")
	s.equalsOrg(t)
	latest := filepath.Join(s.dir, "snapshots", "all-users", "latest")
	for _, args := range [][]string{{"sha256sum", "-c", "SHA256SUMS"}, {"zstd", "-q", "-t", "users.ndjson.zst"}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = latest
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	s.must(t, 0, "verify")
	s.noViolations(t)
	t.Run("one flipped bit in any file is found", func(t *testing.T) { s.flipEachFile(t, latest) })
}

// flipEachFile flips one bit in the middle of each file of a snapshot, in turn.
func (s *site) flipEachFile(t *testing.T, folder string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 5 {
		t.Fatalf("%d files in the snapshot", len(entries))
	}
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flipped := slices.Clone(before)
		flipped[len(flipped)/2] ^= 1
		write(t, path, flipped)
		r := s.must(t, 1, "verify")
		if !strings.Contains(r.stdout, e.Name()) {
			t.Errorf("verify does not name %s:\n%s", e.Name(), r.stdout)
		}
		write(t, path, before)
	}
	s.must(t, 0, "verify")
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// diffDocument is what the tests need of `diff --json`.
type diffDocument struct {
	Changes []struct {
		Kind snapshot.Kind `json:"kind"`
		ID   string        `json:"id"`
	} `json:"changes"`
}

func TestDiffNamesExactlyThoseWhoChanged(t *testing.T) {
	t.Parallel()
	s := newTestSite(t, sandbox.Config{Users: 10_000, Deprovisioned: 500, Seed: 8})
	s.must(t, 2, "plan", "--detailed-exitcode")
	s.must(t, 0, "apply")
	s.must(t, 0, "plan", "--detailed-exitcode")
	want := map[string]snapshot.Kind{}
	note := func(kind snapshot.Kind, ids []string) {
		for _, id := range ids {
			want[id] = kind
		}
	}
	note(snapshot.Moved, s.org.Move(3))
	note(snapshot.Joined, s.org.Join(2))
	note(snapshot.Deactivated, s.org.Deactivate(2))
	note(snapshot.Deleted, s.org.Delete(2))
	s.org.Touch(50) // lastLogin only
	s.must(t, 2, "plan", "--detailed-exitcode")
	s.must(t, 0, "apply")
	var doc diffDocument
	if err := json.Unmarshal([]byte(s.must(t, 0, "diff", "all-users", "--json").stdout), &doc); err != nil {
		t.Fatal(err)
	}
	got := map[string]snapshot.Kind{}
	for _, c := range doc.Changes {
		got[c.ID] = c.Kind
	}
	if len(want) != 9 || len(doc.Changes) != 9 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("diff = %v, want %v", got, want)
	}
	s.must(t, 0, "verify")
	s.noViolations(t)
}

// Whatever happens once is overcome: the snapshot is complete, and the org has
// seen nothing that a correct client never does.
func TestSnapshotIsCompleteWhateverHappensOnce(t *testing.T) {
	tests := []struct {
		name   string
		config sandbox.Config
		fault  sandbox.Fault
	}{
		{"nonces that change every 3 requests", sandbox.Config{NonceEvery: 3, APINonceEvery: 3}, sandbox.Fault{}},
		{"a demand for a nonce with status 400", sandbox.Config{APINonceEvery: 3, APINonceCode: 400}, sandbox.Fault{}},
		{"a token revoked in mid-read", sandbox.Config{}, sandbox.Fault{Nth: 3, RevokeToken: true}},
		{"a 500", sandbox.Config{}, sandbox.Fault{Nth: 3, Status: 500}},
		{"a 429", sandbox.Config{}, sandbox.Fault{Nth: 3, Status: 429}},
		{"a cut body", sandbox.Config{}, sandbox.Fault{Nth: 3, CutAfter: 1000}},
		{"broken JSON", sandbox.Config{}, sandbox.Fault{Nth: 3, BrokenJSON: true}},
		{"a reset", sandbox.Config{}, sandbox.Fault{Nth: 3, Reset: true}},
		{"an answer lost", sandbox.Config{}, sandbox.Fault{Nth: 3, Lose: true}},
		{"HTML from the edge", sandbox.Config{}, sandbox.Fault{Nth: 3, HTML: true}},
		{"a 500 at the token endpoint", sandbox.Config{}, sandbox.Fault{Path: "token", Status: 500}},
		{"a clock 2 minutes ahead", sandbox.Config{ClockOffset: 2 * time.Minute}, sandbox.Fault{}},
		{"a clock 2 minutes behind", sandbox.Config{ClockOffset: -2 * time.Minute}, sandbox.Fault{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.config.Users, tt.config.Seed = 1900, 9
			s := newTestSite(t, tt.config)
			if tt.fault != (sandbox.Fault{}) {
				s.org.Inject(tt.fault)
			}
			s.must(t, 0, "apply")
			if tt.fault != (sandbox.Fault{}) && s.org.Stats().Faults == 0 {
				t.Error("the fault did not come to pass")
			}
			s.equalsOrg(t)
			s.must(t, 0, "verify")
			s.noViolations(t)
		})
	}
}

// The long form is a token of 3 s under a reading of 30 s.
func TestTokenShorterThanTheReading(t *testing.T) {
	t.Parallel()
	life, pages, latency := 2*time.Second, 40, 200*time.Millisecond
	if long() {
		life, pages, latency = 3*time.Second, 60, 500*time.Millisecond
	}
	s := newTestSite(t, sandbox.Config{Users: 200 * pages, Seed: 10, TokenLife: life, Latency: latency})
	serial := strings.Replace(s.config(""), "store:", "  concurrency: 1\nstore:", 1)
	write(t, filepath.Join(s.dir, "oktasync.yaml"), []byte(serial))
	s.must(t, 0, "apply")
	s.equalsOrg(t)
	if grants := s.org.Stats().Grants; grants < 3 {
		t.Errorf("grants = %d: the token lived through the reading", grants)
	}
	s.noViolations(t)
}

// Memory does not grow with the users, whether they are read one page after the
// other or side by side. BenchmarkApply has a million.
func TestMemoryStaysTheSameForManyUsers(t *testing.T) {
	const most = 128 << 10
	if !long() {
		if peak := applyPeak(t, 20_000, 4); peak > most {
			t.Errorf("resident memory = %d KiB, want at most %d", peak, most)
		}
		return
	}
	few, many := applyPeak(t, 60_000, 4), 0
	for _, concurrency := range []int{4, 1} {
		for try := range 3 { // a busy machine only adds: the collector comes late
			if many = applyPeak(t, 240_000, concurrency); many <= most && many <= few*12/10 {
				break
			}
			if try == 2 {
				t.Errorf("resident memory = %d KiB, and with a quarter of the users %d; want at most %d, and 1.2 times as much", many, few, most)
			}
		}
	}
}

// applyPeak is the most KiB that an apply of so many users holds.
func applyPeak(t *testing.T, users, concurrency int) int {
	s := newTestSite(t, sandbox.Config{Users: users, Seed: 11, CachePages: true})
	config := strings.Replace(s.config(""), "store:", fmt.Sprintf("  concurrency: %d\nstore:", concurrency), 1)
	write(t, filepath.Join(s.dir, "oktasync.yaml"), []byte(config))
	cmd := s.command(t.Context(), "apply")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	peak := make(chan int)
	go func() { peak <- peakResident(cmd.Process.Pid) }()
	err := cmd.Wait()
	got := <-peak
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	if got == 0 {
		t.Skip("this system does not tell how much memory a process holds")
	}
	t.Logf("%d users, %d in flight: %d MiB", users, concurrency, got>>10)
	return got
}

// peakResident watches a process to its end and returns the most KiB that it
// held, as Linux counts it. The rusage of a child won't do: it begins with what
// the parent held when it forked.
func peakResident(pid int) (peak int) {
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return peak
		}
		_, after, found := bytes.Cut(status, []byte("VmHWM:"))
		if !found { // it has ended
			return peak
		}
		fmt.Sscan(string(after), &peak)
		time.Sleep(10 * time.Millisecond)
	}
}
