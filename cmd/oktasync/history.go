package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/diff"
)

func (a *app) historyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history EXPORT USER",
		Short: "Show every change of one user in all snapshots",
		Long: `Shows the changes of one user, by id or login, in the snapshots of an export. If the
export records groups, apps or admin roles, it also shows the changes of the user's
groups, apps and roles.

It also reads the changes files of pruned snapshots. Retention can keep these files
longer than the records; oktasync prune removes them at once. If such a file is missing,
there is a gap: history compares the snapshots before and after it, and shows the gap.
A change that was reversed within the gap is not visible.`,
		Example: "  oktasync history all-users jane@acme.example\n  oktasync history all-users 00u1a2b3c4d5e6f7g8h9 --json\n" +
			"  oktasync history all-users jane@acme.example --format csv",
		Args: args(2, 2, "EXPORT USER"),
	}
	format := formatFlags(cmd)
	return a.reads(cmd, func(r *reader, args []string) error {
		if _, err := r.snapshot(args[0], ""); err != nil {
			return err
		}
		h := &history{r: r, export: args[0]}
		if err := h.read(args[1]); err != nil {
			return err
		}
		for _, id := range h.others {
			fmt.Fprintf(a.stderr, "oktasync: note: another user had this login before: `oktasync history %s %s`\n", h.export, term.Safe(id))
		}
		switch format.name {
		case "json":
			return writeJSON(a.stdout, h.document)
		case "csv":
			return h.printCSV(a.stdout)
		}
		return h.print(a.stdout)
	})
}

// history is one user in the snapshots of an export.
type history struct {
	r        *reader
	export   string
	list     []*snapshot.Snapshot // oldest first
	steps    []*snapshot.Snapshot // list, and pruned snapshots whose changes files are kept
	document historyDocument
	others   []string // IDs of other users that had the login
}

// historyDocument is the shape of `history --json`.
type historyDocument struct {
	Export  string         `json:"export"`
	ID      string         `json:"id"`
	Login   string         `json:"login"` // the newest one
	Entries []historyEntry `json:"entries"`
}

// historyEntry is the user in one snapshot.
type historyEntry struct {
	Snapshot string           `json:"snapshot"`
	Sequence int              `json:"sequence"`
	Started  snapshot.Time    `json:"started"`
	Present  bool             `json:"present"` // the first with records has the user, or one that can't be compared
	Pruned   []string         `json:"pruned"`  // the pruned snapshots before it without changes files
	Change   *diff.Change     `json:"change"`  // from the snapshot before it; null: none
	Access   []resourceChange `json:"access"`  // of the user's groups, apps, roles and factors
}

func (h *history) read(user string) (err error) {
	if h.list, err = h.r.List(h.export); err != nil {
		return err
	}
	if err := h.addPruned(); err != nil {
		return err
	}
	if err := h.identify(user); err != nil {
		return err
	}
	h.document.Export, h.document.Entries = h.export, []historyEntry{}
	var before *snapshot.Snapshot
	for _, s := range h.steps {
		entry, err := h.entry(before, s)
		if err != nil {
			return err
		}
		if entry.Present || entry.Change != nil || len(entry.Access) > 0 || len(entry.Pruned) > 0 {
			h.document.Entries = append(h.document.Entries, entry)
		}
		before = s
	}
	return nil
}

// addPruned sets the steps. It adds the pruned snapshots between two others if each has
// its changes files; before the first other one, those since the last that has none.
func (h *history) addPruned() error {
	last := ""
	for _, s := range h.list {
		names, err := h.r.PrunedBetween(h.export, last, s.Name())
		if err != nil {
			return err
		}
		var kept []*snapshot.Snapshot
		for _, name := range slices.Backward(names) {
			pruned, err := snapshot.ReadFolder(h.r.Path(h.export, snapshot.PrunedDir, name))
			if err != nil || !hasChanges(pruned) {
				break // verify reports damage
			}
			kept = append(kept, pruned)
		}
		if last == "" || len(kept) == len(names) {
			slices.Reverse(kept)
			h.steps = append(h.steps, kept...)
		}
		h.steps = append(h.steps, s)
		last = s.Name()
	}
	return nil
}

