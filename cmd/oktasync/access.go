package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"oktasync/cmd/oktasync/internal/config"
	"oktasync/cmd/oktasync/internal/term"
	"oktasync/reconcile/snapshot"
	"oktasync/reconcile/snapshot/access"
	"oktasync/reconcile/snapshot/render"
)

// accessQuery contains the flags of access.
type accessQuery struct {
	user, group, app string // ids, logins, names or labels
	role             string // a type, a label or an id; "all"; "": paths to apps are wanted
	at, from, to     string // snapshots; "": the newest
	nearest          bool
	*diffFormat
}

func (a *app) accessCommand() *cobra.Command {
	q := new(accessQuery)
	cmd := &cobra.Command{
		Use:   "access EXPORT[@SNAPSHOT]",
		Short: "Show who is assigned which app or admin role, and through what",
		Long: `Prints one row for each path from a user to an app. --user, --group and --app select
the paths by an id, a login, or an exact name or label. Some columns of CSV and JSON:

  via         direct: the user is assigned to the app
              group: a group of the user is assigned
              implicit: the app is open to all users
  usable      no if the app is inactive, the user is staged, suspended or deprovisioned,
              or the assignment gives no access; unknown if the records don't show this
  first_seen  the snapshot in which the path appeared
  absent_in   the snapshot before first_seen; no value if the path can be older

Sign-in policies and permissions inside the apps aren't recorded.

With --role, it prints the holders of admin roles: users, groups, service apps, and
each member of a group with a role. Super Administrators come first. ROLE is a type
such as SUPER_ADMIN, a label, the id of a custom role, or all. --user, --group and
--app select a holder. If a holder may be unable to use the role, the column note has
the reason.

With --from and --to, it prints the paths that only one of two snapshots has. It
doesn't show a path that was granted and revoked in between.`,
		Example: `  oktasync access workforce --user ada@acme.example
  oktasync access workforce --app Logbook --format csv > logbook.csv
  oktasync access workforce --group Pilots --at 2026-06-30
  oktasync access workforce --app Logbook --from @-7
  oktasync access workforce --role all
  oktasync access workforce --role SUPER_ADMIN --from @-7`,
		Args: args(1, 1, "EXPORT[@SNAPSHOT]"),
	}
	cmd.Flags().StringVar(&q.user, "user", "", "paths of this `USER`")
	cmd.Flags().StringVar(&q.group, "group", "", "paths through this `GROUP`")
	cmd.Flags().StringVar(&q.app, "app", "", "paths to this `APP`; with --role: roles of this service app")
	cmd.Flags().StringVar(&q.role, "role", "", "paths to the admin `ROLE`: a type, label or id, or all")
	cmd.Flags().StringVar(&q.at, "at", "", "use the last snapshot up to `DATE` (default the newest); or a snapshot by name, or by @-7: the seventh before the newest")
	cmd.Flags().StringVar(&q.from, "from", "", "print what was granted and revoked after the snapshot of this `DATE` (see --at)")
	cmd.Flags().StringVar(&q.to, "to", "", "with --from: compare with the snapshot of this `DATE` (default the newest)")
	nearestFlag(cmd, &q.nearest)
	q.diffFormat = formatFlags(cmd)
	allFlag(cmd, &q.all)
	return a.reads(cmd, func(r *reader, args []string) error {
		export, name := cutSnapshot(args[0])
		if err := q.checkFlags(name); err != nil {
			return err
		}
		q.at += name
		return a.access(r, export, q)
	})
}

func (q *accessQuery) checkFlags(name string) error {
	switch {
	case q.user+q.group+q.app+q.role == "":
		return errors.New("access needs --user, --group, --app or --role")
	case name != "" && q.at+q.from+q.to != "":
		return errors.New("EXPORT@SNAPSHOT, --at and --from each name a snapshot; use one of them")
	case q.at != "" && q.from+q.to != "":
		return errors.New("use --at for one snapshot, or --from and --to for the changes between two")
	case q.to != "" && q.from == "":
		return errors.New("--to needs --from; use --at for one snapshot")
	}
	return nil
}

func (a *app) access(r *reader, export string, q *accessQuery) error {
	s, err := a.snapshotAt(r, export, q.at+q.to, q.nearest)
	if err != nil {
		return err
	}
	snapshots := []*snapshot.Snapshot{s}
	if q.from != "" {
		from, err := a.snapshotAt(r, export, q.from, q.nearest)
		if err != nil {
			return err
		}
		if err := checkOrder(from, s); err != nil {
			return err
		}
		snapshots = append(snapshots, from)
	}
	if err := a.noteState(r, s, q.at+q.to); err != nil {
		return err
	}
	ids, err := q.find(snapshots)
	if err != nil {
		return err
	}
	p := &accessPrinter{query: q, snapshots: snapshots, limit: a.limit(q.all), w: bufio.NewWriter(a.stdout)}
	if q.role == "" {
		err = printAccess(p, q.pathTable(), func(s *snapshot.Snapshot) iter.Seq2[*access.Row, error] { return access.Paths(r.Store, s, ids) })
	} else {
		roles := access.RoleQuery{Role: q.role, User: ids.User, Group: ids.Group, App: ids.App}
		if q.role == "all" {
			roles.Role = ""
		}
		err = printAccess(p, roleTable, func(s *snapshot.Snapshot) iter.Seq2[*access.RoleRow, error] { return access.Roles(r.Store, s, roles) })
	}
	if err != nil {
		return err
	}
	if err = p.w.Flush(); err == nil && q.name == "text" && q.user != "" && q.group+q.app+q.role+q.from == "" {
		a.noteOthers(s, q, ids.User)
	}
	return err
}

