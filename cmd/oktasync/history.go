package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/report"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
)

func (a *app) historyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history EXPORT USER",
		Short: "Show every change of one person over all snapshots",
		Long: `Shows what the snapshots of an export say of one person, by id or login. Where
retention has pruned snapshots, those beside the gap are compared, and the gap
is shown: what came and went within is not known.`,
		Example: "  oktasync history all-users jane@acme.example\n  oktasync history all-users 00u1a2b3c4d5e6f7g8h9 --json\n" +
			"  oktasync history all-users jane@acme.example --format csv",
		Args: args(2, 2, "EXPORT USER"),
	}
	store := storeFlag(cmd)
	format := diffFormatFlags(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := format.check(); err != nil {
			return err
		}
		r, err := a.openReader(*store)
		if err != nil {
			return err
		}
		if _, err := r.snapshot(args[0], ""); err != nil {
			return err
		}
		h := &history{r: r, export: args[0]}
		if err := h.read(args[1]); err != nil {
			return err
		}
		for _, id := range h.others {
			fmt.Fprintf(a.stderr, "oktasync: note: the login was another person's before: `oktasync history %s %s`\n", h.export, term.Safe(id))
		}
		switch format.name {
		case "json":
			return writeJSON(a.data(), h.document)
		case "csv":
			return h.printCSV(a.data())
		}
		h.print(a.stdout)
		return nil
	}
	return cmd
}

// history is what the snapshots of an export say of one person.
type history struct {
	r        *reader
	export   string
	list     []*snapshot.Snapshot // oldest first
	document historyDocument
	others   []string // ids of other people who had the login that was asked for
}

// historyDocument is the shape of `history --json`.
type historyDocument struct {
	Export  string         `json:"export"`
	ID      string         `json:"id"`
	Login   string         `json:"login"` // the last one known
	Entries []historyEntry `json:"entries"`
}

// historyEntry is what one snapshot says.
type historyEntry struct {
	Snapshot string           `json:"snapshot"`
	Sequence int              `json:"sequence"`
	Started  snapshot.Time    `json:"started"`
	Present  bool             `json:"present"` // that the person is there is all that is known
	Pruned   []string         `json:"pruned"`  // the snapshots before it that are gone
	Change   *snapshot.Change `json:"change"`  // against the snapshot before it that is not gone; null: none
}

func (h *history) read(user string) (err error) {
	if h.list, err = h.r.List(h.export); err != nil {
		return err
	}
	if err := h.identify(user); err != nil {
		return err
	}
	h.document.Export, h.document.Entries = h.export, []historyEntry{}
	var before *snapshot.Snapshot
	for _, s := range h.list {
		entry, err := h.entry(before, s)
		if err != nil {
			return err
		}
		if entry.Present || entry.Change != nil || len(entry.Pruned) > 0 {
			h.document.Entries = append(h.document.Entries, entry)
		}
		before = s
	}
	return nil
}

// identify finds whose id or login user is, in the newest snapshot that knows,
// and who else has had that login before.
func (h *history) identify(user string) error {
	var ids []string
	is := func(id, login string) bool {
		if slices.Contains(ids, id) || id != user && !strings.EqualFold(login, user) {
			return false
		}
		if ids = append(ids, id); len(ids) == 1 {
			h.document.ID, h.document.Login = id, login
		}
		return true
	}
	isUser := func(u snapshot.User) bool { return is(string(u.ID), loginOf(u.JSON)) }
	isChange := func(c *snapshot.Change) bool { return is(c.ID, c.Login) }
	for i := len(h.list) - 1; i >= 0 && !slices.Contains(ids, user); i-- {
		s := h.list[i]
		whole := i == len(h.list)-1 || i == 0 || h.list[i-1].Manifest.Sequence+1 != s.Manifest.Sequence || !compared(s)
		for found := whole; found; {
			u, err := findUser(s, isUser)
			if err != nil {
				return err
			}
			found = u != nil
		}
		for found := true; found; {
			c, err := findChange(s, user, isChange)
			if err != nil {
				return err
			}
			found = c != nil
		}
	}
	if len(ids) == 0 {
		return fmt.Errorf("no snapshot of %s knows anybody with the id or login %s", h.export, term.Word(user))
	}
	h.others = ids[1:]
	return nil
}

// compared reports whether s has a changes file.
func compared(s *snapshot.Snapshot) bool {
	return s.Manifest.Resources.Users.Base == snapshot.BasePrevious
}

// entry is what s says of the person, after before, which is nil for the first.
func (h *history) entry(before, s *snapshot.Snapshot) (e historyEntry, err error) {
	e = historyEntry{Snapshot: s.Name(), Sequence: s.Manifest.Sequence, Started: s.Manifest.Read.Started, Pruned: []string{}}
	id := h.document.ID
	after := ""
	if before != nil {
		after = before.Name()
	}
	gone, err := h.r.PrunedBetween(h.export, after, s.Name())
	if err != nil {
		return e, err
	}
	e.Pruned = append(e.Pruned, gone...)
	if before != nil && len(gone) == 0 && compared(s) {
		e.Change, err = findChange(s, id, func(c *snapshot.Change) bool { return c.ID == id })
		return e, err
	}
	err = h.look(&e, before, s)
	return e, err
}

