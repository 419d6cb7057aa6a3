package main

import (
	"bytes"
	"context"
	"os"
	"testing"
)

// A demo that a signal stops leaves nothing in the temporary folder.
func TestDemoIsStopped(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out, errs bytes.Buffer
	if status := run(ctx, []string{"demo", "--users", "50"}, &out, &errs); status != exitFailed ||
		errs.String() != "oktasync: error: stopped by a signal before it was done\n" {
		t.Errorf("status %d, stderr %q", status, errs.String())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the demo leaves %v, %v", left, err)
	}
}