// noteOthers prints the commands for what paths to apps don't show of the user id: groups,
// and admin roles if s records them.
func (a *app) noteOthers(s *snapshot.Snapshot, q *accessQuery, id string) {
	note := func(what, format string, args ...any) {
		fmt.Fprintf(a.stderr, "oktasync: note: `oktasync %s --at %s` prints the user's %s\n", term.Safe(fmt.Sprintf(format, args...)), s.Name(), what)
	}
	note("groups", "show %s group_members --filter %s --columns group_name", s.Manifest.Export, term.ShellWord(fmt.Sprintf("user_id eq %q", id)))
	if access.CheckRoles(s) == nil {
		note("admin roles", "access %s --user %s --role all", s.Manifest.Export, term.ShellWord(q.user))
	}
}

// find returns the ids of the objects of the query, from the first snapshot that has them.
func (q *accessQuery) find(snapshots []*snapshot.Snapshot) (ids access.Query, err error) {
	check, hint := access.Check, "declare the resources in this export, as `oktasync init --access` does, and run `oktasync apply`"
	if q.role != "" {
		check, hint = access.CheckRoles, "declare the resources in this export, as `oktasync init --admins` does, and run `oktasync apply`"
	}
	for _, s := range snapshots {
		if err := check(s); err != nil {
			return ids, config.WithHint(err, hint)
		}
	}
	ids, err = access.Select(snapshots, access.Query{User: q.user, Group: q.group, App: q.app})
	if err == nil && q.role != "" && q.role != "all" {
		err = access.CheckRole(snapshots, q.role)
	}
	if err != nil {
		return ids, withNames(fmt.Errorf("%s@%s: %w", snapshots[0].Manifest.Export, snapshots[0].Name(), err), snapshots[0])
	}
	return ids, nil
}

// pathTable prints paths to apps.
func (q *accessQuery) pathTable() accessTable[*access.Row] {
	return accessTable[*access.Row]{
		name:    "paths",
		columns: access.Columns(),
		text:    q.text,
		state:   func(r *access.Row) string { return map[string]string{"yes": "usable", "no": "not usable"}[r.Usable] },
	}
}

// text returns a path to an app in one line.
func (q *accessQuery) text(r *access.Row) (text string) {
	if q.user == "" {
		text = fmt.Sprintf("%-44s  ", cmp.Or(r.Login, r.UserID))
	}
	if q.app == "" {
		text += fmt.Sprintf("%-24s  ", cmp.Or(r.AppLabel, r.AppID))
	}
	usable := map[string]string{"yes": "usable", "no": "not usable: ", "unknown": "unknown: "}[r.Usable]
	return text + fmt.Sprintf("%-28s  ", viaText(r.Via, cmp.Or(r.GroupName, r.GroupID))) + usable + r.UsableReason + seenText(r.FirstSeen, r.AbsentIn)
}

func viaText(via, group string) string {
	if via == access.Group {
		return "group " + cmp.Or(group, "not recorded")
	}
	return via
}

func seenText(first, absent string) string {
	if absent == "" {
		return ""
	}
	return "; first seen " + first
}

// roleTable prints paths to admin roles.
var roleTable = accessTable[*access.RoleRow]{
	name:    "roles",
	columns: access.RoleColumns(),
	text:    roleText,
	state: func(r *access.RoleRow) string {
		if r.Note == "" {
			return "active"
		}
		return "with a note"
	},
}

// roleText returns a path to an admin role in one line.
func roleText(r *access.RoleRow) string {
	holder, group := cmp.Or(r.Login, r.UserID), cmp.Or(r.GroupName, r.GroupID)
	switch {
	case r.ClientID != "":
		holder = "service app " + cmp.Or(r.Name, r.ClientID)
	case holder == "":
		holder = "group " + group
	}
	text := fmt.Sprintf("%-32s  %-44s  %-28s  %s", cmp.Or(r.RoleLabel, r.RoleType), holder, viaText(r.Via, group), r.Scope)
	if r.Note != "" {
		text += "; " + r.Note
	}
	return text + seenText(r.FirstSeen, r.AbsentIn)
}

// An accessTable is how rows of type R are printed.
type accessTable[R any] struct {
	name    string // of the list in the JSON document
	columns []string
	text    func(R) string // a row in one line
	state   func(R) string // what is counted; "": unknown
}

// An accessPrinter prints the rows of one snapshot, or those that only one of two has.
type accessPrinter struct {
	query     *accessQuery
	snapshots []*snapshot.Snapshot // the later one first
	limit     int                  // of rows as text; 0: none
	w         *bufio.Writer
}