// hasChanges reports whether the changes files of a pruned snapshot have all changes of
// users and of their groups, apps and admin roles.
func hasChanges(pruned *snapshot.Snapshot) bool {
	for _, r := range pruned.Recorded() {
		if r.UserPart() < 0 {
			continue
		}
		if _, err := os.Lstat(filepath.Join(pruned.Dir(), r.ChangesFile())); err != nil {
			return false
		}
	}
	return true
}

// identify finds the user with an ID or login in the newest snapshot that has it,
// and other users that had the login before.
func (h *history) identify(user string) error {
	var ids []string
	add := func(id, login string) {
		if slices.Contains(ids, id) || id != user && !strings.EqualFold(login, user) {
			return
		}
		if ids = append(ids, id); len(ids) == 1 {
			h.document.ID, h.document.Login = id, login
		}
	}
	for i := len(h.steps) - 1; i >= 0 && !slices.Contains(ids, user); i-- {
		s := h.steps[i]
		changesSuffice := i > 0 && i < len(h.steps)-1 && h.steps[i-1].Manifest.Sequence+1 == s.Manifest.Sequence && compared(s, snapshot.Users)
		if !changesSuffice && !s.Erased() {
			if err := eachUser(s, add); err != nil {
				return err
			}
		}
		if err := eachChange(s, snapshot.Users, user, func(c *diff.Change) { add(c.ID(), c.Login) }); err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		return fmt.Errorf("no snapshot of %s has a user with the ID or login %s", h.export, term.Word(user))
	}
	h.others = ids[1:]
	return nil
}

// compared reports whether s has a changes file of r.
func compared(s *snapshot.Snapshot, r *snapshot.Resource) bool {
	return s.Manifest.Resources[r.Name].Base == snapshot.BasePrevious
}

// entry returns the user in s. before is the snapshot before it, nil for the first.
func (h *history) entry(before, s *snapshot.Snapshot) (e historyEntry, err error) {
	e = historyEntry{Snapshot: s.Name(), Sequence: s.Manifest.Sequence, Started: s.Manifest.Read.Started, Pruned: []string{}, Access: []resourceChange{}}
	after := ""
	if before != nil {
		after = before.Name()
	}
	pruned, err := h.r.PrunedBetween(h.export, after, s.Name())
	if err != nil {
		return e, err
	}
	e.Pruned = append(e.Pruned, pruned...)
	for _, r := range s.Recorded() {
		add := func(c *diff.Change) { e.Access = append(e.Access, resourceChange{r.Name, c}) }
		if r == snapshot.Users {
			add = func(c *diff.Change) { e.Change = c }
		} else if r.UserPart() < 0 {
			continue
		}
		switch direct := before != nil && len(pruned) == 0; {
		case !s.Erased() && !(direct && compared(s, r)):
			err = h.compare(&e, r, before, s, add)
		case compared(s, r):
			err = eachChange(s, r, h.document.ID, func(c *diff.Change) {
				if c.Key[r.Key[r.UserPart()]] == h.document.ID {
					add(c)
				}
			})
		}
		if err != nil {
			return e, err
		}
	}
	if s == h.list[0] && e.Change == nil {
		e.Present, err = h.present(s)
	}
	return e, err
}

// present reports whether s has the user.
func (h *history) present(s *snapshot.Snapshot) (bool, error) {
	users, err := recordsOf(s, snapshot.Users, h.document.ID)
	if err != nil {
		return false, err
	}
	defer users.Close()
	if _, err = users.Next(); err == io.EOF {
		return false, nil
	}
	return err == nil, err
}

