package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile"
	"oktasync/reconcile/snapshot"
)

// overview is how the daemon stands: what the status page shows, and what
// /api/v1/status says as JSON. It has counts and times, and nothing of any user
// and no secret; so it says that an export has a search, which may name people,
// and not which.
type overview struct {
	Time          snapshot.Time    `json:"time"`
	Fresh         bool             `json:"fresh"` // as /fresh has it
	Org           string           `json:"org"`
	Host          string           `json:"host"`
	Version       string           `json:"version"`
	Commit        string           `json:"commit"`
	Started       snapshot.Time    `json:"started"`
	Configuration configOverview   `json:"configuration"`
	Exports       []exportOverview `json:"exports"`
	Okta          oktaOverview     `json:"okta"`
	Store         storeOverview    `json:"store"`
}

// configOverview says which configuration is in use.
type configOverview struct {
	File     string         `json:"file"`
	SHA256   string         `json:"sha256"`
	Read     snapshot.Time  `json:"read"`
	Rejected *snapshot.Time `json:"rejected"` // when a newer one was not taken; null: none was
}

// exportOverview is one export: as declared, as it last went, what it has.
type exportOverview struct {
	Export      string            `json:"export"`
	State       state             `json:"state"`
	Since       *snapshot.Time    `json:"since"`
	Declared    declaredOverview  `json:"declared"`
	Running     bool              `json:"running"`
	LastStarted *snapshot.Time    `json:"last_started"`
	LastEnded   *snapshot.Time    `json:"last_ended"`
	LastOutcome string            `json:"last_outcome"` // "" for never
	Reason      string            `json:"reason"`       // why it is not fresh, as far as known
	LastSuccess *snapshot.Time    `json:"last_success"`
	Next        *snapshot.Time    `json:"next"` // a retry included; null: only by apply
	Snapshots   int               `json:"snapshots"`
	Newest      *newestOverview   `json:"newest"` // null: none yet, or one that can't be read
	Runs        []runOverview     `json:"runs"`   // the last thirty, oldest first
	Quarantined []readingOverview `json:"quarantined"`
	Verified    *verified         `json:"verified"` // null: not yet
}

// declaredOverview is what the configuration asks for.
type declaredOverview struct {
	Schedule string               `json:"schedule"` // "": only by apply
	TimeZone string               `json:"time_zone"`
	Timeout  string               `json:"timeout"`
	Users    string               `json:"users"`
	Include  []string             `json:"include"`
	Exclude  []string             `json:"exclude"`
	Guard    snapshot.Guard       `json:"guard"`
	Formats  []string             `json:"formats"`
	Snapshot reconcile.Publishing `json:"snapshot"`
	Retain   string               `json:"retain"`
}

// newestOverview is the newest snapshot, the head of the chain.
type newestOverview struct {
	Snapshot       string                `json:"snapshot"`
	Sequence       int                   `json:"sequence"`
	ManifestSHA256 string                `json:"manifest_sha256"`
	SignedBy       string                `json:"signed_by"` // "": not signed
	Finished       snapshot.Time         `json:"finished"`  // the reading
	Users          int                   `json:"users"`
	ByStatus       map[string]int        `json:"by_status"`
	Kinds          map[snapshot.Kind]int `json:"kinds"`
	Changes        string                `json:"changes"` // in words
}

// runOverview is how a reconcile ended, and how many users there were then;
// null where nothing was published.
type runOverview struct {
	Ended    snapshot.Time `json:"ended"`
	Outcome  string        `json:"outcome"`
	Users    *int          `json:"users"`
	Snapshot string        `json:"snapshot"`
}

// readingOverview is a reading that is held back.
type readingOverview struct {
	Reading string        `json:"reading"`
	Read    snapshot.Time `json:"read"`
	Users   int           `json:"users"`
	Reason  string        `json:"reason"`
	Command string        `json:"command"` // that shows what it is about
}

// oktaOverview is the connection to Okta.
type oktaOverview struct {
	TokenExpiry        *snapshot.Time  `json:"token_expiry"` // null: none is held
	TokenError         string          `json:"token_error"`  // of the last fetch
	DPoP               bool            `json:"dpop"`
	ClockOffsetSeconds float64         `json:"clock_offset_seconds"` // by which Okta's clock is ahead of ours
	RateLimits         []limitOverview `json:"rate_limits"`
}

// limitOverview is one of Okta's rate limits; the counts are of this window.
type limitOverview struct {
	Bucket    string         `json:"bucket"`
	Limit     int            `json:"limit"`     // for everyone
	Remaining int            `json:"remaining"` // as Okta last said
	Used      int            `json:"used"`      // by us
	Share     int            `json:"share"`     // that we may use
	Waiting   int            `json:"waiting"`
	Reset     *snapshot.Time `json:"reset"`
}

// storeOverview is the store as a whole.
type storeOverview struct {
	Path       string         `json:"path"`
	StoreID    string         `json:"store_id"`
	Bytes      int64          `json:"bytes"` // looked up every five minutes
	Verify     string         `json:"verify"`
	NextVerify *snapshot.Time `json:"next_verify"`
}

// views keeps the last overview for a moment, so that whoever asks often costs
// no more than one who asks each second.
type views struct {
	mu     sync.Mutex
	of     *service
	last   overview
	made   time.Time
	totals map[string]map[string]int // users of snapshots, which never change, by the export's folder
}

const viewAgain = time.Second

