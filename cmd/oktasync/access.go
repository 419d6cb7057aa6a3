package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

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
	at, from, to     string // snapshots; "": the newest
	nearest          bool
	*diffFormat
}

func (a *app) accessCommand() *cobra.Command {
	q := new(accessQuery)
	cmd := &cobra.Command{
		Use:   "access EXPORT",
		Short: "Show who is assigned which app, and through what",
		Long: `Prints one row for each path from a user to an app: a direct assignment, a group of
the user that gives the app, or implicit if the app is open to all users. --user,
--group and --app select the paths by an id, a login, or an exact name or label.

usable is no if the app, the user or the assignment isn't active, and unknown if the
record doesn't show it. first_seen is the snapshot in which the path appeared, and
absent_in the one before it. If absent_in is empty, the path can be older. Sign-in
policies and permissions inside the apps aren't recorded.

With --from and --to, it prints the paths that only one of two snapshots has. A path
that was granted and revoked in between isn't visible.`,
		Example: `  oktasync access workforce --user ada@acme.example
  oktasync access workforce --app Logbook --format csv > logbook.csv
  oktasync access workforce --group Pilots --at 2026-06-30
  oktasync access workforce --app Logbook --from @-7`,
		Args: args(1, 1, "EXPORT"),
	}
	cmd.Flags().StringVar(&q.user, "user", "", "paths of this `USER`")
	cmd.Flags().StringVar(&q.group, "group", "", "paths through this `GROUP`")
	cmd.Flags().StringVar(&q.app, "app", "", "paths to this `APP`")
	cmd.Flags().StringVar(&q.at, "at", "", "in the last snapshot of `DATE` or before; the default is the newest")
	cmd.Flags().StringVar(&q.from, "from", "", "what was granted and revoked since the last snapshot of `DATE` or before")
	cmd.Flags().StringVar(&q.to, "to", "", "with --from: up to the last snapshot of `DATE` or before")
	nearestFlag(cmd, &q.nearest)
	q.diffFormat = formatFlags(cmd)
	allFlag(cmd, &q.all)
	return a.reads(cmd, func(r *reader, args []string) error {
		if err := q.checkFlags(); err != nil {
			return err
		}
		return a.access(r, args[0], q)
	})
}

func (q *accessQuery) checkFlags() error {
	switch {
	case q.user == "" && q.group == "" && q.app == "":
		return errors.New("one of --user, --group and --app is needed")
	case q.at != "" && q.from+q.to != "":
		return errors.New("--at is for one snapshot, and --from and --to for the time between two; use one of them")
	case q.to != "" && q.from == "":
		return errors.New("--to needs --from; --at is for one snapshot")
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
		if from.Manifest.Sequence >= s.Manifest.Sequence {
			return fmt.Errorf("--from %s isn't older than %s", from.Name(), s.Name())
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
	paths := unchanged(access.Paths(r.Store, s, ids))
	if q.from != "" {
		paths = access.Between(access.Paths(r.Store, snapshots[1], ids), access.Paths(r.Store, s, ids))
	}
	w := bufio.NewWriter(a.stdout)
	switch q.name {
	case "csv":
		err = q.printCSV(w, paths)
	case "json":
		err = q.printJSON(w, snapshots, paths)
	default:
		err = q.print(w, snapshots, paths, a.limit(q.all))
	}
	if err != nil {
		return err
	}
	return w.Flush()
}

// find returns the ids of the objects of the query, from the first snapshot that has them.
func (q *accessQuery) find(snapshots []*snapshot.Snapshot) (ids access.Query, err error) {
	for _, wanted := range []struct {
		resource *snapshot.Resource
		text     string
		id       *string
	}{{snapshot.Users, q.user, &ids.User}, {snapshot.Groups, q.group, &ids.Group}, {snapshot.Apps, q.app, &ids.App}} {
		if wanted.text == "" {
			continue
		}
		for _, s := range snapshots {
			if err = access.Check(s); err != nil {
				return ids, config.WithHint(err, "`oktasync init --access` declares the resources that this needs")
			}
			notFound := (*access.NotFoundError)(nil)
			if *wanted.id, err = access.Find(s, wanted.resource, wanted.text); !errors.As(err, &notFound) {
				break
			}
		}
		if err != nil {
			return ids, fmt.Errorf("%s@%s: %w", snapshots[0].Manifest.Export, snapshots[0].Name(), err)
		}
	}
	return ids, nil
}

// unchanged returns paths of one snapshot.
func unchanged(paths iter.Seq2[*access.Row, error]) iter.Seq2[access.Change, error] {
	return func(yield func(access.Change, error) bool) {
		for row, err := range paths {
			if !yield(access.Change{Row: row}, err) {
				return
			}
		}
	}
}

// print writes the paths as text, at most limit of them unless it is 0.
func (q *accessQuery) print(w io.Writer, snapshots []*snapshot.Snapshot, paths iter.Seq2[access.Change, error], limit int) error {
	fmt.Fprintf(w, "%s, %s: paths%s\n", snapshots[0].Manifest.Export, span(snapshots), term.Safe(q.objects()))
	counts := make(map[string]int)
	total := 0
	for path, err := range paths {
		if err != nil {
			return err
		}
		if total++; total == 1 {
			fmt.Fprintln(w)
		}
		counts[cmp.Or(path.Change, path.Usable)]++
		if limit > 0 && total > limit {
			continue
		}
		if _, err := fmt.Fprintf(w, "  %s\n", term.Safe(q.text(path))); err != nil {
			return err
		}
	}
	if limit > 0 && total > limit {
		fmt.Fprintf(w, "  … and %d more; --all prints them\n", total-limit)
	}
	if total == 0 {
		_, err := fmt.Fprintln(w, "none")
		return err
	}
	parts := []string{}
	for _, kind := range []struct{ key, text string }{{"yes", "usable"}, {"no", "not usable"}, {"unknown", "unknown"}, {"granted", "granted"}, {"revoked", "revoked"}} {
		if n := counts[kind.key]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind.text))
		}
	}
	_, err := fmt.Fprintf(w, "\n%s: %s\n", term.Plural(total, "path"), strings.Join(parts, ", "))
	return err
}

