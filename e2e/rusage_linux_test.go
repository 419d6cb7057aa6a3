package e2e

import (
	"os"
	"syscall"
)

// rusage returns the most bytes that a process held in memory.
func rusage(state *os.ProcessState) (int, bool) {
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, false
	}
	return int(usage.Maxrss) << 10, true // Linux counts in KiB
}
