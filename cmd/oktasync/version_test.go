package main

import (
	"runtime/debug"
	"testing"
)

// go install of a module records the commit, or the tag, in the module's version.
func TestVersionOfAModule(t *testing.T) {
	for module, want := range map[string][2]string{
		"v0.3.1-0.20261130084343-56175ef0a1b2": {"v0.3.1-0.20261130084343-56175ef0a1b2", "56175ef0a1b2"},
		"v0.3.0":                               {"v0.3.0", "unknown"},
		"(devel)":                              {"dev", "unknown"},
	} {
		if got := toolOf(&debug.BuildInfo{Main: debug.Module{Version: module}}); got.Version != want[0] || got.Commit != want[1] {
			t.Errorf("toolOf(%s) = %+v, want %q", module, got, want)
		}
	}
	stamped := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "56175ef"}}}
	if got := toolOf(stamped).Commit; got != "56175ef" {
		t.Errorf("toolOf(stamped).Commit = %q, want 56175ef", got)
	}
}
