package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oktasync/oktaclient/sandbox"
)

// maxBinary is the largest size of the stripped program, in bytes.
const maxBinary = 25 << 20

// goBuild builds a program like a release.
func goBuild(t testing.TB, pkg string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return path
}

func TestProgramSize(t *testing.T) {
	statSources()
	info, err := os.Stat(goBuild(t, "oktasync/cmd/oktasync"))
	check(t, err)
	if info.Size() > maxBinary {
		t.Errorf("the program has %d bytes, want at most %d", info.Size(), maxBinary)
	}
}

// The commit is known without the stamp of go build: in the source of git archive,
// and with -ldflags.
func TestCommitOfABuildWithoutVCSStamp(t *testing.T) {
	needs(t, "git", "tar")
	head, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil {
		t.Skip("not a clone")
	}
	commit, dir := strings.TrimSpace(string(head)), t.TempDir()
	script := `(cd .. && git archive HEAD) | tar -x -C "$0" && cd "$0" &&
		go build -trimpath -buildvcs=false -o archive ./cmd/oktasync && ./archive version &&
		go build -trimpath -buildvcs=false -ldflags "-X main.commit=0123abc" -o flags ./cmd/oktasync && ./flags version`
	out, err := exec.Command("sh", "-c", script, dir).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "oktasync dev, commit "+commit+", go") || !strings.Contains(string(out), "\noktasync dev, commit 0123abc, go") {
		t.Errorf("%v\n%s, want commit %s", err, out, commit)
	}
}

// The program contains the time zone database: it accepts every zone on a host
// that has none.
func TestTimeZones(t *testing.T) {
	needsMounts(t)
	const hide = `if [ -d /usr/share/zoneinfo ]; then mount -t tmpfs tmpfs /usr/share/zoneinfo; fi`
	s := newSite(t, sandbox.Config{Users: 1, Seed: 132})
	for zone, want := range map[string]string{"Europe/Berlin": "is valid", "Europe/Atlantis": "time_zone"} {
		s.configure(t, "    schedule: \"30 2 * * *\"\n    time_zone: "+zone+"\n")
		cmd := exec.Command("unshare", "-m", "sh", "-c", hide+` && exec "$0" validate`, program())
		cmd.Dir = s.dir
		if out, err := cmd.CombinedOutput(); !strings.Contains(string(out), want) || (err == nil) != (zone == "Europe/Berlin") {
			t.Errorf("%s: %v\n%s", zone, err, out)
		}
	}
}

// BenchmarkStartup measures commands that do very little. The metric floors is
// their time divided by that of a Go program that does nothing.
func BenchmarkStartup(b *testing.B) {
	s := newSite(b, sandbox.Config{Users: 1})
	nothing := filepath.Join(b.TempDir(), "nothing.go")
	write(b, nothing, "package main\n\nfunc main() {}\n")
	floor, oktasync := goBuild(b, nothing), goBuild(b, "oktasync/cmd/oktasync")
	write(b, s.path("plain.yaml"), strings.Replace(s.config(""), "  ca_file: ca.pem\n", "", 1))
	for _, args := range [][]string{{"version"}, {"--help"}, {"validate", "--config", "plain.yaml"}, {"validate", "--config", "oktasync.yaml"}} {
		b.Run(strings.Join(args, "_"), func(b *testing.B) {
			var floors, wall, cpu time.Duration
			for b.Loop() {
				f, _ := s.cost(b, floor)
				w, c := s.cost(b, oktasync, args...)
				floors, wall, cpu = floors+f, wall+w, cpu+c
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(wall.Seconds()*1000/float64(b.N), "ms/op")
			b.ReportMetric(cpu.Seconds()*1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(wall.Seconds()/floors.Seconds(), "floors")
		})
	}
}

// cost runs a program in the site's folder and returns its wall-clock and CPU time.
func (s *site) cost(b *testing.B, program string, args ...string) (wall, cpu time.Duration) {
	b.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = s.dir
	begin := time.Now()
	check(b, cmd.Run())
	return time.Since(begin), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}
