package reconcile

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
)

// Source reads the resources of an org. [oktaclient.Client] is one.
//
// Read passes every record that the query selects to the sink at least once, in
// any order, and every request that it made. Find does the same for the records
// with these ids. A record that Find does not pass does not exist. Both retry, and return
// an error unless the read is complete. The error is an [*UnavailableError] if the app
// can't read the resource. Calls of the sink are serialized, and none follows the return.
// Several reads may run at once.
type Source interface {
	Read(ctx context.Context, query oktaclient.Query, sink oktaclient.Sink) (oktaclient.ReadResult, error)
	Find(ctx context.Context, query oktaclient.Query, ids []string, sink oktaclient.Sink) (oktaclient.ReadResult, error)
}

// Config is shared by all reconciles of one org.
type Config struct {
	Store  *snapshot.Store // nil: there is none yet, and only Plan can be called
	Spool  string          // folder of temporary files if Store is nil
	Source Source
	Org    snapshot.Org    // each read adds the certificate
	Client snapshot.Client // the app that reads
	Tool   snapshot.Tool   // the program that reads
	Logger *slog.Logger    // nil: no log

	// Full reads the members of all groups, also if they could be carried.
	Full bool

	// MembershipLag is how late Okta can show a change of a group's members in its
	// lastMembershipUpdated. 0: 12 seconds. A negative lag is none, for tests.
	MembershipLag time.Duration

	// Progress, if not nil, receives the progress of each reconcile and plan, at
	// most once per page. Calls for one reconcile are serialized.
	Progress func(Progress)
}

// membershipLag is how late a list of groups can show a change of members in
// lastMembershipUpdated, with the time of the change: up to 10 seconds, and the
// delay of Okta's index.
const membershipLag = 12 * time.Second

// Reconciler publishes snapshots of what exports declare. Its methods are safe for
// concurrent use. The store allows one writer per export at a time.
type Reconciler struct {
	cfg Config
	log *slog.Logger
}

// New returns a Reconciler.
func New(cfg Config) *Reconciler {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cfg.MembershipLag = cmp.Or(cfg.MembershipLag, membershipLag)
	return &Reconciler{cfg: cfg, log: log}
}

func (r *Reconciler) tempFile() (*os.File, error) {
	if r.cfg.Store == nil {
		return snapshot.TempFile(r.cfg.Spool)
	}
	return r.cfg.Store.TempFile()
}

// recoverPanic turns a panic into an error, so that it ends one reconcile and not
// the daemon.
func recoverPanic(err *error) {
	if p := recover(); p != nil {
		*err = errors.Join(*err, oktaclient.PanicError(p))
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
