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

// maxBinary is how large the program may be, stripped, in bytes.
const maxBinary = 25 << 20

// goBuild builds a program as a release is built.
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

func TestTheProgramIsSmall(t *testing.T) {
	noteSources()
	info, err := os.Stat(goBuild(t, "oktasync/cmd/oktasync"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxBinary {
		t.Errorf("the program has %d bytes, want %d at most", info.Size(), maxBinary)
	}
}

// BenchmarkStartup says what commands cost that do nearly nothing, beside a Go
// program that does nothing: floors is how many times as long they take.
func BenchmarkStartup(b *testing.B) {
	s := newTestSite(b, sandbox.Config{Users: 1})
	nothing := filepath.Join(b.TempDir(), "nothing.go")
	if err := os.WriteFile(nothing, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	floor, oktasync := goBuild(b, nothing), goBuild(b, "oktasync/cmd/oktasync")
	plain := strings.Replace(s.config(""), "  ca_file: ca.pem\n", "", 1)
	if err := os.WriteFile(filepath.Join(s.dir, "plain.yaml"), []byte(plain), 0o600); err != nil {
		b.Fatal(err)
	}
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

// cost runs a program in the site's folder and returns how long it took, by the
// clock and on the CPU.
func (s *site) cost(b *testing.B, program string, args ...string) (wall, cpu time.Duration) {
	b.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = s.dir
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begin), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}