func printAccess[R access.AnyRow[R]](p *accessPrinter, t accessTable[R], of func(*snapshot.Snapshot) iter.Seq2[R, error]) error {
	rows := func(yield func(access.Change[R], error) bool) {
		for row, err := range of(p.snapshots[0]) {
			if !yield(access.Change[R]{Row: row}, err) {
				return
			}
		}
	}
	if len(p.snapshots) > 1 {
		rows = access.Between(of(p.snapshots[1]), of(p.snapshots[0]))
	}
	switch p.query.name {
	case "csv":
		return printCSV(p, t, rows)
	case "json":
		return printJSON(p, t, rows)
	}
	return printText(p, t, rows)
}

// printText prints at most p.limit rows.
func printText[R access.AnyRow[R]](p *accessPrinter, t accessTable[R], rows iter.Seq2[access.Change[R], error]) error {
	fmt.Fprintf(p.w, "%s, %s: paths%s\n", p.snapshots[0].Manifest.Export, span(p.snapshots), term.Safe(p.query.objects()))
	counts, total := make(map[string]int), 0
	for c, err := range rows {
		if err != nil {
			return err
		}
		if total++; total == 1 {
			fmt.Fprintln(p.w)
		}
		counts[cmp.Or(c.Change, t.state(c.Row), "unknown")]++
		if p.limit > 0 && total > p.limit {
			continue
		}
		sign := map[string]string{"granted": "+ granted  ", "revoked": "- revoked  "}[c.Change]
		if _, err := fmt.Fprintf(p.w, "  %s%s\n", sign, term.Safe(t.text(c.Row))); err != nil {
			return err
		}
	}
	if p.limit > 0 && total > p.limit {
		fmt.Fprintf(p.w, "  … and %d more; --all prints them\n", total-p.limit)
	}
	if total == 0 {
		_, err := fmt.Fprintln(p.w, "none")
		return err
	}
	var parts []string
	for _, state := range []string{"usable", "not usable", "active", "with a note", "unknown", "granted", "revoked"} {
		if n := counts[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	_, err := fmt.Fprintf(p.w, "\n%s: %s\n", term.Plural(total, "path"), strings.Join(parts, ", "))
	return err
}

// span names one snapshot, or both.
func span(snapshots []*snapshot.Snapshot) string {
	if len(snapshots) == 1 {
		return snapshots[0].Name()
	}
	return snapshots[1].Name() + " to " + snapshots[0].Name()
}

// objects names the selected user, group, app and role.
func (q *accessQuery) objects() (text string) {
	if q.user != "" {
		text += " of the user " + q.user
	}
	if q.group != "" {
		text += " through the group " + q.group
	}
	switch {
	case q.app != "" && q.role != "":
		text += " of the service app " + q.app
	case q.app != "":
		text += " to the app " + q.app
	}
	switch q.role {
	case "":
		return text
	case "all":
		return text + " to admin roles"
	}
	return text + " to the admin role " + q.role
}

// printCSV prints a row for each path. With --from, the first column is the change.
func printCSV[R access.AnyRow[R]](p *accessPrinter, t accessTable[R], rows iter.Seq2[access.Change[R], error]) error {
	columns := t.columns
	if p.query.from != "" {
		columns = append([]string{"change"}, columns...)
	}
	line := render.AppendTexts(nil, columns)
	for c, err := range rows {
		if err != nil {
			return err
		}
		if _, err := p.w.Write(line); err != nil {
			return err
		}
		values := c.Row.Values()
		if c.Change != "" {
			values = append([]string{c.Change}, values...)
		}
		line = render.AppendTexts(line[:0], values)
	}
	_, err := p.w.Write(line)
	return err
}

// printJSON prints one document with one path per line.
func printJSON[R access.AnyRow[R]](p *accessPrinter, t accessTable[R], rows iter.Seq2[access.Change[R], error]) error {
	from := "null"
	if len(p.snapshots) > 1 {
		from = fmt.Sprintf("%q", p.snapshots[1].Name())
	}
	fmt.Fprintf(p.w, "{\"export\":%q,\"from\":%s,\"snapshot\":%q,\"%s\":[", p.snapshots[0].Manifest.Export, from, p.snapshots[0].Name(), t.name)
	separator := "\n"
	var line []byte
	for c, err := range rows {
		if err != nil {
			return err
		}
		line = append(append(line[:0], separator...), '{')
		if c.Change != "" {
			line = append(append(append(line, `"change":"`...), c.Change...), `",`...)
		}
		for i, value := range c.Row.Values() {
			if i > 0 {
				line = append(line, ',')
			}
			line = append(append(append(line, '"'), t.columns[i]...), `":`...)
			if line, err = jsontext.AppendQuote(line, value); err != nil {
				return err
			}
		}
		if _, err := p.w.Write(append(line, '}')); err != nil {
			return err
		}
		separator = ",\n"
	}
	_, err := io.WriteString(p.w, "\n]}\n")
	return err
}