// look fills in e from the users of s and, where they can be compared, those of
// before.
func (h *history) look(e *historyEntry, before, s *snapshot.Snapshot) error {
	isHim := func(u snapshot.User) bool { return string(u.ID) == h.document.ID }
	now, err := findUser(s, isHim)
	if err != nil {
		return err
	}
	base := snapshot.BaseNone
	var rules snapshot.Rules
	if before != nil {
		rules, base = snapshot.RulesFor(&before.Manifest.Declared, s.Manifest.Declared)
	}
	if base != snapshot.BasePrevious {
		e.Present = now != nil
		return nil
	}
	was, err := findUser(before, isHim)
	if err != nil {
		return err
	}
	_, err = snapshot.Diff(was, now, rules, func(c *snapshot.Change) error { // valid during the call only
		line, err := c.Line(nil)
		if err == nil {
			e.Change, err = snapshot.ParseChange(line)
		}
		return err
	})
	return err
}

// nobodyOr is a UserReader of one user, or of none where it is nil.
type nobodyOr struct {
	user snapshot.User
	read bool
}

func (n *nobodyOr) Next() (snapshot.User, error) {
	if n == nil || n.read {
		return snapshot.User{}, io.EOF
	}
	n.read = true
	return n.user, nil
}

func (n *nobodyOr) Close() error { return nil }

var errFound = errors.New("found")

// findUser returns the first user of s for whom is says yes, nil without one.
func findUser(s *snapshot.Snapshot, is func(snapshot.User) bool) (*nobodyOr, error) {
	var found *nobodyOr
	err := eachUser(s, func(u snapshot.User) error {
		if !is(u) {
			return nil
		}
		found = &nobodyOr{user: snapshot.User{ID: bytes.Clone(u.ID), JSON: bytes.Clone(u.JSON)}}
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return found, err
}

// loginOf returns a user's login.
func loginOf(user []byte) string {
	var login string
	if json.Unmarshal([]byte(valueText(user, "profile.login")), &login) != nil {
		return "" // there is none
	}
	return login
}

// findChange returns the change of s for which is says yes, nil without one.
// It parses only lines that hold text.
func findChange(s *snapshot.Snapshot, text string, is func(*snapshot.Change) bool) (*snapshot.Change, error) {
	changes, err := s.Changes()
	if err != nil {
		return nil, err
	}
	defer changes.Close()
	wanted := bytes.ToLower([]byte(text))
	lines := bufio.NewScanner(changes)
	lines.Buffer(nil, maxChange)
	for lines.Scan() {
		line := lines.Bytes()
		if !bytes.Contains(bytes.ToLower(line), wanted) {
			continue
		}
		c, err := snapshot.ParseChange(line)
		if err != nil {
			return nil, fmt.Errorf("read changes of %s: %w", s.Name(), err)
		}
		if is(c) {
			return c, nil
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read changes of %s: %w", s.Name(), err)
	}
	return nil, nil
}

const maxChange = 16 << 20 // bytes of a line: a user twice, as long as one can be

// printCSV writes a row for each entry: when the reading of the snapshot began,
// its name, and the change. A gap is a row of the kind pruned, with the names of
// what is gone, and a snapshot that only knows the person one of the kind
// present.
func (h *history) printCSV(w io.Writer) error {
	text := "started,snapshot," + string(snapshot.ChangesHeader())
	for _, e := range h.document.Entries {
		if len(e.Pruned) > 0 {
			text += "," + report.Span(e.Pruned) + ",,pruned,,,,,,\r\n"
		}
		about := e.Started.String() + "," + e.Snapshot + ","
		switch {
		case e.Change != nil:
			row, err := e.Change.Row([]byte(about))
			if err != nil {
				return err
			}
			text += string(row)
		case e.Present:
			text += about + ",present,,,,,,\r\n"
		}
	}
	_, err := io.WriteString(w, text)
	return err
}

func (h *history) print(w io.Writer) {
	d := h.document
	fmt.Fprintf(w, "%s (%s) in %s\n", term.Safe(d.Login), term.Safe(d.ID), d.Export)
	zone := h.r.zone(h.export)
	for _, e := range d.Entries {
		if len(e.Pruned) > 0 {
			fmt.Fprintf(w, "\n… %s pruned, %s: what came and went there is not known\n", term.Plural(len(e.Pruned), "snapshot"), report.Span(e.Pruned))
		}
		switch {
		case e.Change != nil:
			fmt.Fprintf(w, "\n%s  %s\n", e.Started.In(zone).Format(shortTime), e.Snapshot)
			list := changeList{w: w}
			list.add(e.Change)
		case e.Present:
			fmt.Fprintf(w, "\n%s  %s\n    present\n", e.Started.In(zone).Format(shortTime), e.Snapshot)
		}
	}
	newest := h.list[len(h.list)-1]
	fmt.Fprintf(w, "\n%s up to %s\n", term.Plural(len(h.list), "snapshot"), newest.Name())
}
