//go:build race

package dpopauth_test

const raceEnabled = true