// compare compares the user's records of a resource in before and in s, because no
// changes file has their changes.
func (h *history) compare(e *historyEntry, r *snapshot.Resource, before, s *snapshot.Snapshot, add func(*diff.Change)) (err error) {
	base := snapshot.BaseNone
	var rules diff.Rules
	if before != nil && !before.Erased() {
		rules, base = snapshot.RulesFor(r, &before.Manifest, s.Manifest.Declared)
	}
	if base != snapshot.BasePrevious {
		if r == snapshot.Users {
			e.Present, err = h.present(s)
		}
		return err
	}
	newer, err := recordsOf(s, r, h.document.ID)
	if err != nil {
		return err
	}
	defer newer.Close()
	older, err := recordsOf(before, r, h.document.ID)
	if err != nil {
		return err
	}
	defer older.Close()
	if rules.Proofs, err = s.Proofs(r); err != nil {
		return err
	}
	closeParents, err := snapshot.OpenParents(s, r, &rules)
	if err != nil {
		return err
	}
	defer closeParents()
	_, err = diff.Diff(older, newer, rules, func(c *diff.Change) error { // c is valid during the call only
		line, err := c.Line(nil)
		if err == nil {
			c, err = diff.ParseChange(line)
		}
		if err == nil {
			add(c)
		}
		return err
	})
	return err
}

// printCSV writes a row for each entry: the start of the read, the name of the
// snapshot, and the change. A gap is a row of the kind pruned, with the names of the
// pruned snapshots. A snapshot that can't be compared is a row of the kind present.
func (h *history) printCSV(w io.Writer) error {
	names, err := h.names()
	if err != nil {
		return err
	}
	text := "started,snapshot," + changesHeader
	for _, e := range h.document.Entries {
		if len(e.Pruned) > 0 {
			text += "," + report.Span(e.Pruned) + ",,pruned,,,,,,\r\n"
		}
		about := e.Started.String() + "," + e.Snapshot + ","
		if e.Present {
			text += about + ",present,,,,,,\r\n"
		}
		for _, c := range e.changes() {
			rows, err := appendChangeRows(nil, about, names, snapshot.ResourceNamed(c.Resource), c.Change)
			if err != nil {
				return err
			}
			text += string(rows)
		}
	}
	_, err = io.WriteString(w, text)
	return err
}

// changes returns the changes of the user, and of the user's groups and apps.
func (e *historyEntry) changes() []resourceChange {
	if e.Change == nil {
		return e.Access
	}
	return append([]resourceChange{{snapshot.Users.Name, e.Change}}, e.Access...)
}

func (h *history) print(w io.Writer) error {
	names, err := h.names()
	if err != nil {
		return err
	}
	d := h.document
	fmt.Fprintf(w, "%s (%s) in %s\n", term.Safe(d.Login), term.Safe(d.ID), d.Export)
	zone := h.r.zone(h.export)
	for _, e := range d.Entries {
		if len(e.Pruned) > 0 {
			fmt.Fprintf(w, "\n… %s pruned, %s: changes that were reversed there are not visible\n", term.Plural(len(e.Pruned), "snapshot"), report.Span(e.Pruned))
		}
		if e.Present || len(e.changes()) > 0 {
			fmt.Fprintf(w, "\n%s  %s\n", e.Started.In(zone).Format(shortTime), e.Snapshot)
		}
		if e.Present {
			fmt.Fprintln(w, "    present")
		}
		list := changeList{w: w, names: names}
		for _, c := range e.changes() {
			list.add(snapshot.ResourceNamed(c.Resource), c.Change)
		}
	}
	newest := h.list[len(h.list)-1]
	_, err = fmt.Fprintf(w, "\n%s up to %s\n", term.Plural(len(h.list), "snapshot"), newest.Name())
	return err
}

// names returns the names of the user's groups and apps, the newest that is recorded.
func (h *history) names() (report.Names, error) {
	names := make(report.Names)
	for _, e := range h.document.Entries {
		for _, c := range e.Access {
			names.Add(snapshot.ResourceNamed(c.Resource), c.Change)
		}
	}
	if users := names[snapshot.Users]; users != nil {
		users[h.document.ID] = h.document.Login
	}
	for _, s := range slices.Backward(h.list) {
		if err := names.ReadFrom(s); err != nil {
			return nil, err
		}
	}
	return names, nil
}
