package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/daemon"
	"oktasync/cmd/oktasync/internal/org"
	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/sign"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON, heads bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of each export, its last success and its next run",
		Long: `Shows the snapshots of each export, its state, the last success and the next run.

--heads prints the head of each chain instead. Keep the heads where the owner of the
store can't write. Later, verify --head compares the store with them.`,
		Example: "  oktasync status\n  oktasync status --heads\n  oktasync status --store /var/lib/oktasync/snapshots",
		Args:    noArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.Flags().BoolVar(&heads, "heads", false, "print the head of each chain, for verify --head")
	return a.reads(cmd, func(r *reader, _ []string) error {
		names, err := r.exports(nil)
		if err != nil {
			return err
		}
		if heads {
			return a.printHeads(r, names, asJSON)
		}
		var outcomes outcomes
		statuses := []exportStatus{}
		for _, name := range names {
			st, err := r.status(name, time.Now())
			outcomes.add(a, name, err)
			statuses = append(statuses, st)
		}
		if asJSON {
			err = writeJSON(a.stdout, statusDocument{Store: r.Dir(), StoreID: r.ID(), Org: r.Org().URL, Exports: statuses})
		} else {
			err = a.printStatus(r, statuses)
		}
		return cmp.Or(err, outcomes.err())
	})
}

// statusDocument is the shape of `status --json`.
type statusDocument struct {
	Store   string         `json:"store"`
	StoreID string         `json:"store_id"`
	Org     string         `json:"org"`
	Exports []exportStatus `json:"exports"`
}

type exportStatus struct {
	Export       string            `json:"export"`
	State        daemon.State      `json:"state"`
	Since        *time.Time        `json:"since"`
	Snapshots    int               `json:"snapshots"`
	Newest       string            `json:"newest"` // "" if there is none
	Sequence     int               `json:"sequence"`
	Records      map[string]int    `json:"records"`       // by resource
	Settled      *bool             `json:"settled"`       // the newest snapshot; null if there is none
	Reconciled   *bool             `json:"reconciled"`    // the same; null if nothing was compared
	Carried      int               `json:"carried"`       // records of the newest snapshot that were not read
	CarriedSince *snapshot.Time    `json:"carried_since"` // the oldest read of these; null: all were read
	Unavailable  map[string]string `json:"unavailable"`   // why resources of the newest snapshot could not be read, by resource
	LastSuccess  *snapshot.Time    `json:"last_success"`
	LastEvent    string            `json:"last_event"`
	LastError    string            `json:"last_error"` // or why the journal can't be read
	Next         *time.Time        `json:"next"`       // null without a schedule, or with --store
	Verified     *daemon.Verified  `json:"verified"`   // null: never
	Damage       []string          `json:"damage"`     // found without hashing

	carried      string // describes Carried and CarriedSince; "": all were read
	reason       string // of State; "": none
	unreconciled string // why the newest snapshot isn't reconciled; "": it is, or nothing was compared
}

// status returns the status of an export. If its journal can't be read, the status is
// valid, and its state is unknown.
func (r *reader) status(name string, now time.Time) (exportStatus, error) {
	st := exportStatus{Export: name, Records: map[string]int{}, Unavailable: map[string]string{}}
	c, wrong := r.checkpoint(name)
	store := r.WithCheckpoint(c)
	found := daemon.Survey(store, name)
	if wrong != nil {
		found.Damage = append(found.Damage, wrong.Error())
	}
	list := found.Snapshots
	st.Snapshots, st.Damage = len(list), append([]string{}, found.Damage...)
	if len(list) > 0 {
		newest := list[len(list)-1]
		st.Newest, st.Sequence, st.Settled = newest.Name(), newest.Manifest.Sequence, &newest.Manifest.Read.Settled
		if c := newest.Manifest.Control; c != nil {
			st.Reconciled, st.unreconciled = &c.Reconciled, report.Unreconciled(c)
		}
		members := newest.Manifest.Resources[snapshot.GroupMembers.Name]
		st.Carried, st.CarriedSince, st.carried = members.Carried, members.CarriedSince, report.Carried(newest.Manifest.Resources, r.zone(name))
		for name, counts := range newest.Manifest.Resources {
			if counts.IsAvailable() {
				st.Records[name] = counts.Total
			} else {
				st.Unavailable[name] = counts.Reason
			}
		}
	}
	export, when := r.declared(name)
	if when != nil {
		next := when.Next(now)
		st.Next = &next
	}
	history, err := store.Journal(name)
	if err != nil {
		st.State, st.LastError = daemon.StateUnknown, err.Error()
		return st, err
	}
	st.Verified = daemon.LastVerified(history)
	st.LastEvent, st.LastError = history.LastEnd.Event, history.LastEnd.Error
	if t := history.LastSuccess.Time; !t.IsZero() {
		st.LastSuccess = &t
	}
	began := now // an export that never ran is not overdue
	if t := history.LastDone.Time.Time; !t.IsZero() {
		began = t
	}
	h := daemon.HealthOf(export, history, when, began, now).Surveyed(st.Verified, found, now)
	st.State, st.reason = h.State, h.Reason
	if !h.Since.IsZero() && !h.Since.Equal(now) { // the start of damage that was just found is unknown
		st.Since = &h.Since
	}
	return st, nil
}

