package reconcile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"

	"oktasync/oktaclient"
	"oktasync/reconcile/snapshot"
)

// Plan is what a reconcile would do to the store, with the reading it rests on.
// It holds counts in memory and people in unnamed temporary files; Close gives
// those back.
type Plan struct {
	Export     Export
	Previous   *snapshot.Snapshot // the newest one; nil before the first
	Base       string             // what was compared with: snapshot.BaseNone, BasePrevious or BaseReset
	Counts     snapshot.Counts
	ByStatus   map[string]int // users by Okta's status
	Duplicates int            // further copies of users
	Outside    int            // users who were read and are not of the export
	Reading    oktaclient.ReadResult
	Declared   bool     // the declaration differs from the newest snapshot's
	Missing    []string // what the newest snapshot should hold and the store lacks
	Held       []string // why the guard holds the reading back; empty: it doesn't

	rules    snapshot.Rules
	users    *spool
	changes  *os.File // a line a change, as in the snapshot
	requests []oktaclient.Request
	watch    watch
}

// Plan reads the org and compares it with the newest snapshot. It writes
// nothing but unnamed temporary files, and needs no lock. A reading that takes
// longer than the export's timeout is an error.
func (r *Reconciler) Plan(ctx context.Context, export Export) (plan *Plan, err error) {
	if export.Timeout > 0 {
		var cancel context.CancelFunc
		cause := fmt.Errorf("the reading took longer than the export's timeout of %s", export.Timeout)
		ctx, cancel = context.WithTimeoutCause(ctx, export.Timeout, cause)
		defer cancel()
	}
	p := &Plan{Export: export, Base: snapshot.BaseNone, watch: watch{Progress{Export: export.Name}, r.cfg.Progress}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if p.Previous, err = r.latest(export.Name); err != nil {
		return nil, fmt.Errorf("open newest snapshot: %w", err)
	}
	if p.Previous != nil {
		declared := export.Declaration()
		p.rules, p.Base = snapshot.RulesFor(&p.Previous.Manifest.Declared, declared)
		p.Declared = !reflect.DeepEqual(p.Previous.Manifest.Declared, declared)
		p.Missing = missing(p.Previous)
	}
	if err := p.read(ctx, r); err != nil {
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
			err = cause
		}
		return nil, fmt.Errorf("read users: %w", err)
	}
	if err := p.compare(ctx, r); err != nil {
		return nil, fmt.Errorf("compare with newest snapshot: %w", err)
	}
	if err := p.proveRemovals(ctx, r); err != nil {
		return nil, fmt.Errorf("read users that are missing: %w", err)
	}
	p.Held = held(export.Users.Guard, p.Base, p.Counts)
	return p, nil
}

func (r *Reconciler) latest(export string) (*snapshot.Snapshot, error) {
	if r.cfg.Store == nil {
		return nil, nil
	}
	latest, err := r.cfg.Store.Latest(export)
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return nil, nil
	}
	return latest, err
}

func (r *Reconciler) tempFile() (*os.File, error) {
	if r.cfg.Store == nil {
		return snapshot.TempFile("")
	}
	return r.cfg.Store.TempFile()
}

// read spools every user that the export asks for.
func (p *Plan) read(ctx context.Context, r *Reconciler) error {
	p.users = newSpool(r.tempFile, p.Export.Users.Attributes.Projector().Project)
	expected := 0
	if p.Base == snapshot.BasePrevious {
		expected = p.Previous.Manifest.Resources.Users.Total
	}
	p.watch.enter(PhaseReading, 0, expected)
	query := p.query()
	if p.Base == snapshot.BasePrevious {
		borders, err := bordersOf(p.Previous, query.Resource.PageSize)
		if err != nil {
			return err
		}
		if query.Borders = borders; len(borders) > 0 {
			query.KnownBefore = borders[len(borders)-1]
		}
	}
	reading, err := r.cfg.Source.Read(ctx, query, sink{p})
	if err != nil && reading.Rows > 0 {
		return fmt.Errorf("%w, after %d users in %d requests", err, reading.Rows, reading.Requests)
	}
	if err != nil {
		return err
	}
	p.Reading = reading
	return p.users.finish()
}

func (p *Plan) query() oktaclient.Query {
	return oktaclient.Query{
		Resource:             oktaclient.Users,
		IncludeDeprovisioned: p.Export.Users.IncludeDeprovisioned,
		Search:               p.Export.Users.Search,
		OnPhase: func(phase oktaclient.Phase) {
			if phase == oktaclient.PhaseSettle {
				p.watch.enter(PhaseSettling, p.watch.Users, 0)
			}
		},
	}
}

// sink takes what a reading yields into a plan.
type sink struct{ plan *Plan }

func (s sink) Record(u oktaclient.Record) error {
	s.plan.watch.user()
	return s.plan.users.add(u)
}

func (s sink) Outside(u oktaclient.Record) error { return s.plan.users.drop(u) }

func (s sink) Request(req oktaclient.Request) error {
	s.plan.requests = append(s.plan.requests, req)
	s.plan.watch.request()
	return nil
}

// compare merges the reading with the newest snapshot: counts stay in memory,
// the changes go to a temporary file.
func (p *Plan) compare(ctx context.Context, r *Reconciler) error {
	users, err := p.users.merge()
	if err != nil {
		return err
	}
	p.watch.enter(PhaseComparing, 0, int(p.users.records))
	after := &counting{merge: users, byStatus: make(map[string]int)}
	if p.Base == snapshot.BasePrevious {
		err = p.diff(r, watched{ctx, after, &p.watch})
	} else {
		err = drain(watched{ctx, after, &p.watch})
	}
	if err != nil {
		return err
	}
	p.ByStatus, p.Counts.Total = after.byStatus, after.total
	p.Duplicates, p.Outside = users.duplicates, users.outside
	return nil
}

