package main

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchmarkVerify compares `verify` with its floor: sha256sum and zstd -t over
// the files of the same two snapshots, one after the other. Its speed is the
// time that passes; what CPU it takes, and the most memory, are reported too.
//
//	OKTASYNC_BENCH_USERS=1000000 go test -run ^$ -bench Verify -benchtime 1x ./cmd/oktasync
func BenchmarkVerify(b *testing.B) {
	users := benchSetting("USERS", 100_000)
	dir := b.TempDir()
	org := serveBench(b, dir, users, 4, "ndjson, csv")
	benchChild(b, dir, "apply")
	org.Move(users / 100)
	org.Deactivate(users / 200)
	org.Join(users / 200)
	benchChild(b, dir, "apply")
	files, err := filepath.Glob(filepath.Join(dir, "snapshots", "people", "2*", "*"))
	if err != nil || len(files) != 11 {
		b.Fatalf("files %v, %v", files, err)
	}
	packed, err := filepath.Glob(filepath.Join(dir, "snapshots", "people", "2*", "users.ndjson.zst"))
	if err != nil {
		b.Fatal(err)
	}
	commands := [][]string{append([]string{"sha256sum"}, files...), append([]string{"zstd", "-t", "-q"}, packed...)}
	var floor, floorCPU time.Duration
	b.Run("floor", func(b *testing.B) {
		floor, floorCPU = 0, 0
		for b.Loop() {
			for _, args := range commands {
				wall, cpu := benchCommand(b, args)
				floor, floorCPU = floor+wall, floorCPU+cpu
			}
		}
		floor, floorCPU = floor/time.Duration(b.N), floorCPU/time.Duration(b.N)
		reportVerify(b, users, floor, floorCPU)
	})
	b.Run("verify", func(b *testing.B) {
		var wall, cpu time.Duration
		peak := 0
		for b.Loop() {
			start := time.Now()
			c, p, _ := benchChild(b, dir, "verify")
			wall, cpu, peak = wall+time.Since(start), cpu+c, max(peak, p)
		}
		wall, cpu = wall/time.Duration(b.N), cpu/time.Duration(b.N)
		reportVerify(b, users, wall, cpu)
		b.ReportMetric(float64(peak)/1024, "MiB-peak")
		if floor > 0 { // it was not left out by -bench
			b.ReportMetric(wall.Seconds()/floor.Seconds(), "floors-wall")
			b.ReportMetric(cpu.Seconds()/floorCPU.Seconds(), "floors-cpu")
		}
	})
}

func reportVerify(b *testing.B, users int, wall, cpu time.Duration) {
	thousands := 2 * float64(users) / 1000 // in two snapshots
	b.ReportMetric(wall.Seconds()*1e3/thousands, "ms/1000users")
	b.ReportMetric(cpu.Seconds()*1e3/thousands, "ms-cpu/1000users")
	b.ReportMetric(0, "ns/op")
}

// benchCommand runs a command of the system.
func benchCommand(b *testing.B, args []string) (wall, cpu time.Duration) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), args[0], args[1:]...)
	start := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v", args[0], err)
	}
	used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return time.Since(start), time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
