//go:build race

package e2e

// Under the race detector the program under test has it too: a race in it ends
// it with status 66, which no test expects.
const (
	raceDetector = true
	cgo          = "1" // which the detector needs
)

var buildFlags = []string{"build", "-race", "-trimpath"}
