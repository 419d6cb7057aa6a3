//go:build race

package e2e

// With the race detector in the tests, the program has it too. A race ends the
// program with status 66, which no test expects.
const (
	raceDetector = true
	cgo          = "1" // the detector needs it
)

// The packages of the program are those that `go test -race` has compiled.
var buildFlags = []string{"build", "-race", "-ldflags", withoutLag}
