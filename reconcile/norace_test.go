//go:build !race

package reconcile_test

const raceDetector = false