func (p *Plan) diff(r *Reconciler, after snapshot.UserReader) error {
	before, err := p.Previous.Users()
	if err != nil {
		return err
	}
	defer before.Close()
	if err := p.closeChanges(); err != nil { // of a comparison before
		return err
	}
	if p.changes, err = r.tempFile(); err != nil {
		return fmt.Errorf("create temporary file: %w", err)
	}
	w := bufio.NewWriter(p.changes)
	var line []byte
	p.Counts, err = snapshot.Diff(before, after, p.rules, func(c *snapshot.Change) error {
		if line, err = c.Line(line[:0]); err != nil {
			return err
		}
		_, err := w.Write(line)
		return err
	})
	return errors.Join(err, w.Flush())
}

// missing names what the snapshot lists and its folder lacks; it looks for
// existence only, verify is who checks.
func missing(s *snapshot.Snapshot) []string {
	var names []string
	for _, f := range s.Manifest.Files {
		if _, err := os.Lstat(filepath.Join(s.Dir(), f.Name)); errors.Is(err, os.ErrNotExist) {
			names = append(names, f.Name)
		}
	}
	if target, err := os.Readlink(filepath.Join(filepath.Dir(s.Dir()), "latest")); err != nil || target != s.Name() {
		names = append(names, "latest")
	}
	return names
}

// counting counts users by status as they pass.
type counting struct {
	*merge
	total    int
	byStatus map[string]int
}

func (c *counting) Next() (snapshot.User, error) {
	u, err := c.merge.Next()
	if err == nil {
		c.total++
		c.byStatus[string(c.status)]++
	}
	return u, err
}

func drain(users snapshot.UserReader) error {
	for {
		if _, err := users.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// Changed reports whether apply would have anything to record: the first
// snapshot, changed users, a changed declaration, or something that the store
// lacks. A snapshot that is only due is not a change.
func (p *Plan) Changed() bool {
	c := p.Counts
	return p.Previous == nil || c.Added+c.Changed+c.Removed > 0 || p.Declared || len(p.Missing) > 0
}

// Changes calls visit for each change against the newest snapshot, in the order
// of user ids. There are none unless Base is snapshot.BasePrevious. The change
// is valid during the call only.
func (p *Plan) Changes(visit func(*snapshot.Change) error) error {
	if p.changes == nil {
		return nil
	}
	if _, err := p.changes.Seek(0, io.SeekStart); err != nil {
		return err
	}
	lines := bufio.NewReader(p.changes)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("read temporary file: %w", err)
		}
		c, err := snapshot.ParseChange(line)
		if err != nil {
			return err
		}
		if err := visit(c); err != nil {
			return err
		}
	}
}

// Requests is how many requests the reading took, the grant of its token
// included.
func (p *Plan) Requests() int { return len(p.requests) }

// Close gives the temporary files back. It may be called twice.
func (p *Plan) Close() error {
	var err error
	if p.users != nil {
		err = p.users.close()
	}
	return errors.Join(err, p.closeChanges())
}

func (p *Plan) closeChanges() error {
	if p.changes == nil {
		return nil
	}
	err := p.changes.Close()
	p.changes = nil
	return err
}

// draft is the snapshot that the plan would publish.
func (p *Plan) draft(ctx context.Context, cfg Config, run snapshot.Run) (snapshot.Draft, error) {
	users, err := p.users.merge()
	if err != nil {
		return snapshot.Draft{}, err
	}
	requests, err := p.transcript()
	if err != nil {
		return snapshot.Draft{}, err
	}
	p.watch.enter(PhasePublishing, 0, p.Counts.Total)
	org := cfg.Org
	org.TLS = tlsFacts(p.Reading.PeerCertificates)
	d := snapshot.Draft{
		Started: p.Reading.OktaTime(p.Reading.Started), Finished: p.Reading.OktaTime(p.Reading.Finished), ClockOffset: -p.Reading.ClockOffset,
		Org: org, Client: cfg.Client, Run: run, Tool: cfg.Tool,
		Declared: p.Export.Declaration(),
		Read: snapshot.Read{
			Rows: p.Reading.Rows, Duplicates: p.Duplicates, Outside: p.Outside, Settled: p.Reading.Settled,
		},
		ByStatus: p.ByStatus, Counts: p.Counts, Base: p.Base,
		Users: watched{ctx, users, &p.watch}, Requests: requests,
	}
	if p.changes != nil {
		if _, err := p.changes.Seek(0, io.SeekStart); err != nil {
			return snapshot.Draft{}, err
		}
		d.Changes = p.changes
	}
	return d, nil
}

// transcript renders the requests of the reading, a line each. A reading of a
// million users has five thousand.
func (p *Plan) transcript() (io.Reader, error) {
	var lines []byte
	for _, r := range p.requests {
		request := snapshot.Request{
			Time: snapshot.At(p.Reading.OktaTime(r.Time)), Method: r.Method, Path: r.Path,
			Status: r.Status, Rows: r.Rows, RequestID: r.RequestID, Error: r.Error,
		}
		var err error
		if lines, err = request.Line(lines); err != nil {
			return nil, err
		}
	}
	return bytes.NewReader(lines), nil
}