// overview is how s stands, as of at most a second ago.
func (s *service) overview() overview {
	v := &s.views
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.of != s || time.Since(v.made) >= viewAgain {
		v.last = s.look()
		v.of, v.made = s, time.Now()
	}
	return v.last
}

func (s *service) look() overview {
	o := overview{
		Time: snapshot.At(time.Now()), Fresh: true, Org: s.cfg.Okta.OrgURL, Started: snapshot.At(s.started),
		Version: toolVersion().Version, Commit: toolVersion().Commit,
		Configuration: configOverview{
			File: cmp.Or(s.cfg.File, "the environment"), SHA256: s.cfg.SHA256, Read: snapshot.At(s.read), Rejected: timeOf(s.rejectedAt()),
		},
		Exports: []exportOverview{}, Okta: oktaOf(s.org, s.cfg.Okta.DPoP.Mode != config.DPoPOff),
	}
	o.Host, _ = os.Hostname()
	bytes, snapshots := s.size.of(s.store.Dir())
	o.Store = storeOverview{
		Path: s.store.Dir(), StoreID: s.store.ID(), Bytes: bytes,
		Verify: s.cfg.Daemon.Verify, NextVerify: timeOf(s.scheduler.Next(verifyJob)),
	}
	for _, export := range s.cfg.Exports {
		e := s.lookAt(export)
		e.Snapshots = snapshots[export.Name]
		o.Fresh = o.Fresh && e.State == stateFresh
		o.Exports = append(o.Exports, e)
	}
	return o
}

// lookAt is how one export stands. What can't be read is left out: the state
// and verify tell of that.
func (s *service) lookAt(export reconcile.Export) exportOverview {
	h := s.health(export)
	e := exportOverview{
		Export: export.Name, State: h.State, Since: timeOf(h.Since), Reason: h.Reason, Declared: declared(export),
		Running: s.scheduler.Running(export.Name), Next: timeOf(s.scheduler.Next(export.Name)),
		Runs: []runOverview{}, Quarantined: []readingOverview{},
	}
	if history, err := s.histories.get(s.store, export.Name); err == nil {
		e.LastStarted, e.LastEnded = timeOf(history.LastStarted.Time.Time), timeOf(history.LastEnd.Time.Time)
		e.LastOutcome = history.LastEnd.Event
		e.LastSuccess, e.Verified = timeOf(history.LastSuccess.Time.Time), lastVerified(history)
		e.Runs = s.runs(export.Name, history.Recent)
	}
	if newest, err := s.store.Latest(export.Name); err == nil {
		e.Newest = newestOf(newest)
	}
	held, _ := s.store.Quarantined(export.Name)
	for _, r := range slices.Backward(held) {
		e.Quarantined = append(e.Quarantined, readingOverview{
			Reading: r.Name(), Read: r.Read.Finished, Users: r.Resources.Users.Total, Reason: r.Reason,
			Command: fmt.Sprintf("oktasync quarantine diff %s@%s", export.Name, r.Name()),
		})
	}
	return e
}

func newestOf(newest *snapshot.Snapshot) *newestOverview {
	m := newest.Manifest
	n := &newestOverview{
		Snapshot: m.Snapshot, Sequence: m.Sequence, ManifestSHA256: newest.Digest, Finished: m.Read.Finished,
		Users: m.Resources.Users.Total, ByStatus: m.Resources.Users.ByStatus, Kinds: m.Resources.Users.Kinds,
		Changes: changesText(m.Resources.Users),
	}
	if m.SignedBy != nil {
		n.SignedBy = *m.SignedBy
	}
	return n
}

// declared says what export declares, but for its search.
func declared(export reconcile.Export) declaredOverview {
	users := export.Users
	if users.Search != "" {
		users.Search = "a search that is not shown here"
	}
	return declaredOverview{
		Schedule: export.Schedule, TimeZone: export.Location().String(), Timeout: term.Duration(export.Timeout),
		Users: queryText(users), Include: users.Attributes.Include, Exclude: users.Attributes.Exclude,
		Guard: users.Guard, Formats: export.Declaration().Formats, Snapshot: cmp.Or(export.Snapshot, reconcile.Always),
		Retain: retainText(export.Retain),
	}
}

// retainText is "the last 30, 400 daily", or "everything".
func retainText(r reconcile.Retain) string {
	var parts []string
	if r.Last > 0 {
		parts = append(parts, fmt.Sprintf("the last %d", r.Last))
	}
	for _, of := range []struct {
		n    int
		word string
	}{{r.Daily, "daily"}, {r.Weekly, "weekly"}, {r.Monthly, "monthly"}, {r.Yearly, "yearly"}} {
		if of.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", of.n, of.word))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "everything")
}

func oktaOf(o *org.Org, dpop bool) oktaOverview {
	st := o.Auth.Status()
	view := oktaOverview{
		TokenExpiry: timeOf(st.Expiry), DPoP: dpop,
		ClockOffsetSeconds: st.Offset.Seconds(), RateLimits: []limitOverview{},
	}
	if st.LastError != nil {
		view.TokenError = st.LastError.Error()
	}
	for _, l := range o.Governor.Limits() {
		view.RateLimits = append(view.RateLimits, limitOverview{
			Bucket: l.Bucket, Limit: l.Limit, Remaining: l.Remaining, Used: l.Used, Share: l.Share, Waiting: l.Waiting, Reset: timeOf(l.Reset),
		})
	}
	return view
}

// timeOf is t, or nil for never.
func timeOf(t time.Time) *snapshot.Time {
	if t.IsZero() {
		return nil
	}
	at := snapshot.At(t)
	return &at
}