func (a *app) printStatus(r *reader, statuses []exportStatus) error {
	fmt.Fprintf(a.stdout, "store %s of %s\n", r.Dir(), r.Org().URL)
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "EXPORT\tSTATE\tSNAPSHOTS\tNEWEST\tRECORDS\tLAST SUCCESS\tNEXT")
	for _, st := range statuses {
		zone := r.zone(st.Export)
		last, next := "never", "only by apply"
		if st.LastSuccess != nil {
			last = st.LastSuccess.In(zone).Format(shortTime)
		}
		if st.Next != nil {
			next = st.Next.In(zone).Format(shortTime)
		} else if r.cfg == nil {
			next = "unknown without a configuration"
		}
		newest := st.Newest
		if newest == "" {
			newest = "none"
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", st.Export, st.State, st.Snapshots, newest, recordsText(st.Records), last, next)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, st := range statuses {
		if st.Settled != nil && !*st.Settled {
			fmt.Fprintf(a.stdout, "%s: %s is not settled: %s\n", st.Export, st.Newest, report.Unsettled)
		}
		if st.unreconciled != "" {
			fmt.Fprintf(a.stdout, "%s: %s is not reconciled: %s\n", st.Export, st.Newest, st.unreconciled)
		}
		if st.carried != "" {
			fmt.Fprintf(a.stdout, "%s: %s carries %s\n", st.Export, st.Newest, st.carried)
		}
		for _, name := range slices.Sorted(maps.Keys(st.Unavailable)) {
			fmt.Fprintf(a.stdout, "%s: %s doesn't record %s: %s\n", st.Export, st.Newest, name, term.Safe(st.Unavailable[name]))
		}
		if st.State == daemon.StateFailing || st.State == daemon.StateQuarantined {
			fmt.Fprintf(a.stdout, "%s: %s\n", st.Export, term.SafeLines(st.reason))
		}
		if v := st.Verified; v != nil {
			fmt.Fprintf(a.stdout, "%s: verified %s: %s\n", st.Export, v.Time.In(r.zone(st.Export)).Format(shortTime), term.Safe(v.String()))
		}
		for _, damage := range st.Damage {
			fmt.Fprintln(a.stdout, term.Safe(damage))
		}
	}
	return nil
}

const shortTime = "2006-01-02 15:04 MST"

// checkpoint reads the checkpoint of an export, and checks that its signature is by a key
// that the allowed signers of the configuration accept now. Without allowed signers, every
// key is accepted. If there is no checkpoint, it returns nil.
func (r *reader) checkpoint(export string) (*snapshot.Checkpoint, error) {
	allowed, err := r.signers()
	if err != nil {
		return nil, err
	}
	c, err := r.Checkpoint(export)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case c.SignedBy == nil && allowed != nil:
		return nil, fmt.Errorf("%s: the checkpoint is not signed", export)
	case c.SignedBy == nil:
		return c, nil
	}
	key, err := c.Signer()
	if err == nil && allowed != nil {
		_, err = allowed.Check(key, sign.Checkpoint, time.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the signature of the checkpoint %w", export, err)
	}
	return c, nil
}

// signers returns the allowed signers of the configuration, or nil.
func (r *reader) signers() (*sign.AllowedSigners, error) {
	if r.cfg == nil {
		return nil, nil
	}
	return org.AllowedSigners(r.cfg.Store.AllowedSignersFile)
}

// checked returns r with the checkpoint of an export, once its signature was checked.
func (r *reader) checked(export string) (*reader, error) {
	if _, err := r.exports([]string{export}); err != nil {
		return nil, err
	}
	c, err := r.checkpoint(export)
	return &reader{Store: r.WithCheckpoint(c), cfg: r.cfg}, err
}

// printHeads prints the head of each chain, in the form of verify --head.
func (a *app) printHeads(r *reader, exports []string, asJSON bool) error {
	heads := []snapshot.Head{}
	for _, export := range exports {
		c, err := r.checkpoint(export)
		if err != nil {
			return err
		}
		if c != nil {
			heads = append(heads, c.Head())
		}
	}
	if asJSON {
		return writeJSON(a.stdout, heads)
	}
	for _, h := range heads {
		fmt.Fprintf(a.stdout, "%s=%s\n", h.Export, h)
	}
	return nil
}
