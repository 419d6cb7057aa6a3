//go:build !race

package e2e

const (
	raceDetector = false
	cgo          = "0"
)

var buildFlags = []string{"build", "-trimpath", "-ldflags", withoutLag}