// span names one snapshot, or both.
func span(snapshots []*snapshot.Snapshot) string {
	if len(snapshots) == 1 {
		return snapshots[0].Name()
	}
	return snapshots[1].Name() + " to " + snapshots[0].Name()
}

// objects names the selected user, group and app.
func (q *accessQuery) objects() (text string) {
	if q.user != "" {
		text += " of the user " + q.user
	}
	if q.group != "" {
		text += " through the group " + q.group
	}
	if q.app != "" {
		text += " to the app " + q.app
	}
	return text
}

// text returns a path in one line.
func (q *accessQuery) text(path access.Change) string {
	var b strings.Builder
	switch path.Change {
	case "granted":
		b.WriteString("+ granted  ")
	case "revoked":
		b.WriteString("- revoked  ")
	}
	if q.user == "" {
		fmt.Fprintf(&b, "%-44s  ", cmp.Or(path.Login, path.UserID))
	}
	if q.app == "" {
		fmt.Fprintf(&b, "%-24s  ", cmp.Or(path.AppLabel, path.AppID))
	}
	via := path.Via
	if via == access.Group {
		via = "group " + cmp.Or(path.GroupName, path.GroupID, "not recorded")
	}
	fmt.Fprintf(&b, "%-28s  ", via)
	switch path.Usable {
	case "yes":
		b.WriteString("usable")
	case "no":
		b.WriteString("not usable: " + path.UsableReason)
	default:
		b.WriteString("unknown: " + path.UsableReason)
	}
	if path.AbsentIn != "" {
		b.WriteString("; first seen " + path.FirstSeen)
	}
	return b.String()
}

// printCSV writes a row for each path. With --from, the first column is the change.
func (q *accessQuery) printCSV(w io.Writer, paths iter.Seq2[access.Change, error]) error {
	changes := q.from != ""
	header := access.Columns()
	if changes {
		header = append([]string{"change"}, header...)
	}
	if _, err := io.WriteString(w, strings.Join(header, ",")+"\r\n"); err != nil {
		return err
	}
	var row []byte
	for path, err := range paths {
		if err != nil {
			return err
		}
		values := path.Values()
		if changes {
			values = append([]string{path.Change}, values...)
		}
		cells := make([][]byte, len(values))
		for i, value := range values {
			if value == "" {
				continue
			}
			if cells[i], err = json.Marshal(value); err != nil {
				return err
			}
		}
		row = render.AppendRow(row[:0], cells...)
		if _, err := w.Write(row); err != nil {
			return err
		}
	}
	return nil
}

// printJSON writes one document with one path per line.
func (q *accessQuery) printJSON(w io.Writer, snapshots []*snapshot.Snapshot, paths iter.Seq2[access.Change, error]) error {
	from := "null"
	if len(snapshots) > 1 {
		from = fmt.Sprintf("%q", snapshots[1].Name())
	}
	fmt.Fprintf(w, "{\"export\":%q,\"from\":%s,\"snapshot\":%q,\"paths\":[", snapshots[0].Manifest.Export, from, snapshots[0].Name())
	separator := "\n"
	for path, err := range paths {
		if err != nil {
			return err
		}
		line, err := json.Marshal(path)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s%s", separator, line); err != nil {
			return err
		}
		separator = ",\n"
	}
	_, err := io.WriteString(w, "\n]}\n")
	return err
}
