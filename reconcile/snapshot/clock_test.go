package snapshot_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"oktasync/reconcile/internal/storetest"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/verify"
)

// A clocked store is written by a machine whose clock is wrong. Okta's clock is right.
type clocked struct {
	t     *testing.T
	store *snapshot.Store
	now   time.Time            // by Okta's clock
	error func() time.Duration // of the machine's clock
	names []string             // of the snapshots
}

// write opens a writer, and passes it a draft of n users. A writer that needs adopt
// fails the test.
func (c *clocked) write(n int, do func(w *snapshot.Writer, d snapshot.Draft) error) {
	c.t.Helper()
	w, err := c.store.Writer(c.t.Context(), staff, snapshot.ThisProcess("test"))
	storetest.Must(c.t, err)
	d := storetest.Draft(c.t, c.store, c.now, storetest.People(n)...)
	d.ClockOffset = c.error()
	storetest.Must(c.t, w.Journal(snapshot.Event{Event: snapshot.EventStarted}), do(w, d), w.Close())
}

func (c *clocked) publish() {
	c.t.Helper()
	c.write(3, func(w *snapshot.Writer, d snapshot.Draft) error {
		snap, err := w.Publish(c.t.Context(), d)
		if err == nil {
			c.names = append(c.names, snap.Name())
		}
		return err
	})
}

func (c *clocked) quarantine() (name string) {
	c.t.Helper()
	c.write(2, func(w *snapshot.Writer, d snapshot.Draft) (err error) {
		name, err = w.Quarantine(c.t.Context(), d, "too few users")
		return err
	})
	return name
}

// clockedSteps are what a writer can do.
var clockedSteps = []struct {
	name string
	do   func(c *clocked)
}{
	{"publish", (*clocked).publish},
	{"publish again", (*clocked).publish},
	{"fail", func(c *clocked) {
		c.write(3, func(w *snapshot.Writer, _ snapshot.Draft) error {
			return w.Journal(snapshot.Event{Event: snapshot.EventFailed, Error: "no network"})
		})
	}},
	{"quarantine and drop", func(c *clocked) {
		name := c.quarantine()
		c.write(3, func(w *snapshot.Writer, _ snapshot.Draft) error { return w.Drop(name, "ops", "CHG-1") })
	}},
	{"quarantine and release", func(c *clocked) {
		_, err := storetest.Release(c.t, c.store, c.quarantine())
		storetest.Must(c.t, err)
	}},
	{"prune", func(c *clocked) { storetest.MustPrune(c.t, c.store, 2) }},
	{"erase", func(c *clocked) {
		c.publish()
		c.write(3, func(w *snapshot.Writer, _ snapshot.Draft) error {
			return w.Erase(c.t.Context(), c.names[len(c.names)-1], "ops", "GDPR-1")
		})
		c.publish()
	}},
	{"adopt", func(c *clocked) {
		storetest.RemoveAll(c.t, c.store.Path(staff, c.names[len(c.names)-1]))
		storetest.Adopt(c.t, c.store)
		c.publish()
	}},
	{"publish at the end", (*clocked).publish},
}

// A clock that jitters, or is set back by an hour at any step, stops nothing: no step
// needs adopt, no checkpoint is earlier than the one before, and verify finds no
// problem, at the right time and by the machine's clock.
func TestWrongClock(t *testing.T) {
	jitter := rand.New(rand.NewPCG(5, 5))
	for back := -1; back < len(clockedSteps); back++ {
		name, step := "jitter", 0
		wrong := func() time.Duration { return time.Duration(jitter.IntN(40)-20) * time.Second }
		if back >= 0 {
			name = fmt.Sprintf("set back before %q", clockedSteps[back].name)
			wrong = func() time.Duration {
				if step < back {
					return 0
				}
				return -time.Hour
			}
		}
		t.Run(name, func(t *testing.T) {
			signer := storetest.NewSigner(t)
			allowed := storetest.Allow(t, signer.AllowedSigner("archive"))
			c := &clocked{t: t, now: storetest.Day(1), error: wrong}
			c.store = storetest.Init(t, filepath.Join(t.TempDir(), "snapshots"),
				snapshot.Options{Signer: signer, Allowed: allowed, Witness: &snapshot.Witness{}})
			clock := func() time.Time { return c.now.Add(90*time.Second + wrong()) }
			c.store.SetClock(clock)
			var covered snapshot.Time
			for step = range clockedSteps {
				c.now = c.now.Add(3 * time.Minute)
				clockedSteps[step].do(c)
				checkpoint, err := c.store.Checkpoint(staff)
				storetest.Must(t, err)
				if checkpoint.Time.Before(covered.Time) {
					t.Errorf("%s: the checkpoint's time goes back from %s to %s", clockedSteps[step].name, covered, checkpoint.Time)
				}
				covered = checkpoint.Time
				for _, at := range []time.Time{c.now.Add(90 * time.Second), clock()} {
					if problems, _ := storetest.VerifyWith(t, c.store, verify.Options{Signers: allowed, Time: at}); len(problems) > 0 {
						t.Errorf("%s: verify at %s finds %q", clockedSteps[step].name, at, problems)
					}
				}
			}
		})
	}
}
