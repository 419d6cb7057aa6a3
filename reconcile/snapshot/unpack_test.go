package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"oktasync/reconcile/snapshot/verify"
)

// Users of any length pass through Verify's blocks.
func TestVerifyLongLines(t *testing.T) {
	s := newStore(t)
	var users []string
	for i, size := range []int{1, 300 << 10, 10, 256<<10 - 60, 1 << 20, 5} {
		users = append(users, fmt.Sprintf(`{"id":"%d","profile":{"login":"%d","essay":"%s"},"status":"ACTIVE"}`, i, i, strings.Repeat("é,", size/3)))
	}
	publish(t, s, day(1), users...)
	publish(t, s, day(2), append(users[:4:4], users[5])...)
	if problems, notes := findings(t, s); len(problems)+len(notes) > 0 {
		t.Errorf("Verify found %q %q", problems, notes)
	}
}

// A Verify that is cancelled ends with its context's error, and with all that it
// has started.
func TestVerifyCancelled(t *testing.T) {
	s := threeDays(t)
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := verify.Verify(ctx, s, verify.Options{}, func(f verify.Finding) { t.Errorf("found %s", f) }); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify() = %v, want the context's error", err)
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, and there were %d", n, before)
	}
}
